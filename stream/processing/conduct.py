"""Carries out what was decided: by the evidence, by a policy, by a person; each act becomes a transition."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import structs

from learners.automation import RULES, SERVED, Automation, Check
from learners.bets import Proof
from learners.definition import Definition, Model
from learners.detectors import Signal
from learners.errors import MeanderError
from learners.lineage import Kind, Transition
from learners.policies import Policy
from learners.policy import Decision, Evidence, compared
from learners.roster import Cause, Member, Mode, Roster
from learners.scores import Score
from stream.processing.archive import Archive

MOST_ADVICE = 50
FRESH = {"challenge": Kind.CHALLENGED, "retrain": Kind.RETRAINED, "update": Kind.UPDATED}
CHANGES = frozenset(FRESH.values()) | {
    Kind.ADMITTED, Kind.PROMOTED, Kind.DROPPED, Kind.FELL_BACK, Kind.RESUMED, Kind.ROLLED_BACK, Kind.FROZEN,
    Kind.UNFROZEN,
}  # fmt: skip
"""What waits for a person in mode ``advise``."""

REIGNS = frozenset({Kind.PROMOTED, Kind.ROLLED_BACK})
"""After these another is champion."""


class Conduct:
    """Changes the roster as decided.

    Parameters
    ----------
    definition, roster, evidence
        Of one Processor.
    served
        The score of what was served.
    archive
        Keeps champions before and after they change.

    Attributes
    ----------
    automation
        The policies at work.
    advice
        Decisions that wait for a person, by id.
    """

    def __init__(
        self, definition: Definition, roster: Roster, evidence: Evidence, served: Score, archive: Archive
    ) -> None:
        self.definition, self.roster, self.evidence, self.served = definition, roster, evidence, served
        self.archive = archive
        self.automation = Automation(definition)
        self.advice: dict[str, Decision] = {}
        self._advised = 0
        self._advises = definition.mode == "advise"

    # -- decisions by themselves -------------------------------------------------------------------

    def act(self, decisions: Iterable[Decision], timestamp: int, position: str) -> list[Transition]:
        """Carry out decisions in order; in mode ``advise`` those that change the roster wait for a person."""
        told = (self._act(decision, timestamp, position) for decision in decisions)
        return [transition for transition in told if transition is not None]

    def _act(self, decision: Decision, timestamp: int, position: str) -> Transition | None:
        if self._advises and decision.kind in CHANGES and decision.cause is not Cause.FAILURE:
            return self._advise(decision, timestamp, position)
        return self.carry_out(decision, timestamp, position)

    def _advise(self, decision: Decision, timestamp: int, position: str) -> Transition | None:
        """Record a decision instead of carrying it out; None where the same is waiting already."""
        key = (decision.kind, decision.number, decision.slot)
        if any((d.kind, d.number, d.slot) == key for d in self.advice.values()):
            return None
        self._advised += 1
        name = f"a{self._advised}"
        self.advice[name] = decision
        if len(self.advice) > MOST_ADVICE:
            del self.advice[next(iter(self.advice))]
        number = decision.number
        member = None if number is None else self.roster.by_number.get(number)
        return Transition(
            kind=Kind.ADVISED,
            timestamp=timestamp,
            position=position,
            slot=member.slot if member else decision.slot or self.roster.champion.slot,
            to_version=self.roster.name(member) if member else None,
            reason=f"Waits for approval: {decision.reason}",
            evidence={"advice": name, "would": str(decision.kind), **decision.evidence},
        )

    # -- policies ----------------------------------------------------------------------------------

    def follow(
        self, signals: Sequence[Signal], events: int | None, timestamp: int, position: str
    ) -> list[Transition]:
        """Do what the policies want now; ``events`` is None where no event has come."""
        found = self.automation.observe(signals, events, self.evidence.labels, timestamp)
        policies = self.automation.policies
        return [t for i, signal in found for t in self._apply(policies[i], signal, timestamp, position)]

    def _apply(
        self, policy: Policy, signal: Signal | None, timestamp: int, position: str
    ) -> list[Transition]:
        numbers = {"policy": policy.name, **(signal.evidence() if signal else {})}
        reason = (
            f"Policy {policy.name}: {policy.do} on {policy.on}{f': {signal.sentence()}' if signal else '.'}"
        )
        if policy.do == "tell":
            return [
                Transition(
                    kind=Kind.APPLIED, timestamp=timestamp, position=position, reason=reason, evidence=numbers
                )
            ]
        try:
            decision = self._wanted(policy, signal, reason, numbers, timestamp)
        except MeanderError as error:
            reason = f"Policy {policy.name} was not carried out: {error}."
            return [
                Transition(
                    kind=Kind.REJECTED,
                    timestamp=timestamp,
                    position=position,
                    reason=reason,
                    evidence=numbers,
                )
            ]
        transition = self._act(decision, timestamp, position)
        return [] if transition is None else [transition]

    def _wanted(
        self, policy: Policy, signal: Signal | None, reason: str, numbers: dict[str, Any], timestamp: int
    ) -> Decision:
        target = policy.target
        if policy.do == "rollback" and target is not None:
            target = self.archive.find(target, timestamp)
        if target is None and policy.do in FRESH and signal is not None and signal.member is not None:
            concerned = next((m for m in self.roster.members if m.slot == signal.member), None)
            target = concerned.origin if concerned is not None else None
        model = None if policy.recipe is None else Model(recipe=policy.recipe, parameters=policy.parameters)
        wanted = self.decision_of(policy.do, target, reason, numbers, model, policy.last, Cause.POLICY)
        return structs.replace(wanted, policy=policy.name, check=policy.check or 0)

    def _try_out(self, decision: Decision, old: Member) -> None:
        """Put on trial what a policy has just done, or a person has approved of it."""
        roster = self.roster
        champion, number = roster.champion.number, decision.number
        side: int | str = champion
        other: int | str | None = old.number
        match decision.kind:
            case Kind.FELL_BACK:
                side, other = RULES, champion
            case Kind.RESUMED:
                other = RULES
            case Kind.FROZEN:
                side, other = SERVED, None
            case Kind.CHALLENGED | Kind.RETRAINED | Kind.UPDATED:
                shadow = roster.shadows[-1]
                side, other, number = shadow.number, shadow.parent, shadow.number
        due = self.evidence.labels + decision.check
        self.automation.checks.append(
            Check(decision.policy, str(decision.kind), number, side, other, self.served.recent, due)
        )

    def check(
        self, losses: Sequence[float | None], served: float | None, timestamp: int, position: str
    ) -> list[Transition]:
        """Compare, after a label, what is on trial; what has had its labels is kept or undone."""
        checks, told = self.automation.checks, []
        for trial in list(checks):
            other = trial.before if trial.other is None else self._loss_of(trial.other, losses, served)
            trial.add(self._loss_of(trial.side, losses, served), other)
            if self.evidence.labels >= trial.due:
                checks.remove(trial)
                told += self._settle(trial, timestamp, position)
        return told

    def _loss_of(self, side: int | str, losses: Sequence[float | None], served: float | None) -> float | None:
        if side == SERVED:
            return served
        if side == RULES:
            return next((loss for loss in losses[self.roster.first_rule :] if loss is not None), None)
        return losses[self.roster.panel.index(side)] if side in self.roster.by_number else None

    def _settle(self, trial: Check, timestamp: int, position: str) -> list[Transition]:
        """Tell what came of a check, and take back what was no better; in mode ``advise`` a person does."""
        keep, numbers = trial.verdict()
        compared = f"loss {numbers['loss']:.4g} with it, {numbers['without']:.4g} without"
        if not trial.count:
            compared = "no label told one from the other"
        undo = self._undo(trial, compared, numbers)
        proved = trial.kind in FRESH.values() and self._has_proved(trial.number)
        kind = Kind.KEPT if keep or proved else Kind.UNDONE
        if proved:
            reason = f"Policy {trial.policy}: {trial.kind} is kept, for it was admitted by proof: {compared}."
        elif undo is None:
            reason = f"Policy {trial.policy}: {trial.kind} had ended by itself: {compared}."
        elif keep:
            reason = f"Policy {trial.policy}: {trial.kind} is kept: {compared}."
        elif self._advises:
            return self.act([undo], timestamp, position)
        else:
            reason = f"Policy {trial.policy}: {trial.kind} is undone: {compared}."
        told = [
            Transition(kind=kind, timestamp=timestamp, position=position, reason=reason, evidence=numbers)
        ]
        if undo is not None and not keep:
            told += self.act([undo], timestamp, position)
        return told

    def _has_proved(self, number: int | None) -> bool:
        roster = self.roster
        member = None if number is None else roster.by_number.get(number)
        return member is not None and member not in roster.shadows

    def _undo(self, trial: Check, compared: str, numbers: dict[str, Any]) -> Decision | None:
        """Return the opposite of what was done, None where it no longer stands."""
        roster, kind = self.roster, Kind(trial.kind)
        reason = f"Policy {trial.policy}: {trial.kind} was no better in its check: {compared}."
        fallen = roster.mode is Mode.FALLBACK
        match kind:
            case Kind.PROMOTED | Kind.ROLLED_BACK:
                stands = roster.champion.number == trial.side and roster.previous is not None
                return Decision(Kind.ROLLED_BACK, None, reason, numbers) if stands else None
            case Kind.FELL_BACK:
                return Decision(Kind.RESUMED, None, reason, numbers) if fallen and not roster.held else None
            case Kind.RESUMED:
                again = Decision(Kind.FELL_BACK, None, reason, numbers, cause=Cause.POLICY)
                return again if roster.mode is Mode.CHAMPION else None
            case Kind.FROZEN:
                stands = roster.frozen and roster.frozen_by is not Cause.HAND
                return Decision(Kind.UNFROZEN, None, reason, numbers) if stands else None
        in_shadow = any(m.number == trial.number for m in roster.shadows)
        return Decision(Kind.DROPPED, trial.number, reason, numbers) if in_shadow else None

    # -- people ------------------------------------------------------------------------------------

    def asked_for(
        self, action: str, target: str | None, reason: str, timestamp: int, position: str
    ) -> list[Transition]:
        """Carry out what an operator wants.

        Raises
        ------
        MeanderError
            When it cannot be done; the message says why.
        """
        if action == "apply":
            policy = next((p for p in self.automation.policies if p.name == target), None)
            if policy is None or policy.on != "command":
                known = ", ".join(p.name for p in self.automation.policies if p.on == "command") or "none"
                raise MeanderError(f"no policy for people is called {target!r}; there are: {known}")
            return self._apply(policy, None, timestamp, position)
        if action == "approve":
            decision = self.advice.pop(target or "", None)
            if decision is None:
                raise MeanderError(
                    f"no advice is called {target!r}; there are: {', '.join(self.advice) or 'none'}"
                )
            self._still_makes_sense(decision)
        else:
            if action == "rollback" and target is not None:
                target = self.archive.find(target, timestamp)
            decision = self.decision_of(action, target, reason)
        return [self.carry_out(decision, timestamp, position)]

    def _still_makes_sense(self, decision: Decision) -> None:
        roster, kind = self.roster, decision.kind
        member = None if decision.number is None else roster.by_number.get(decision.number)
        gone = kind in (Kind.ADMITTED, Kind.PROMOTED, Kind.DROPPED) and member not in roster.challengers
        if gone or (kind is Kind.ADMITTED and member not in roster.shadows):
            raise MeanderError("the version it was about is no longer a challenger")
        if decision.slot is not None and roster.challenger_of(decision.slot) is not None:
            raise MeanderError(f"{decision.slot} has a started challenger already")
        if kind is Kind.DROPPED and member is not None:
            roster.check_drop(member)
        if decision.archived is not None and decision.archived not in self.archive:
            raise MeanderError(f"the state of {decision.archived} is not kept any more")
        if kind is Kind.ROLLED_BACK and decision.archived is None and roster.previous is None:
            raise MeanderError("there is no previous champion to roll back to")
        if kind is Kind.RESUMED and roster.mode is not Mode.FALLBACK:
            raise MeanderError("the champion answers already")

    def decision_of(
        self,
        action: str,
        target: str | None,
        reason: str,
        numbers: dict[str, Any] | None = None,
        model: Model | None = None,
        last: int = 0,
        cause: Cause = Cause.HAND,
    ) -> Decision:
        """Return the decision that an action comes to, whoever wants it; raises `MeanderError`."""
        roster, evidence = self.roster, {**(numbers or {}), **self._situation(action)}
        match action:
            case "promote" | "drop":
                member = roster.find_challenger(target)
                evidence |= self._beside(member)
                if action == "drop":
                    roster.check_drop(member)
                kind = Kind.PROMOTED if action == "promote" else Kind.DROPPED
                return Decision(kind, member.number, reason, evidence)
            case "rollback" if target is not None:
                evidence["archived"] = target
                return Decision(Kind.ROLLED_BACK, None, reason, evidence, archived=target)
            case "rollback":
                if roster.previous is None:
                    raise MeanderError("there is no previous champion to roll back to")
                return Decision(Kind.ROLLED_BACK, roster.previous.number, reason, evidence)
            case "challenge" | "retrain" | "update":
                slot = target or (roster.models[0] if roster.champion.is_blend else roster.champion).origin
                if slot not in self.definition.models:
                    known = ", ".join(self.definition.models)
                    raise MeanderError(f"no model is called {slot!r}; there are: {known}")
                if roster.challenger_of(slot) is not None:
                    raise MeanderError(f"{slot} has a started challenger already")
                return Decision(FRESH[action], None, reason, evidence, slot=slot, model=model, last=last)
            case "fallback":
                if cause is not Cause.HAND and roster.mode is Mode.FALLBACK:
                    raise MeanderError("only rules answer already")
                return Decision(Kind.FELL_BACK, None, reason, evidence, cause)
            case "resume":
                if roster.mode is not Mode.FALLBACK:
                    raise MeanderError("the champion answers already")
                if cause is not Cause.HAND and roster.held:
                    raise MeanderError("an operator holds the fallback")
                return Decision(Kind.RESUMED, None, reason, evidence)
            case "freeze" | "unfreeze":
                kind = Kind.FROZEN if action == "freeze" else Kind.UNFROZEN
                by_hand = cause is Cause.HAND
                takes_over = (
                    by_hand and roster.frozen_by is Cause.POLICY
                )  # a person's freeze outlasts a policy's
                if roster.frozen == (kind is Kind.FROZEN) and not (roster.frozen and takes_over):
                    raise MeanderError(f"learning is {'frozen' if roster.frozen else 'on'} already")
                if kind is Kind.UNFROZEN and not by_hand and roster.frozen_by is Cause.HAND:
                    raise MeanderError("an operator holds learning frozen")
                return Decision(kind, None, reason, evidence, cause)
        raise MeanderError(f"unknown action {action!r}")

    def _situation(self, action: str) -> dict[str, Any]:
        """Return the numbers that say how things stand when others than evidence decide."""
        roster, served = self.roster, self.served
        found: dict[str, Any] = {"served_recent": served.recent} if served.scored else {}
        if action in ("fallback", "resume"):
            if self.definition.task == "regression":
                found["take_over"], found["give_back"] = (
                    self.evidence.take_over.wealth,
                    self.evidence.give_back.wealth,
                )
            else:
                found["rules_share"] = roster.pool.rules_share
        elif action == "rollback":
            previous = roster.previous
            if roster.champion.score.scored:
                found["champion_recent"] = roster.champion.score.recent
            if previous is not None and previous.score.scored:
                found["previous_recent"] = previous.score.recent
        return found

    def _beside(self, member: Member) -> dict[str, Any]:
        """Return the evidence for a challenger so far."""
        roster, evidence = self.roster, self.evidence
        rival = roster.members[roster.rivals[roster.challengers.index(member)]]
        proof = evidence.proofs.get(member.number, Proof())
        need = evidence.need(member.number, self.definition.drift.alpha)
        return compared(member, rival, proof, need, evidence.delay)

    # -- doing it ----------------------------------------------------------------------------------

    def carry_out(self, decision: Decision, timestamp: int, position: str) -> Transition:
        """Change the roster as decided, and return the record of it."""
        roster, evidence, kind = self.roster, self.evidence, decision.kind
        member = None if decision.number is None else roster.by_number.get(decision.number)
        slot = decision.slot or roster.champion.slot
        old = roster.champion
        before: str | None = roster.name(old)
        after: str | None = None
        if kind in REIGNS:
            self.archive.keep(roster.champion, timestamp)
        match kind:
            case Kind.CHALLENGED | Kind.RETRAINED | Kind.UPDATED:
                started = self._start(decision)
                slot, after = started.slot, roster.name(started)
            case Kind.ADMITTED if member is not None:
                replaced = roster.admit(member)
                slot, after = member.slot, roster.name(member)
                before = None if replaced is None else roster.name(replaced)
                evidence.forget(member.number)
                if replaced is not None:
                    evidence.forget(replaced.number)
            case Kind.PROMOTED if member is not None:
                slot, after = member.slot, roster.name(member)
                roster.promote(member)
                evidence.new_reign()
            case Kind.ROLLED_BACK:
                archived = decision.archived
                back = roster.roll_back() if archived is None else self.archive.bring_back(archived)
                slot, after = back.slot, roster.name(back)
                evidence.new_reign()
            case Kind.DROPPED if member is not None:
                slot, before = member.slot, roster.name(member)
                roster.drop(member)
                evidence.forget(member.number)
            case Kind.FELL_BACK:
                roster.mode, roster.cause = Mode.FALLBACK, decision.cause
                evidence.new_server()
            case Kind.RESUMED | Kind.WARMED_UP:
                roster.mode, roster.cause = Mode.CHAMPION, None
                before, after = None, before
                evidence.new_server()
            case Kind.FROZEN | Kind.UNFROZEN:
                roster.frozen = kind is Kind.FROZEN
                roster.frozen_by = decision.cause if roster.frozen else None
        if kind in REIGNS:
            self.archive.keep(roster.champion, timestamp)
        if kind in CHANGES:
            self.withdraw(kind)
        if decision.check:
            self._try_out(decision, old)
        return Transition(
            kind=kind,
            timestamp=timestamp,
            position=position,
            slot=slot,
            from_version=before,
            to_version=after,
            reason=decision.reason,
            evidence=decision.evidence,
        )

    def _start(self, decision: Decision) -> Member:
        roster = self.roster
        started = roster.start_challenger(
            decision.slot, decision.model, replaces=decision.kind is not Kind.CHALLENGED
        )
        if decision.last:
            for x, label in list(self.automation.recent)[-decision.last :]:
                started.learn(x, label)
                started.learned += 1
        return started

    def withdraw(self, done: Kind) -> None:
        """Forget advice that what was done has overtaken: the same, or about a version that is gone."""
        if self.advice:
            known = self.roster.by_number
            self.advice = {
                name: d
                for name, d in self.advice.items()
                if d.kind is not done and (d.number is None or d.number in known)
            }

    def state(self) -> Any:
        """Return everything remembered."""
        return self.automation.state(), self.advice, self._advised

    def resume(self, state: Any) -> None:
        """Continue from what `state` returned."""
        self.automation.resume(state[0])
        self.advice, self._advised = state[1], state[2]

    def take_over(self, old: "Conduct") -> None:
        """Go on where the one of another definition was; advice about who is gone is forgotten."""
        self.automation.take_over(old.automation)
        known, slots = self.roster.by_number, self.definition.models
        self._advised = old._advised
        self.advice = {
            name: d
            for name, d in old.advice.items()
            if (d.number is None or d.number in known) and (d.slot is None or d.slot in slots)
        }
