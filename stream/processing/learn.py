"""The second half: an `Example` with its label becomes scores, learning, signals, decisions, transitions."""

from typing import Any

from msgspec import structs

from learners import pickling
from learners.contract import Contract
from learners.definition import Definition
from learners.detectors import Signal
from learners.errors import IncompatibleSnapshotError, MeanderError
from learners.lineage import Kind, Transition
from learners.policy import Decision, Evidence, decide
from learners.roster import Asked, Member, Mode, Roster
from learners.scores import Score
from learners.tasks import make_task
from stream.messages import Command, Example

REMEMBERED_COMMANDS = 1000


class Learn:
    """Scores, learns and decides; shows `Serve` the roster.

    Everything it knows of an event comes in the `Example`. Decisions are carried out here, and each
    becomes a `Transition`.

    Parameters
    ----------
    definition, contract
        What to predict, from what, with whom.
    prefix
        Of version names.
    """

    def __init__(self, definition: Definition, contract: Contract, prefix: str) -> None:
        self.definition = definition
        self.task = make_task(contract)
        self.roster = Roster(definition, self.task, prefix)
        self.evidence = Evidence(definition)
        self.served = Score()  # of the answers that really went out; those of the default are not scored
        self.commands: dict[str, None] = {}

    def ask(self, x: dict[str, Any]) -> Asked:
        """Return every member's answer, and who is served."""
        return self.roster.ask(x)

    def told(self, example: Example) -> Example:
        """Return an example whose answers explain themselves, for those who do not know the task."""
        if self.definition.task != "multiclass":
            return example
        told = self.task.told
        answers = tuple(map(told, example.answers))
        return structs.replace(example, answers=answers, answer=told(example.answer))

    def birth(self, timestamp: int, position: str) -> list[Transition]:
        """Return the transitions that a deployment begins with: one for each model."""
        roster = self.roster
        models = (roster.champion, *roster.challengers)
        return [
            Transition(
                kind=Kind.STARTED,
                timestamp=timestamp,
                position=position,
                slot=member.slot,
                to_version=roster.name(member),
                reason=f"{member.slot} starts"
                f" as {'champion' if member is roster.champion else 'challenger'}.",
            )
            for member in sorted(models, key=lambda m: m.number)
        ]

    def learn(self, example: Example, lag: int, timestamp: int, position: str) -> list[Transition]:
        """Score with the answers given at event time, then learn, then decide.

        Parameters
        ----------
        example
            With its label.
        lag
            Events predicted since this one.
        timestamp, position
            Event time and input of any transition.
        """
        roster, evidence, label = self.roster, self.evidence, example.label
        losses = self._score(example, label)
        self._score_served(example, label, losses)
        signal = self._watch(example, losses)
        if losses[0] is not None:
            if roster.challengers:
                self._compare_challengers(losses, losses[0], lag)
            if not roster.champion_serves and roster.mode is Mode.FALLBACK:
                self._compare_rules(losses, losses[0])
        self.task.observe(label)
        evidence.observe(label)
        failed = [] if roster.frozen else self._teach(example.features, label)
        transitions = [t for member, error in failed for t in self.fail(member, error, timestamp, position)]
        if signal is None and not roster.challengers and roster.champion_serves:
            return transitions  # nothing that could call for a decision
        decisions = decide(self.definition, roster, evidence, signal)
        return transitions + [self._carry_out(d, timestamp, position) for d in decisions]

    def fail(self, member: Member, error: str, timestamp: int, position: str) -> list[Transition]:
        """Put a fresh version in the place of a member that raised or answered something insane.

        If it was the champion, rules answer until the fresh one has proved better than they.
        """
        roster = self.roster
        if roster.by_number.get(member.number) is not member:
            return []
        before = roster.name(member)
        was_champion = member is roster.champion
        fresh = roster.renew(member)
        self.evidence.forget(member.number)
        transitions = [
            Transition(
                kind=Kind.FAILED,
                timestamp=timestamp,
                position=position,
                slot=member.slot,
                from_version=None if member.is_rule else before,
                to_version=None if fresh.is_rule else roster.name(fresh),
                reason=f"{member.slot} failed ({error}); a fresh version takes its place.",
            )
        ]
        if was_champion:
            self.evidence.new_reign()  # what was proved, was proved of the one that failed
        if was_champion and roster.mode is Mode.CHAMPION:
            decision = Decision(Kind.FELL_BACK, None, "The champion failed: only rules answer from here on.")
            transitions.append(self._carry_out(decision, timestamp, position))
        return transitions

    def command(
        self, command: Command, timestamp: int, position: str, now: int, revision: int
    ) -> list[Transition]:
        """Carry out an operator's command, or say why not.

        Parameters
        ----------
        now
            The control record's own time, milliseconds: a command past its ``expires_at`` is rejected.
        revision
            How often the roster has changed; a command made for another one is rejected.
        """
        if command.id in self.commands:
            return [self._rejected(command, "a command of this id came before", timestamp, position)]
        self.commands[command.id] = None
        if len(self.commands) > REMEMBERED_COMMANDS:
            del self.commands[next(iter(self.commands))]
        if command.expires_at is not None and now > command.expires_at:
            return [self._rejected(command, "it had expired", timestamp, position)]
        if command.if_revision is not None and command.if_revision != revision:
            why = f"the roster has changed meanwhile (revision {revision}, not {command.if_revision})"
            return [self._rejected(command, why, timestamp, position)]
        try:
            decision = self._decision_of(command)
        except MeanderError as error:
            return [self._rejected(command, str(error), timestamp, position)]
        transition = self._carry_out(decision, timestamp, position)
        transition.requested_by, transition.command = command.operator, command.id
        if command.override:
            transition.evidence = {**transition.evidence, "override": True}
        return [transition]

    def _score(self, example: Example, label: Any) -> list[float | None]:
        """Score the answers; returns the loss of each member of now, None where it had not answered."""
        roster, answers, loss_of = self.roster, example.answers, self.task.loss
        if example.panel != roster.panel:  # the roster has changed since the event
            answered = dict(zip(example.panel, answers, strict=True))
            answers = tuple(answered.get(number) for number in roster.panel)
            asked = [number in answered for number in roster.panel]
        else:
            asked = None
        losses: list[float | None] = []
        for member, answer in zip(roster.members, answers, strict=True):
            if answer is not None:
                loss = loss_of(answer, label)
                member.score.add(loss)
                losses.append(loss)
            else:
                if asked is None or asked[len(losses)]:
                    member.score.silent += 1
                losses.append(None)
        return losses

    def _score_served(self, example: Example, label: Any, losses: list[float | None]) -> None:
        if example.served < 0:
            return
        loss = losses[example.served] if example.panel == self.roster.panel else None
        self.served.add(self.task.loss(example.answer, label) if loss is None else loss)

    def _watch(self, example: Example, losses: list[float | None]) -> Signal | None:
        """Feed the monitor what was served, if it is still that kind of answer that is served now."""
        if example.served < 0:
            return None
        roster, number = self.roster, example.panel[example.served]
        if number == roster.champion.number and roster.champion_serves:
            loss = losses[0]
        elif number < 0 and roster.mode is Mode.FALLBACK and number in roster.by_number:
            loss = losses[roster.panel.index(number)]
        else:
            return None
        return None if loss is None else self.evidence.monitor.update(loss)

    def _compare_challengers(self, losses: list[float | None], champion: float, lag: int) -> None:
        for member, loss in zip(self.roster.challengers, losses[1:], strict=False):
            if loss is not None:
                self.evidence.compare(member, champion, loss, lag)

    def _compare_rules(self, losses: list[float | None], champion: float) -> None:
        """Compare with the rule that would have answered: the first that did."""
        for loss in losses[self.roster.first_rule :]:
            if loss is not None:
                self.evidence.give_back.add(loss - champion)
                return

    def _teach(self, x: dict[str, Any], label: Any) -> list[tuple[Member, str]]:
        failed = []
        for member in self.roster.learners:
            try:
                member.learn(x, label)
                member.learned += 1
            except Exception as error:  # noqa: BLE001  one member's trouble is not the others'
                failed.append((member, f"{type(error).__name__}: {error}"))
        return failed

    def _decision_of(self, command: Command) -> Decision:
        roster, action = self.roster, command.action
        reason = command.reason or f"Asked for by {command.operator or 'an operator'}."
        match action:
            case "promote" | "drop":
                member = roster.find_challenger(command.target)
                return Decision(Kind.PROMOTED if action == "promote" else Kind.DROPPED, member.number, reason)
            case "rollback":
                if roster.previous is None:
                    raise MeanderError("there is no previous champion to roll back to")
                return Decision(Kind.ROLLED_BACK, roster.previous.number, reason)
            case "retrain":
                slot = command.target or roster.champion.slot
                if slot not in self.definition.models:
                    raise MeanderError(
                        f"no model is called {slot!r}; there are: {', '.join(self.definition.models)}"
                    )
                if roster.challenger_of(slot) is not None:
                    raise MeanderError(f"{slot} has a started challenger already")
                return Decision(Kind.RETRAINED, None, reason, {"slot": slot})
            case "fallback":
                return Decision(Kind.FELL_BACK, None, reason, {"held": True})
            case "resume":
                if roster.mode is not Mode.FALLBACK:
                    raise MeanderError("the champion answers already")
                return Decision(Kind.RESUMED, None, reason)
            case "freeze" | "unfreeze":
                if roster.frozen == (action == "freeze"):
                    raise MeanderError(f"learning is {'frozen' if roster.frozen else 'on'} already")
                return Decision(Kind.FROZEN if action == "freeze" else Kind.UNFROZEN, None, reason)
        raise MeanderError(f"unknown action {action!r}")

    def _rejected(self, command: Command, why: str, timestamp: int, position: str) -> Transition:
        return Transition(
            kind=Kind.REJECTED,
            timestamp=timestamp,
            position=position,
            reason=f"{command.action} was not carried out: {why}.",
            requested_by=command.operator,
            command=command.id,
        )

    def _carry_out(self, decision: Decision, timestamp: int, position: str) -> Transition:
        """Change the roster as decided, and record it."""
        roster, evidence = self.roster, self.evidence
        member = roster.by_number.get(decision.number) if decision.number else None
        slot = roster.champion.slot
        before: str | None = roster.name(roster.champion)
        after: str | None = None
        match decision.kind:
            case Kind.CHALLENGED | Kind.RETRAINED:
                started = roster.start_challenger(decision.evidence.get("slot"))
                slot, after = started.slot, roster.name(started)
            case Kind.PROMOTED if member is not None:
                slot, after = member.slot, roster.name(member)
                roster.promote(member)
                evidence.new_reign()
            case Kind.ROLLED_BACK:
                back = roster.roll_back()
                slot, after = back.slot, roster.name(back)
                evidence.new_reign()
            case Kind.DROPPED if member is not None:
                slot, before = member.slot, roster.name(member)
                roster.drop(member)
                evidence.forget(member.number)
            case Kind.FELL_BACK:
                roster.mode, roster.held = Mode.FALLBACK, bool(decision.evidence.get("held"))
                evidence.new_server()
            case Kind.RESUMED | Kind.WARMED_UP:
                roster.mode, roster.held = Mode.CHAMPION, False
                before, after = None, before
                evidence.new_server()
            case Kind.FROZEN | Kind.UNFROZEN:
                roster.frozen = decision.kind is Kind.FROZEN
        return Transition(
            kind=decision.kind,
            timestamp=timestamp,
            position=position,
            slot=slot,
            from_version=before,
            to_version=after,
            reason=decision.reason,
            evidence=decision.evidence,
        )

    def state(self) -> dict[str, bytes]:
        """Return everything learned, as named sections of bytes; members one by one."""
        roster = self.roster
        cold = (roster.previous,) if roster.previous is not None else ()
        sections = {f"member.{m.number}": pickling.dumps(m) for m in (*roster.members, *cold) if m.learns}
        rest = {
            "made_with": self._made_with(),
            "members": [(m.number, m.slot, m.score) for m in roster.members if not m.learns],
            "champion": roster.champion.number,
            "challengers": [m.number for m in roster.challengers],
            "previous": roster.previous.number if roster.previous else None,
            "mode": str(roster.mode),
            "held": roster.held,
            "frozen": roster.frozen,
            "newest": roster.newest,
            "task": self.task.state(),
            "served": self.served,
            "evidence": self.evidence,
            "commands": list(self.commands),
        }
        return {"learn": pickling.dumps(rest), **sections}

    def _made_with(self) -> dict[str, Any]:
        """Return the parts of the definition that members and detector were made with, by key."""
        d = self.definition
        return {
            "champion": d.champion,
            "models": {slot: (model.recipe, model.parameters) for slot, model in d.models.items()},
            "seed": d.seed,
            "drift.detector": (d.drift.detector, d.drift.parameters, d.drift.cooldown),
            **{f"rules.{name}": (rule.recipe, rule.parameters) for name, rule in d.rules.items()},
        }

    def resume(self, sections: dict[str, bytes]) -> None:
        """Continue from what `state` returned. Declared rules come from the definition of now.

        Raises
        ------
        IncompatibleSnapshotError
            When models, champion, seed or detector are not those of now.
        """
        rest = pickling.loads(sections["learn"], self.definition)
        made_with, now = rest["made_with"], self._made_with()
        for key in now:
            if made_with.get(key) != now[key] and not key.startswith("rules."):
                raise IncompatibleSnapshotError(
                    f"{key} is not what the snapshot was made with, and learned state cannot follow. "
                    "Undo the change, or begin anew in an empty snapshot folder."
                )
        members: dict[int, Member] = {
            int(name.removeprefix("member.")): pickling.loads(data, self.definition)
            for name, data in sections.items()
            if name.startswith("member.")
        }
        roster = self.roster
        roster.champion = members[rest["champion"]]
        roster.challengers = [members[n] for n in rest["challengers"]]
        roster.previous = members[rest["previous"]] if rest["previous"] is not None else None
        scores = {slot: score for _, slot, score in rest["members"]}
        learned = {m.slot: m for m in members.values() if m.is_rule}
        for index, rule in enumerate(roster.rules):
            same = made_with.get(f"rules.{rule.slot}") == now[f"rules.{rule.slot}"]
            if same and rule.learns and rule.slot in learned:
                learned[rule.slot].number = rule.number
                roster.rules[index] = learned[rule.slot]
            elif rule.slot in scores:
                rule.score = scores[rule.slot]
        roster.mode, roster.held, roster.frozen = Mode(rest["mode"]), rest["held"], rest["frozen"]
        roster.newest = rest["newest"]
        roster.rearrange()
        self.task.resume(rest["task"])
        self.evidence, self.served = rest["evidence"], rest["served"]
        self.commands = dict.fromkeys(rest["commands"])
