"""How one partition stands: all that metrics, the operations page and ``meander status`` show.

A `Standing` is built when somebody asks, from the present roster; nothing here runs for an event.
"""

from msgspec import Struct

from learners.bets import Proof
from learners.definition import Definition
from learners.foresight import Share
from learners.lineage import Kind, Transition, short
from learners.policy import GIVE_BACK, MODELS_LEAD, RULES_LEAD, Evidence
from learners.roster import Cause, Member, Mode, Roster
from stream.processing.books import Books
from stream.processing.learn import Learn

RECENT = 40  # transitions kept at hand
NEARLY_FULL = 0.8  # of what may wait
AGES = (60_000, 900_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000)  # 1, 15 min, 1, 6 h, 1, 7 d
BLIND = "Concept drift is invisible to it: it knows the answers, and what such answers were worth."
CHANGES = frozenset(Kind) - {
    Kind.SIGNAL, Kind.SIGNAL_ENDED, Kind.ARCHIVED, Kind.REJECTED, Kind.FORGOTTEN, Kind.EXPIRED, Kind.ORDERED,
    Kind.ADVISED, Kind.APPLIED, Kind.KEPT, Kind.UNDONE,
}  # fmt: skip
"""Kinds after which the roster is not what it was: each raises the revision."""


class Condition(Struct, frozen=True):
    """Something that must hold before a change is made.

    Attributes
    ----------
    name
        What is looked at, for people.
    value
        As it is; None: nothing is known yet, which is not enough.
    need
        What it must reach.
    met
        Whether it does.
    """

    name: str
    value: float | None
    need: float
    met: bool


class Advice(Struct, frozen=True):
    """A decision that waits for a person, in mode ``advise``.

    Attributes
    ----------
    id
        What the command ``approve`` names; each partition counts its own.
    would
        The transition that it would be.
    slot, version
        About whom.
    reason
        Why it was decided.
    """

    id: str
    would: str
    slot: str | None
    version: str | None
    reason: str


class MemberStanding(Struct, kw_only=True):
    """One member of the roster.

    Attributes
    ----------
    slot, number
        Its place, and its version number (rules: negative).
    version
        ``fraud/v7@123400``; None for rules.
    role
        ``champion``, ``challenger``, ``previous`` or ``fallback`` (a rule).
    recipe
        What it is made of; a rule's condition.
    weight
        Its share of the pooled answer, where there is a pool.
    recent, mean
        Loss of late (fading over some 500 labels), and over its life; None before any label.
    total, scored
        Summed loss, and the labels it was scored on.
    coverage
        Share of the labelled events that it had answered.
    learned
        Examples it has learned.
    size
        Bytes in the last snapshot.
    wealth, against, labels
        A challenger's evidence for and against it, and the labels compared.
    conditions
        A challenger's: what promotion waits for.
    """

    slot: str
    number: int
    version: str | None
    role: str
    recipe: str
    weight: float | None = None
    recent: float | None
    mean: float | None
    total: float
    scored: int
    coverage: float
    learned: int
    size: int | None = None
    wealth: float | None = None
    against: float | None = None
    labels: int | None = None
    conditions: tuple[Condition, ...] = ()


class IntervalStanding(Struct, frozen=True):
    """Intervals around the answers of a regression.

    Attributes
    ----------
    half
        From the answer to either end, in the label's unit.
    coverage
        Share of truths that they are to hold.
    held
        Share of truths that they held of late.
    """

    half: float
    coverage: float
    held: float


class KeptStanding(Struct, frozen=True):
    """A champion's state that can be gone back to.

    Attributes
    ----------
    name
        What ``rollback`` may name: ``v7@1200``.
    since
        Event time in milliseconds at which it was kept last.
    """

    name: str
    since: int


