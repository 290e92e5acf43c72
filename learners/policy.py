"""When to change one's mind: evidence from every label, and the decisions it leads to.

`Evidence` remembers (monitor, proofs, bets); `decide` is a pure function of it and of the roster.
Nothing here acts: a decision is carried out, and recorded, by whoever asked for it.
"""

from typing import Any

from msgspec import Struct, field

from learners.bets import RISE_STAKES, Bet, Proof
from learners.definition import Definition
from learners.detectors import Monitor, Signal
from learners.lineage import Kind
from learners.roster import Member, Mode, Roster

GIVE_BACK = 100.0  # expected labels, at the least, until rules give back to a champion no better than they


class Decision(Struct, frozen=True):
    """Something to do, and why.

    Attributes
    ----------
    kind
        What to do.
    number
        The version it is about.
    reason
        One sentence.
    evidence
        The numbers behind it.
    """

    kind: Kind
    number: int | None = None
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


class Evidence:
    """What the labels so far say about drift and about who is better.

    Parameters
    ----------
    definition
        Its ``drift`` and ``warm_up`` sections.
    """

    def __init__(self, definition: Definition) -> None:
        drift = definition.drift
        self.monitor = Monitor(drift.detector, drift.parameters, definition.seed, drift.cooldown)
        self.labels = 0
        self._classes: set[Any] = set()
        self._awaited = len(definition.classes)
        self.proofs: dict[int, Proof] = {}
        self._places: dict[int, int] = {}
        self.give_back = Bet(RISE_STAKES, floor=1.0)

    def observe(self, label: Any) -> None:
        """Take note of a label."""
        self.labels += 1
        if len(self._classes) < self._awaited:
            self._classes.add(label)

    def is_warm(self, warm_up: int) -> bool:
        """Whether each declared class was seen, or ``warm_up`` labels came."""
        return self.labels >= warm_up or (self._awaited > 0 and len(self._classes) == self._awaited)

    def compare(self, challenger: Member, champion_loss: float, challenger_loss: float, lag: int) -> None:
        """Take one event that champion and challenger both answered."""
        proof = self.proofs.get(challenger.number)
        if proof is None:
            proof = self.proofs[challenger.number] = Proof()
            self._places[challenger.number] = len(self._places) + 1
        proof.add(champion_loss, challenger_loss, lag)

    def need(self, number: int, alpha: float) -> float:
        """Wealth a candidate must reach: i(i+1)/alpha for the i-th of a reign, so that all share alpha."""
        place = self._places.get(number, len(self._places) + 1)
        return place * (place + 1) / alpha

    def forget(self, number: int) -> None:
        """Drop the comparison of a challenger that left."""
        self.proofs.pop(number, None)

    def new_reign(self) -> None:
        """Another champion: every comparison starts afresh, and so does the watch over what is served."""
        self.proofs.clear()
        self._places.clear()
        self.new_server()

    def new_server(self) -> None:
        """Another answer goes out: the monitor watches that one from here on."""
        self.monitor.restart()
        self.give_back.restart()


def decide(
    definition: Definition, roster: Roster, evidence: Evidence, signal: Signal | None
) -> list[Decision]:
    """Decide what to do after a label. Pure: reads, never changes, roster and evidence."""
    decisions: list[Decision] = []
    if roster.mode is Mode.WARM_UP and evidence.is_warm(definition.warm_up):
        decisions.append(_warmed_up(evidence))
    if signal is not None:
        decisions += _on_signal(definition, roster, signal)
    if roster.frozen:
        return decisions
    if roster.challengers:
        decisions += _on_challengers(definition, roster, evidence)
    if roster.mode is Mode.FALLBACK and not roster.held and evidence.give_back.wealth >= GIVE_BACK:
        wealth = evidence.give_back.wealth
        reason = (
            f"The champion has proved better than the rules (evidence {wealth:.0f}, needs {GIVE_BACK:.0f})."
        )
        numbers = {"wealth": wealth, "need": GIVE_BACK}
        decisions.append(Decision(Kind.RESUMED, roster.champion.number, reason, numbers))
    return decisions


def _warmed_up(evidence: Evidence) -> Decision:
    reason = f"{evidence.labels} labels came: the champion answers from here on."
    return Decision(Kind.WARMED_UP, None, reason, {"labels": evidence.labels})


def _on_signal(definition: Definition, roster: Roster, signal: Signal) -> list[Decision]:
    rise = f"from {signal.before:.3f} to {signal.after:.3f}"
    numbers = signal.evidence()
    reason = f"{signal.detector}: the loss of what is served rose {rise}."
    found = [Decision(Kind.SIGNAL, None, reason, numbers)]
    action = definition.drift.on_drift
    if roster.frozen or action == "tell":
        return found
    if action in ("challenge", "retrain"):
        if roster.challenger_of(roster.champion.slot) is None:
            kind = Kind.CHALLENGED if action == "challenge" else Kind.RETRAINED
            found.append(
                Decision(kind, None, f"Drift: a fresh {roster.champion.slot} starts in shadow.", numbers)
            )
    elif roster.mode is Mode.CHAMPION:
        found.append(Decision(Kind.FELL_BACK, None, "Drift: only rules answer from here on.", numbers))
    return found


def _on_challengers(definition: Definition, roster: Roster, evidence: Evidence) -> list[Decision]:
    drift = definition.drift
    best: Decision | None = None
    lost: list[Decision] = []
    for member in roster.challengers:
        proof = evidence.proofs.get(member.number)
        if proof is None:
            continue
        need = evidence.need(member.number, drift.alpha)
        if proof.labels >= drift.min_labels and proof.wealth >= need:
            numbers = _standing(roster, member, proof, need)
            reason = (
                f"{member.slot} has proved better than {roster.champion.slot}: "
                f"evidence {proof.wealth:.0f}, needs {need:.0f}."
            )
            if best is None or proof.wealth > best.evidence["wealth"]:
                best = Decision(Kind.PROMOTED, member.number, reason, numbers)
        elif member.started and (proof.against >= 1 / drift.alpha or proof.labels >= drift.patience):
            numbers = _standing(roster, member, proof, need)
            reason = f"{member.slot} has proved nothing in {proof.labels} labels."
            lost.append(Decision(Kind.DROPPED, member.number, reason, numbers))
    return [best] if best else lost


def _standing(roster: Roster, member: Member, proof: Proof, need: float) -> dict[str, Any]:
    return {
        "wealth": proof.wealth,
        "against": proof.against,
        "need": need,
        "labels": proof.labels,
        "champion_recent": roster.champion.score.recent,
        "challenger_recent": member.score.recent,
    }
