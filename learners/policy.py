"""When to change one's mind: evidence from every label, and the decisions it leads to.

`Evidence` remembers (monitors, proofs, bets); `decide` is a pure function of it and of the roster.
Nothing here acts: a decision is carried out, and recorded, by whoever asked for it.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from learners.bets import RISE_STAKES, Bet, Proof
from learners.definition import Definition, Model
from learners.detectors import ClassMonitor, Monitor, Signal, SignalKind, make_monitor
from learners.lineage import Kind
from learners.recipes import RECIPES
from learners.roster import Cause, Member, Mode, Roster

GIVE_BACK = 100.0  # expected labels, at the least, until rules give back to a champion no better than they
TAKE_OVER = 10_000.0  # the same until rules take over from a champion no worse than they (numbers)
RULES_LEAD, MODELS_LEAD = 0.6, 0.4  # smoothed share of the rules: fallback above, given back below (classes)
CLAIM = 0.7  # of a candidate's stake: put in at first; the rest is kept for signals
FIRST_SIGNALS, EACH_SIGNAL = (
    0.1,
    0.002,
)  # shared by the signals of a span, most of it by the first; and for each
SIGNAL_SPAN, SIGNAL_GAP = 10_000, 100  # labels; signals older are forgotten, and nearer count as one
CANDIDATES = math.pi**2 / 6.0  # the sum of 1 / i^2
COVERAGE = 0.9  # share of the events a candidate must have answered
LEAST_BETS = 200  # a challenger in shadow gets so many before its patience ends
WORTHLESS, IDLE = 0.02, 1000  # an admitted member whose weight was no more for so many labels leaves


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
    cause
        Of a fallback.
    slot
        Of which model a fresh version is to start, or whose loss rose.
    model, last
        Its recipe, where it is another; and how many of the last labelled events it learns first.
    archived
        Of a rollback to what is not in the roster any more: the version's name.
    policy, check
        Which policy asked for it, and after how many labels it is to be checked; 0: it is not.
    """

    kind: Kind
    number: int | None = None
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    cause: Cause | None = None
    slot: str | None = None
    model: Model | None = None
    last: int = 0
    archived: str | None = None
    policy: str = ""
    check: int = 0


class Evidence:
    """What the labels so far say about drift and about who is better.

    Parameters
    ----------
    definition
        Its ``drift`` and ``warm_up`` sections.

    Attributes
    ----------
    monitor
        Watches the loss of the champion, in fallback as well: what rules answer is no reason to forget how
        good it was. (Those of other members belong to the members.)
    rules_monitor
        Watches the loss of what rules answer, since they do.
    proofs
        By the number of the challenger.
    give_back, take_over
        Bets that the champion is better than the rules, and that the rules are better than the champion.
    ripe
        Whether the last label has brought a comparison near a decision.
    delay
        How late the last label came: events predicted since its own.
    """

    rules_monitor: Monitor | ClassMonitor | None = None  # here, for older snapshots have none
    delay = 0

    def __init__(self, definition: Definition) -> None:
        drift = definition.drift
        self.monitor = make_monitor(definition)
        self.labels = 0
        self._classes: set[Any] = set()
        self._awaited = len(definition.classes)
        self._near, self._patience = 1.0 / drift.alpha, drift.patience
        self.proofs: dict[int, Proof] = {}
        self._places: dict[int, int] = {}
        self._signals: deque[int] = deque()
        self.give_back = Bet(RISE_STAKES, floor=1.0)
        self.take_over = Bet(RISE_STAKES, floor=1.0)
        self.ripe = False

    def follow(self, definition: Definition, anew: bool) -> None:
        """Go on with the thresholds of another definition; ``anew``: what was compared counts no more."""
        drift = definition.drift
        self._near, self._patience = 1.0 / drift.alpha, drift.patience
        self.rules_monitor = None
        if anew:
            self.monitor = make_monitor(definition)
            self.proofs.clear()
            self.new_reign()
        self.monitor.cooldown = drift.cooldown

    def observe(self, label: Any, delay: int) -> int:
        """Take note of a label that came so many events after its own; returns how many there were."""
        self.delay = delay
        labels = self.labels = self.labels + 1
        if len(self._classes) < self._awaited:
            self._classes.add(label)
        return labels

    def is_warm(self, warm_up: int) -> bool:
        """Whether each declared class was seen, or ``warm_up`` labels came."""
        return self.labels >= warm_up or (self._awaited > 0 and len(self._classes) == self._awaited)

    def compare(
        self, challenger: Member, rival: Member, claims: bool, rival_loss: float, loss: float, lag: int
    ) -> None:
        """Take one event that a challenger and its rival answered; or the champion, whose place it claims."""
        proof = self.proofs.get(challenger.number)
        if proof is None or proof.rival != rival.number:
            proof = self._begin(challenger.number, rival.number, claims)
        proof.add(rival_loss, loss, lag)
        if proof.wealth >= self._near or (
            challenger.started and (proof.against >= self._near or proof.labels >= self._patience)
        ):
            self.ripe = True

    def _begin(self, number: int, rival: int, claims: bool) -> Proof:
        if claims:
            self._places[number] = len(self._places) + 1
            proof = Proof(CLAIM, rival)
        else:
            self._places.pop(number, None)
            proof = Proof(rival=rival)
        self.proofs[number] = proof
        return proof

    def need(self, number: int, alpha: float) -> float:
        """Return the wealth a challenger must reach.

        For admission ``1 / alpha``. To become champion ``pi^2/6 i^2 / alpha`` for the i-th candidate of a
        reign, so that all of them share alpha.
        """
        if number in self.proofs and number not in self._places:
            return self._near
        place = self._places.get(number, len(self._places) + 1)
        return CANDIDATES * place * place / alpha

    def signalled(self) -> None:
        """Let candidates stake more after a signal, the less the more signals came.

        In `SIGNAL_SPAN` labels there are at most so many signals that all their stakes and the first one add
        up to 1: in a span a false promotion is as rare as alpha says, however many signals come.
        """
        signals = self._signals
        if signals and self.labels - signals[-1] < SIGNAL_GAP:
            return
        while signals and signals[0] <= self.labels - SIGNAL_SPAN:
            signals.popleft()
        signals.append(self.labels)
        stake = FIRST_SIGNALS / (len(signals) * (len(signals) + 1)) + EACH_SIGNAL
        for number in self._places:
            if number in self.proofs:
                self.proofs[number].top_up(stake)

    def forget(self, number: int) -> None:
        """Drop the comparison of a challenger that left."""
        self.proofs.pop(number, None)

    def new_reign(self) -> None:
        """Another champion: candidates start afresh, and so does the watch over its loss."""
        self.proofs = {n: proof for n, proof in self.proofs.items() if n not in self._places}
        self._places.clear()
        self._signals.clear()
        self.monitor.restart()
        self._bet_anew()

    def new_server(self) -> None:
        """Champion or rules answer from here on: they bet against each other afresh."""
        self.rules_monitor = None
        self._bet_anew()

    def _bet_anew(self) -> None:
        self.give_back.restart()
        self.take_over.restart()

    def watch_rules(self, loss: float, label: Any) -> Signal | None:
        """In fallback, take the loss of what rules answered."""
        if self.rules_monitor is None:
            self.rules_monitor = self.monitor.another()
        return self.rules_monitor.update(loss, label)