class Foreseen(Struct, kw_only=True):
    """How good answers are expected to be, before their labels are there.

    Attributes
    ----------
    loss
        What the last answers are expected to lose, in [0, 1]; None while too few labels have come.
    absolute
        Regression: the same as absolute error, in the label's unit.
    answers
        Over how many of the last answers.
    immature
        Events whose label has not come: what loss says of them is expected, not known.
    deviation
        What was expected, less what became true, over some 500 labels; None while nothing could be judged.
    interval
        Regression: how wide the champion's intervals are, and how often they hold; None while too few labels
        tell.
    blind
        What it cannot know.
    """

    loss: float | None
    absolute: float | None
    answers: int
    immature: int
    deviation: float | None
    interval: IntervalStanding | None = None
    blind: str = BLIND


class LabelStanding(Struct, kw_only=True):
    """How labels come.

    Attributes
    ----------
    answered, labelled
        Events answered, and labels scored: any score rests on no more than these.
    coverage
        Share that was labelled of the events that no longer wait.
    oldest
        Seconds of event time that the oldest prediction has waited.
    nearly_full
        More than four fifths of what may wait do.
    by_age
        Of the last million events: how many of each age have their label.
    """

    answered: int
    labelled: int
    coverage: float | None
    oldest: float | None
    nearly_full: bool
    by_age: tuple[Share, ...]


class Standing(Struct, kw_only=True):
    """One partition.

    Attributes
    ----------
    deployment, task, partition
        Of what.
    revision
        How often the roster changed; a command may name it and is rejected once it is old.
    mode, held, frozen
        Who answers (`learners.roster.Mode`); whether fallback waits for a person; whether nothing learns.
    champion, previous
        Version names.
    served_recent, served_total, served_scored
        Loss of what was really answered: of late, summed, and the labels behind it.
    foreseen
        What answers are expected to lose whose labels are not there yet.
    labels
        How labels come.
    members
        The champion first, then challengers, the previous champion, rules.
    resume
        In fallback: what the champion's return waits for.
    transitions
        The last ones, oldest first.
    books, unaccounted
        Every input and outcome; the difference is 0, or there is a bug.
    pending, pending_limit, early
        Predictions that wait for a label, how many may, and labels that wait for their event.
    watermark
        Latest event time in milliseconds; None before the first event.
    next
        Next offset of each input.
    advice
        What waits for a person, oldest first.
    policies
        Names of those that people apply.
    kept
        What ``rollback`` may name beside the previous champion, oldest first.
    """

    deployment: str
    task: str
    partition: int
    revision: int
    mode: str
    held: bool
    frozen: bool
    champion: str
    previous: str | None
    served_recent: float | None
    served_total: float
    served_scored: int
    foreseen: Foreseen
    labels: LabelStanding
    members: list[MemberStanding]
    resume: tuple[Condition, ...]
    transitions: list[Transition]
    books: Books
    unaccounted: int
    pending: int
    pending_limit: int
    early: int
    watermark: int | None
    next: dict[str, int]
    advice: tuple[Advice, ...] = ()
    policies: tuple[str, ...] = ()
    kept: tuple[KeptStanding, ...] = ()


class Status(Struct, kw_only=True):
    """A record on ``<name>.status``, one for each partition, every second.

    Attributes
    ----------
    at
        When it was said, milliseconds since 1970.
    worker
        Who holds the partition.
    expected
        How many partitions the deployment has.
    standing
        How it stands; its transitions are left out: they have a topic of their own.
    lag
        By topic: records not yet processed, and the age of the oldest in seconds.
    latency, delay
        The worker's histograms (`stream.processing.tally`), counted since it started.
    snapshot_at, snapshot_failures
        When the state was last durable (seconds since 1970), and attempts that failed.
    costs
        By slot: seconds that a member takes of an event, in this worker.
    """

    at: int
    worker: str
    expected: int
    standing: Standing
    lag: dict[str, tuple[int, float]]
    latency: list[int]
    delay: list[int]
    snapshot_at: float | None
    snapshot_failures: int
    costs: dict[str, float] = {}
    schema: int = 1


def foreseen(learn: Learn, immature: int) -> Foreseen:
    """Say what the last answers are expected to lose.

    Parameters
    ----------
    immature
        Events that wait for their label.
    """
    foresight, residuals, interval = learn.foresight, learn.residuals, None
    if residuals is not None:
        found = residuals.held(learn.roster.champion.number)
        if found is not None:
            interval = IntervalStanding(found[0], residuals.coverage, found[1])
    return Foreseen(
        loss=foresight.expected(),
        absolute=None if residuals is None else foresight.expected(sizes=True),
        answers=foresight.answers,
        immature=immature,
        deviation=foresight.deviation,
        interval=interval,
    )


