"""The second half: an `Example` with its label becomes scores, learning, signals, decisions, transitions."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, structs

from learners import pickling
from learners.contract import Contract
from learners.definition import Definition
from learners.detectors import Signal
from learners.errors import LostStateError, MeanderError
from learners.foresight import Foresight, State
from learners.last_good import LastGood
from learners.lineage import Kind, Transition
from learners.policy import IDLE, RULES_LEAD, TAKE_OVER, WORTHLESS, Decision, Evidence, decide
from learners.residuals import Residuals
from learners.roster import Asked, Cause, Member, Mode, Roster
from learners.scores import Score
from learners.snapshot import plain
from learners.succession import detects_otherwise, differences, take_over
from learners.tasks import Regression, make_task
from stream.messages import Command, Example
from stream.processing.archive import Archive
from stream.processing.conduct import Conduct
from stream.processing.registry import Registry

REMEMBERED_COMMANDS = 1000
SETTLE = 256  # labels after which scores are summed up, so that what is not yet stays little
CALM = 500  # labels without failing after which a member has a clean sheet
REST = 100  # labels that a member which fails a third time is benched; each time after that, twice as many
MOST_DOUBLINGS = 20
MOST_NAMED = 8  # changes that a sentence names


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
        self.good = LastGood(definition)
        self._numbers = definition.task == "regression"
        self.served = Score()  # of the answers that really went out; those of the default are not scored
        self.foresight = Foresight(self.task)
        label = definition.label
        low, high = (-inf if label.min is None else label.min), (inf if label.max is None else label.max)
        self.residuals = Residuals(label.coverage, low, high) if self._numbers else None
        self.archive = Archive(definition, self.roster)
        self.registry = Registry(definition, self.roster, self.archive)
        self.conduct = Conduct(definition, self.roster, self.evidence, self.served, self.archive)
        self._archive_every = definition.versions.every
        self.heeds_events = self._policies = bool(definition.policy)
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
            for member in sorted(models, key=lambda m: m.version)
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
        as_now = example.panel == roster.panel
        answers = example.answers if as_now else self._aligned(example)
        losses, signals = self._score(example, answers, label)
        worth = 0.0
        if example.served >= 0:
            loss = losses[example.served] if as_now else None
            worth = self.task.loss(example.answer, label) if loss is None else loss
            self.served.add(worth)
        self._foresee(example, label, worth)
        self._watch_served(example, losses, signals)
        self._compare(losses, lag)
        if self.task.follows:
            self.task.observe(label)
        labels = evidence.observe(label, lag)
        transitions: list[Transition] = []
        if labels >= roster.rouse_at:
            transitions += self._rouse(timestamp, position)
        if not roster.frozen and example.weight:
            roster.pool.learn(answers, label, lag)
            for member, error in self._teach(example.features, label, example.weight):
                transitions += self.fail(member, error, timestamp, position)
        if not labels % SETTLE:
            for score in (self.served, *(member.score for member in roster.members)):
                score.settle()
        if not labels % self._archive_every and not roster.frozen:
            transitions.append(self._keep_champion(timestamp, position))
        if self._policies:
            transitions += self._check_policies(example, losses, timestamp, position)
        if not (
            signals or evidence.ripe or not roster.champion_serves or roster.pool.rules_share > RULES_LEAD
        ):
            return transitions  # nothing that could call for a decision
        evidence.ripe = False
        if signals:
            evidence.signalled()
        decisions = decide(self.definition, roster, evidence, signals)
        transitions += self.conduct.act(decisions, timestamp, position)
        if signals and self._policies:
            transitions += self.conduct.follow(signals, None, timestamp, position)
        return transitions

    def _keep_champion(self, timestamp: int, position: str) -> Transition:
        champion = self.roster.champion
        self.archive.keep(champion, timestamp)
        reason = f"After {self.evidence.labels:,} labels the champion's state is kept."
        return self._told(Kind.ARCHIVED, champion, reason, {}, timestamp, position)

    def _check_policies(
        self, example: Example, losses: list[float | None], timestamp: int, position: str
    ) -> list[Transition]:
        """Keep what policies may want to learn again, and compare what they have on trial."""
        automation = self.conduct.automation
        if automation.recent.maxlen and not self.roster.frozen:
            automation.recent.append((example.features, example.label))
        if not automation.checks:
            return []
        served = self.task.loss(example.answer, example.label) if example.served >= 0 else None
        return self.conduct.check(losses, served, timestamp, position)

    def elapsed(
        self, signals: Sequence[Signal], events: int | None, timestamp: int, position: str
    ) -> list[Transition]:
        """Let policies see an event: schedules, and signals that need no label.

        Parameters
        ----------
        events
            How many there were; None where only a label has come.
        timestamp
            The watermark.
        """
        return self.conduct.follow(signals, events, timestamp, position)

    def correct(
        self, example: Example, before: Any, since: int, teach: bool, timestamp: int, position: str
    ) -> list[Transition]:
        """Score an event with another label than it was scored with, without a decision.

        Detector, proofs and bets stay as they are: what was staked was staked on what was known.

        Parameters
        ----------
        example
            With the label that is right.
        before
            The one that was scored; UNSET when there was none.
        since
            Labels scored after that.
        teach
            Whether members learn it, too.
        timestamp, position
            As for `learn`.
        """
        roster, loss_of, label = self.roster, self.task.loss, example.label
        scored = [(self.served, example.answer)] if example.served >= 0 else []
        for number, answer in zip(example.panel, example.answers, strict=True):
            member = roster.by_number.get(number)
            if member is not None and answer is not None:
                scored.append((member.score, answer))
        if before is UNSET:
            self._foresee(example, label, loss_of(example.answer, label) if example.served >= 0 else 0.0)
        for score, answer in scored:
            loss = loss_of(answer, label)
            if before is UNSET:
                score.add(loss)
            else:
                score.correct(loss_of(answer, before), loss, since)
        failed = self._teach(example.features, label, example.weight) if teach else []
        return [t for member, error in failed for t in self.fail(member, error, timestamp, position)]

    def fail(self, member: Member, error: str, timestamp: int, position: str) -> list[Transition]:
        """Do something about a member that raised, perhaps half-way, or answered something insane.

        The first time it is put back to its last good version and taught the examples since. If that cannot
        be, or it fails again soon, a fresh version takes its place; if it was the champion, rules answer
        until the fresh one has proved better than they. From the third time on the fresh one is benched.
        """
        roster, labels = self.roster, self.evidence.labels
        if roster.by_number.get(member.number) is not member or member.rests:
            return []
        member.strikes = member.strikes + 1 if labels - member.struck < CALM else 1
        member.struck = labels
        what = error.partition(":")[0]  # the rest may name values
        before = None if member.is_rule else roster.name(member)
        if member.strikes == 1:
            since = self.good.restore(member, self.task)
            if since is not None:
                roster.rearrange()
                reason = f"{member.slot} failed ({what}): put back, and taught the {since} examples since."
                numbers = {"error": error, "relearned": since}
                told = self._told(Kind.FAILED, member, reason, numbers, timestamp, position)
                told.from_version = before
                return [told]
        was_champion = member is roster.champion
        benched = REST << min(member.strikes - 3, MOST_DOUBLINGS) if member.strikes > 2 else 0
        member.rests = labels + benched if benched else 0
        fresh = roster.renew(member)
        self.evidence.forget(member.number)
        reason = f"{member.slot} failed ({what}); a fresh version takes its place."
        transitions = [self._told(Kind.FAILED, fresh, reason, {"error": error}, timestamp, position)]
        transitions[0].from_version = before
        if benched:
            reason = f"{member.slot} failed {member.strikes} times: benched for {benched} labels."
            evidence = {"strikes": member.strikes, "labels": benched}
            transitions.append(self._told(Kind.BENCHED, fresh, reason, evidence, timestamp, position))
        if was_champion:
            self.evidence.new_reign()  # what was proved, was proved of the one that failed
        if was_champion and roster.mode is Mode.CHAMPION:
            reason = "The champion failed: only rules answer from here on."
            decision = Decision(Kind.FELL_BACK, None, reason, cause=Cause.FAILURE)
            transitions.append(self.conduct.carry_out(decision, timestamp, position))
        return transitions

    def _rouse(self, timestamp: int, position: str) -> list[Transition]:
        """Let those take part again whose time on the bench is over."""
        roster, labels = self.roster, self.evidence.labels
        back = [member for member in roster.members if 0 < member.rests <= labels]
        for member in back:
            member.rests, member.struck = 0, labels
        roster.rearrange()
        return [
            self._told(Kind.RETURNED, m, f"{m.slot} takes part again, fresh.", {}, timestamp, position)
            for m in back
        ]

    def _told(
        self, kind: Kind, member: Member, reason: str, evidence: dict[str, Any], timestamp: int, position: str
    ) -> Transition:
        return Transition(
            kind=kind,
            timestamp=timestamp,
            position=position,
            slot=member.slot,
            to_version=None if member.is_rule else self.roster.name(member),
            reason=reason,
            evidence=evidence,
        )

    def command(
        self,
        command: Command,
        timestamp: int,
        position: str,
        now: int,
        revision: int,
        install: Callable[[str | None, str, int, str], list[Transition]],
    ) -> list[Transition]:
        """Carry out an operator's command, or say why not.

        Parameters
        ----------
        now
            The control record's own time, milliseconds: a command past its ``expires_at`` is rejected.
        revision
            How often the roster has changed; a command made for another one is rejected.
        install
            Installs the state of a digest, for a reason, at a time and position.
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
        reason = command.reason or f"Asked for by {command.operator or 'an operator'}."
        try:
            if command.action == "install":
                told = install(command.target, reason, timestamp, position)
            else:
                told = self.conduct.asked_for(command.action, command.target, reason, timestamp, position)
        except LostStateError:  # a replay that cannot go on
            raise
        except MeanderError as error:
            return [self._rejected(command, str(error), timestamp, position)]
        for transition in told:
            transition.requested_by, transition.command = command.operator, command.id
            if command.override:
                transition.evidence = {**transition.evidence, "override": True}
        return told

    def _aligned(self, example: Example) -> tuple[Any, ...]:
        """Return the answers in the order of the members of now; None where one was not asked."""
        answered = dict(zip(example.panel, example.answers, strict=True))
        return tuple(answered.get(number) for number in self.roster.panel)

    def _score(
        self, example: Example, answers: tuple[Any, ...], label: Any
    ) -> tuple[list[float | None], list[Signal]]:
        """Score and watch every member; returns losses, None where it had not answered, and signals."""
        loss_of = self.task.loss
        losses: list[float | None] = []
        signals: list[Signal] = []
        for member, answer in zip(self.roster.members, answers):  # noqa: B905  in the order of the members
            if answer is None:
                losses.append(None)
                if member.number in example.panel:
                    member.score.silent += 1
                continue
            loss = loss_of(answer, label)
            losses.append(loss)
            member.score.add(loss)
            monitor = member.monitor
            if monitor is not None:
                signal = monitor.update(loss, label)
                if signal is not None:
                    signals.append(signal)
        return losses, signals

    def _foresee(self, example: Example, label: Any, loss: float) -> None:
        """Note what an answer was worth: such ones are expected to be worth the same."""
        served = example.served
        number = example.panel[served] if served >= 0 else None
        if self.residuals is None:
            self.foresight.labelled(example.ordinal, number, example.answer, loss, 0.0)
            return
        size = abs(example.answer - label) if served >= 0 else 0.0
        self.foresight.labelled(example.ordinal, number, example.answer, loss, size)
        self.residuals.add(example.panel, example.answers, label, cast(Regression, self.task).sane)

    def _watch_served(self, example: Example, losses: list[float | None], signals: list[Signal]) -> None:
        """Watch the champion's loss, in fallback as well; there what rules answer has a watch of its own."""
        if example.served < 0:
            return
        roster, evidence, number = self.roster, self.evidence, example.panel[example.served]
        if roster.champion_serves:
            signal = None
            if number == roster.champion.number and losses[0] is not None:
                signal = evidence.monitor.update(losses[0], example.label)
        elif roster.falls_back:
            signal = self._watch_fallback(number, losses, example.label, signals)
        else:
            return
        if signal is not None:
            signals.append(signal)

    def _watch_fallback(
        self, number: int, losses: list[float | None], label: Any, signals: list[Signal]
    ) -> Signal | None:
        roster, evidence = self.roster, self.evidence
        signal = None if losses[0] is None else evidence.monitor.update(losses[0], label)
        if signal is not None:
            signals.append(structs.replace(signal, member=roster.champion.slot))
        loss = losses[roster.panel.index(number)] if number < 0 and number in roster.by_number else None
        return None if loss is None else evidence.watch_rules(loss, label)

    def _compare(self, losses: list[float | None], lag: int) -> None:
        """Let every challenger bet against its rival, and the champion and the rules against each other."""
        roster, evidence, champion = self.roster, self.evidence, losses[0]
        members = roster.members
        for index, at in enumerate(roster.rivals, 1):
            loss, rival = losses[index], losses[at]
            if loss is not None and rival is not None:
                evidence.compare(members[index], members[at], at == 0, rival, loss, lag)
        if roster.admitted:
            self._count_idle()
        if champion is not None and (self._numbers or roster.falls_back):
            # compared with the rule that would have answered: the first that did
            rule = next((loss for loss in losses[roster.first_rule :] if loss is not None), champion)
            if roster.falls_back:
                evidence.give_back.add(rule - champion)
            elif roster.champion_serves:
                evidence.take_over.add(champion - rule)
                evidence.ripe = evidence.ripe or evidence.take_over.wealth >= TAKE_OVER

    def _count_idle(self) -> None:
        weights = self.roster.pool.weights
        least = WORTHLESS * sum(weights)
        for index, member in self.roster.admitted:
            member.idle = member.idle + 1 if weights[index] <= least else 0
            if member.idle >= IDLE:
                self.evidence.ripe = True

    def _teach(self, x: dict[str, Any], label: Any, weight: float) -> list[tuple[Member, str]]:
        failed: list[tuple[Member, str]] = []
        roster = self.roster
        if roster.blends:
            roster.blend.learned += 1
        for member in roster.learners:
            if member.learned >= member.due:
                self.good.keep(member, roster.by_number)
            try:
                if weight == 1.0 or member.learn_weighted is None:
                    member.learn(x, label)
                else:
                    member.learn_weighted(x, label, weight)
                member.learned += 1
            except Exception as error:  # noqa: BLE001  one member's trouble is not the others'
                failed.append((member, f"{type(error).__name__}: {error}"))
        if not failed:
            self.good.taught(x, label, weight)
        return failed

    def _rejected(self, command: Command, why: str, timestamp: int, position: str) -> Transition:
        return Transition(
            kind=Kind.REJECTED,
            timestamp=timestamp,
            position=position,
            reason=f"{command.action} was not carried out: {why}.",
            requested_by=command.operator,
            command=command.id,
        )

    def forget_examples(self) -> None:
        """Keep no examples as they came; members that break go back to how they are now."""
        self.good.renew(self.roster.learners, self.roster.by_number)
        self.conduct.automation.recent.clear()

    def state(self) -> dict[str, bytes]:
        """Return everything learned, as named sections of bytes; members one by one."""
        roster = self.roster
        cold = (roster.previous,) if roster.previous is not None else ()
        sections = {f"member.{m.number}": pickling.dumps(m) for m in (*roster.members, *cold) if m.learns}
        rest = {
            "rules": [(m.number, m.slot, m.score) for m in roster.rules],
            "champion": roster.champion.number,
            "models": [m.number for m in roster.models],
            "shadows": [m.number for m in roster.shadows],
            "previous": roster.previous.number if roster.previous else None,
            "blend": (roster.blend.version, roster.blend.learned, roster.blend.score, roster.blend.monitor),
            "composition": roster.composition,
            "pool": roster.pool.state(),
            "mode": str(roster.mode),
            "cause": roster.cause,
            "frozen": roster.frozen,
            "frozen_by": roster.frozen_by,
            "newest": roster.newest,
            "lowest": roster.lowest,
            "good": self.good.state(),
            "task": self.task.state(),
            "served": self.served,
            "evidence": self.evidence,
            "conduct": self.conduct.state(),
            "commands": list(self.commands),
            "registry": self.registry.state(),
        }
        residuals = {} if self.residuals is None else self.residuals.state()
        late = _encode(_Late(self.foresight.state(), residuals))
        return {"learn": pickling.dumps(rest), "late": late, **sections}

    def resume(self, sections: dict[str, bytes]) -> None:
        """Continue from what `state` of the same definition returned."""
        rest = pickling.loads(sections["learn"], self.definition)
        members: dict[int, Member] = {
            int(name.removeprefix("member.")): pickling.loads(data, self.definition)
            for name, data in sections.items()
            if name.startswith("member.")
        }
        roster = self.roster
        blend = roster.blend
        blend.version, blend.learned, blend.score, blend.monitor = rest["blend"]
        members[blend.number] = blend
        roster.champion = members[rest["champion"]]
        roster.models = [members[n] for n in rest["models"]]
        roster.shadows = [members[n] for n in rest["shadows"]]
        roster.previous = members[rest["previous"]] if rest["previous"] is not None else None
        roster.composition = rest["composition"]
        learning = {m.slot: m for m in members.values() if m.is_rule}
        known = {slot: (number, score) for number, slot, score in rest["rules"]}
        for index, rule in enumerate(roster.rules):
            if rule.learns and rule.slot in learning:
                roster.rules[index] = learning[rule.slot]
            elif rule.slot in known:
                rule.number, rule.score = known[rule.slot]
                rule.version = rule.number
        roster.lowest = min([rest.get("lowest", 0), *(m.number for m in roster.rules)])
        roster.mode, roster.cause, roster.frozen = Mode(rest["mode"]), rest["cause"], rest["frozen"]
        roster.frozen_by = rest.get("frozen_by")  # older snapshots do not tell
        roster.newest = rest["newest"]
        self.good.resume(rest["good"])
        roster.rearrange()
        roster.pool.resume(rest["pool"])
        self.task.resume(rest["task"])
        self.evidence, self.served = rest["evidence"], rest["served"]
        self.conduct.evidence, self.conduct.served = self.evidence, self.served
        self.conduct.resume(rest["conduct"])
        self.commands = dict.fromkeys(rest["commands"])
        self.registry.resume(rest["registry"])
        if "late" in sections:  # snapshots from before quality was foreseen have none
            late = _decode(sections["late"])
            self.foresight.resume(late.foresight)
            if self.residuals is not None:
                self.residuals.resume(late.residuals)

    def take_over(self, old: "Learn") -> Transition:
        """Go on where the learning of another definition was; returns what that changed.

        Raises
        ------
        IncompatibleSnapshotError
            When it could not be restored afterwards.
        """
        before, after = old.definition, self.definition
        changed = differences(before, after)
        names = list(changed)
        said = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
        champion = old.roster.name(old.roster.champion)
        self.task.resume(old.task.state())
        came = take_over(self.roster, old.roster)
        self.evidence, self.served = old.evidence, old.served
        self.evidence.follow(after, detects_otherwise(before, after))
        if came.reign:
            self.evidence.new_reign()
        self.conduct.evidence, self.conduct.served = self.evidence, self.served
        self.conduct.take_over(old.conduct)
        self.good.resume(old.good.state())
        self.commands = old.commands
        self.archive.resume(old.archive.state())
        self.registry.resume(old.registry.state())
        self.foresight.resume(old.foresight.state())
        if self.residuals is not None and old.residuals is not None:
            self.residuals.resume(old.residuals.state())
        evidence: dict[str, Any] = {"changes": changed}
        if came.fresh:
            evidence["fresh"] = came.fresh
        if came.left:
            evidence["left"] = came.left
        reason = f"Another definition from here on: {said}."
        if self.roster.mode is Mode.FALLBACK is not old.roster.mode:
            reason += " The champion knows nothing yet: only rules answer until it has proved better."
        return Transition(
            kind=Kind.REDEFINED,
            timestamp=0,
            position="",
            slot=self.roster.champion.slot if came.reign else None,
            from_version=champion if came.reign else None,
            to_version=self.roster.name(self.roster.champion) if came.reign else None,
            reason=reason,
            evidence=evidence,
            definitions=(plain(before), plain(after)),
        )


class _Late(Struct):
    foresight: State
    residuals: dict[int, list[float]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Late).decode