def decide(
    definition: Definition, roster: Roster, evidence: Evidence, signals: Sequence[Signal] = ()
) -> list[Decision]:
    """Decide what to do after a label. Pure: reads, never changes, roster and evidence."""
    decisions: list[Decision] = []
    if roster.mode is Mode.WARM_UP and evidence.is_warm(definition.warm_up):
        decisions.append(_warmed_up(evidence))
    for signal in signals:
        decisions += _on_signal(definition, roster, signal)
    if roster.frozen:
        return _once(decisions)
    if roster.challengers:
        decisions += _on_challengers(definition, roster, evidence)
    if roster.mode is Mode.CHAMPION:
        decisions += _to_rules(definition, roster, evidence)
    elif roster.mode is Mode.FALLBACK:
        decisions += _from_rules(definition, roster, evidence)
    return _once(decisions)


def _once(decisions: list[Decision]) -> list[Decision]:
    """Two signals at once may ask for the same thing: it is done once."""
    done: set[tuple[Any, ...]] = set()
    found = []
    for decision in decisions:
        what = (decision.kind, decision.number, decision.slot)
        if decision.kind is Kind.SIGNAL or what not in done:
            found.append(decision)
        done.add(what)
    return found


def _warmed_up(evidence: Evidence) -> Decision:
    reason = f"{evidence.labels} labels came: the champion answers from here on."
    return Decision(Kind.WARMED_UP, None, reason, {"labels": evidence.labels})


def _on_signal(definition: Definition, roster: Roster, signal: Signal) -> list[Decision]:
    numbers = signal.evidence()
    found = [Decision(Kind.SIGNAL, None, signal.sentence(), numbers, slot=signal.member)]
    action = definition.drift.on_drift
    if roster.frozen or action == "tell" or signal.kind is not SignalKind.CONCEPT:
        return found
    if action in ("challenge", "retrain"):
        model = _to_renew(roster, signal.member)
        if model is not None and (action == "retrain" or not _renews_itself(model)):
            kind = Kind.CHALLENGED if action == "challenge" else Kind.RETRAINED
            reason = f"Drift: a fresh {model.slot} starts in shadow."
            found.append(Decision(kind, None, reason, numbers, slot=model.origin))
    elif roster.mode is Mode.CHAMPION and signal.member is None:
        reason = "Drift: only rules answer from here on."
        found.append(Decision(Kind.FELL_BACK, None, reason, numbers, Cause.POLICY))
    return found


def _to_renew(roster: Roster, slot: str | None) -> Member | None:
    """Return the declared model that a signal is about, if no fresh version of it is on trial."""
    if slot is None:
        model = None if roster.champion.is_blend else roster.champion
    else:
        model = next((m for m in roster.models if m.slot == slot), None)
    if model is None or model.is_child or roster.challenger_of(model.origin) is not None:
        return None
    return model