def kept_of(learn: Learn) -> tuple[KeptStanding, ...]:
    """Return the states that can be gone back to."""
    return tuple(KeptStanding(short(name), since) for name, since in learn.archive.kept())


def members_of(learn: Learn, sizes: dict[int, int]) -> list[MemberStanding]:
    """Describe everybody in the roster, with what is known of them.

    Parameters
    ----------
    sizes
        Bytes in the last snapshot, by version number.
    """
    roster, definition, evidence = learn.roster, learn.definition, learn.evidence
    found = [
        _member(roster, definition, m, "champion" if m is roster.champion else "") for m in roster.members
    ]
    if roster.previous is not None and roster.previous.number not in roster.by_number:
        found.insert(roster.first_rule, _member(roster, definition, roster.previous, "previous"))
    shares = roster.shares()
    for standing in found:
        standing.size = sizes.get(standing.number)
        standing.weight = shares.get(standing.number)
        if standing.role == "challenger":
            _add_evidence(standing, definition, roster, evidence)
    return found


def _member(roster: Roster, definition: Definition, member: Member, role: str) -> MemberStanding:
    score = member.score
    rule = definition.rules.get(member.slot) if member.is_rule else None
    model = member.model
    if not role:
        role = "fallback" if member.is_rule else "previous" if member is roster.previous else "challenger"
    return MemberStanding(
        slot=member.slot,
        number=member.number,
        version=None if member.is_rule else roster.name(member),
        role=role,
        recipe=(rule.recipe or rule.when or "") if rule else (model.recipe if model else ""),
        recent=score.recent if score.scored else None,
        mean=score.mean if score.scored else None,
        total=score.total,
        scored=score.scored,
        coverage=score.coverage,
        learned=member.learned,
    )


def _add_evidence(
    standing: MemberStanding, definition: Definition, roster: Roster, evidence: Evidence
) -> None:
    drift, proof = definition.drift, evidence.proofs.get(standing.number, Proof())
    need = evidence.need(standing.number, drift.alpha)
    standing.wealth, standing.against, standing.labels = proof.wealth, proof.against, proof.labels
    least = drift.min_labels if proof.rival in (None, roster.champion.number) else 1
    standing.conditions = (
        Condition("Labels compared", float(proof.labels), float(least), proof.labels >= least),
        Condition("Evidence (e-value)", proof.wealth, need, proof.labels > 0 and proof.wealth >= need),
        Condition("Learning is on", float(not roster.frozen), 1.0, not roster.frozen),
    )


def advice_of(learn: Learn) -> tuple[Advice, ...]:
    """Return what waits for a person."""
    roster, found = learn.roster, []
    for name, decision in learn.conduct.advice.items():
        member = None if decision.number is None else roster.by_number.get(decision.number)
        version = None if member is None or member.is_rule else roster.name(member)
        slot = decision.slot if member is None else member.slot
        found.append(Advice(name, str(decision.kind), slot, version, decision.reason))
    return tuple(found)


def resume_conditions(roster: Roster, evidence: Evidence) -> tuple[Condition, ...]:
    """Return what stands between fallback and the champion's return."""
    if roster.mode is not Mode.FALLBACK:
        return ()
    wealth, share = evidence.give_back.wealth, roster.pool.rules_share
    by_weight = roster.cause is Cause.WEIGHTS and share < MODELS_LEAD
    evidence_for = (
        Condition("Weight of the models", 1.0 - share, 1.0 - RULES_LEAD, by_weight)
        if roster.cause is Cause.WEIGHTS and (by_weight or share > RULES_LEAD)
        else Condition("Evidence for the champion", wealth, GIVE_BACK, wealth >= GIVE_BACK)
    )
    return (
        evidence_for,
        Condition("Not held by an operator", float(not roster.held), 1.0, not roster.held),
        Condition("Learning is on", float(not roster.frozen), 1.0, not roster.frozen),
    )