def _renews_itself(model: Member) -> bool:
    known = RECIPES.get(model.model.recipe) if model.model else None
    return known is not None and known.renews


def _on_challengers(definition: Definition, roster: Roster, evidence: Evidence) -> list[Decision]:
    drift = definition.drift
    best: Decision | None = None
    others: list[Decision] = []
    for member, at in zip(roster.challengers, roster.rivals, strict=True):
        proof, rival = evidence.proofs.get(member.number), roster.members[at]
        if proof is None or proof.rival != rival.number:
            continue
        need = evidence.need(member.number, drift.alpha)
        if at == 0 and proof.labels >= drift.min_labels and proof.wealth >= need:
            if member.score.silent > (1.0 - COVERAGE) * (member.score.scored + member.score.silent):
                continue
            numbers = compared(member, rival, proof, need, evidence.delay)
            reason = (
                f"{member.slot} has proved better than {rival.slot}: "
                f"evidence {proof.wealth:.4g}, needs {need:.4g}."
            )
            if best is None or proof.wealth > best.evidence["wealth"]:
                best = Decision(Kind.PROMOTED, member.number, reason, numbers)
        elif at > 0 and proof.wealth >= need:
            numbers = compared(member, rival, proof, need, evidence.delay)
            place = "takes the place of" if member.replaces else "joins the pool beside"
            reason = f"{member.slot} {place} {rival.slot}: evidence {proof.wealth:.4g}, needs {need:.4g}."
            others.append(Decision(Kind.ADMITTED, member.number, reason, numbers))
        elif member.started and _is_lost(proof, definition):
            numbers = compared(member, rival, proof, need, evidence.delay)
            worse = proof.against >= 1.0 / drift.alpha
            proved = f"worse than {rival.slot}" if worse else "nothing"
            reason = f"{member.slot} has proved {proved} in {proof.labels} labels."
            others.append(Decision(Kind.DROPPED, member.number, reason, numbers))
    for _, member in roster.admitted:
        if member.idle >= IDLE and member is not roster.champion:
            reason = f"{member.slot} was worth next to nothing to the pool for {member.idle} labels."
            others.append(Decision(Kind.DROPPED, member.number, reason, {"labels": member.idle}))
    return [best] if best else others


def _is_lost(proof: Proof, definition: Definition) -> bool:
    if proof.against >= 1.0 / definition.drift.alpha:
        return True
    late = proof.bets < proof.labels
    return proof.labels >= definition.drift.patience and (not late or proof.bets >= LEAST_BETS)


def compared(member: Member, rival: Member, proof: Proof, need: float, delay: int) -> dict[str, Any]:
    """Return the numbers of a challenger beside whom it must prove better than."""
    return {
        "wealth": proof.wealth,
        "against": proof.against,
        "need": need,
        "labels": proof.labels,
        "bets": proof.bets,
        "delay": delay,
        "rival": rival.slot,
        "rival_recent": rival.score.recent,
        "challenger_recent": member.score.recent,
    }


def _to_rules(definition: Definition, roster: Roster, evidence: Evidence) -> list[Decision]:
    """Fall back where the evidence is that rules do better."""
    if definition.task != "regression":
        share = roster.pool.rules_share
        if share <= RULES_LEAD:
            return []
        reason = f"Rules hold {share:.0%} of the weight: only they answer from here on."
        numbers = {"rules_share": share, "need": RULES_LEAD, "delay": evidence.delay}
        return [Decision(Kind.FELL_BACK, None, reason, numbers, Cause.WEIGHTS)]
    wealth = evidence.take_over.wealth
    if wealth < TAKE_OVER:
        return []
    reason = (
        f"Rules have proved better than the champion (evidence {wealth:.4g}, needs {TAKE_OVER:.4g}): "
        "only they answer from here on."
    )
    numbers = {"wealth": wealth, "need": TAKE_OVER, "delay": evidence.delay}
    return [Decision(Kind.FELL_BACK, None, reason, numbers, Cause.PROOF)]


def _from_rules(definition: Definition, roster: Roster, evidence: Evidence) -> list[Decision]:
    """Give back by the opposite of the evidence that rules took over by; never by time."""
    cause, share, wealth = roster.cause, roster.pool.rules_share, evidence.give_back.wealth
    number = roster.champion.number
    if cause is Cause.HAND:
        return []
    if cause is Cause.WEIGHTS and share < MODELS_LEAD:
        reason = f"Rules hold only {share:.0%} of the weight: the champion answers again."
        numbers = {"rules_share": share, "need": MODELS_LEAD, "delay": evidence.delay}
        return [Decision(Kind.RESUMED, number, reason, numbers)]
    if wealth < GIVE_BACK or (definition.task != "regression" and share > RULES_LEAD):
        return []
    reason = f"The champion has proved better than the rules (evidence {wealth:.4g}, needs {GIVE_BACK:.4g})."
    numbers = {"wealth": wealth, "need": GIVE_BACK, "delay": evidence.delay}
    return [Decision(Kind.RESUMED, number, reason, numbers)]
