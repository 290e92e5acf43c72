"""What the operations page and ``meander status`` show, as structs: the API says this and nothing else."""

from msgspec import Struct

from stream.processing.standing import Condition, IntervalStanding


class Figures(Struct, kw_only=True):
    """The numbers at a glance; None where nothing is known yet.

    Attributes
    ----------
    error_served, error_rules
        Loss of late, in [0, 1]: of what was answered, and of the best rule or baseline among those that
        answer nine tenths of the events.
    events_per_second, labels_per_second
        Over the last seconds.
    latency_median, latency_99
        Seconds from append to acknowledged answer: upper edge of the bucket it falls in.
    lag_records, lag_seconds, lag_partition
        Records not processed, the age of the oldest, and where that is.
    delay_median, delay_95
        Seconds of event time to a label on its own topic.
    pending, pending_share
        Predictions that wait for a label; of what may wait, in the fullest partition.
    dead_letters, dead_letters_per_minute
        Refused records since birth, and of late.
    unaccounted
        0, or a bug.
    """

    error_served: float | None
    error_rules: float | None
    events_per_second: float
    labels_per_second: float
    latency_median: float | None
    latency_99: float | None
    lag_records: int
    lag_seconds: float
    lag_partition: int | None
    delay_median: float | None
    delay_95: float | None
    pending: int
    pending_share: float
    dead_letters: int
    dead_letters_per_minute: float
    unaccounted: int


class Estimate(Struct, kw_only=True):
    """How good answers are taken to be before their labels are there; None where nothing is known yet.

    Attributes
    ----------
    error
        What the last answers are expected to lose, in [0, 1].
    deviation
        Its own error: what was expected less what became true, over some 500 labels.
    absolute
        Regression: the same as absolute error, in the label's unit.
    answers
        Over how many of the last answers.
    immature
        Events whose label has not come.
    coverage
        Share that was labelled of the events that no longer wait.
    oldest
        Seconds of event time that the oldest prediction has waited.
    intervals
        Regression: by partition, how wide the champion's intervals are, and how often they hold.
    blind
        What it cannot know.
    """

    error: float | None
    deviation: float | None
    absolute: float | None
    answers: int
    immature: int
    coverage: float | None
    oldest: float | None
    intervals: dict[int, IntervalStanding]
    blind: str


class SignalRow(Struct, kw_only=True):
    """What was signalled of late of one kind, about one feature.

    Attributes
    ----------
    kind, feature
        Which; the feature is None where it is about answers or labels.
    count, partitions
        How often, counted over partitions, and where.
    at
        Milliseconds since 1970: when it was recorded last.
    over
        Whether its end has been told since.
    about
        The last one's sentence.
    """

    kind: str
    feature: str | None
    count: int
    partitions: list[int]
    at: int
    over: bool
    about: str


class KeptRow(Struct, kw_only=True):
    """A champion's state that ``rollback`` can bring back.

    Attributes
    ----------
    partition, name
        Where, and what it is called: ``v7@1200``.
    since
        Event time in milliseconds at which it was kept last.
    """

    partition: int
    name: str
    since: int


class PartitionRow(Struct, kw_only=True):
    """One partition in the table.

    Attributes
    ----------
    number, worker
        Which, and who holds it; None: nobody.
    serving
        ``champion``, ``fallback``, ``warm_up``, or ``nobody``.
    frozen, held
        Whether nothing learns; whether fallback waits for a person.
    champion, error, lag_records, events_per_second, pending
        As it stands.
    snapshot_age
        Seconds since its state was last durable.
    revision
        How often its roster has changed.
    """

    number: int
    worker: str | None
    serving: str
    frozen: bool
    held: bool
    champion: str | None
    error: float | None
    lag_records: int
    events_per_second: float
    pending: int
    snapshot_age: float | None
    revision: int


class MemberRow(Struct, kw_only=True):
    """One slot of the roster, over the partitions shown.

    Attributes
    ----------
    slot, role, version, recipe
        What it is; where versions differ over partitions, the version is None.
    partitions
        In how many partitions it stands.
    error, scored, coverage, learned
        Loss of late, the labels behind it, the share of labels it had answered, examples learned.
    weight
        Its share of the pooled answer.
    size
        Bytes in the last snapshots.
    evidence
        A challenger's, at its best.
    cost
        Seconds of an event: to be asked, and to be taught its label; None before any was looked at.
    """

    slot: str
    role: str
    version: str | None
    recipe: str
    partitions: int
    error: float | None
    scored: int
    coverage: float | None
    learned: int
    weight: float | None
    size: int | None
    evidence: float | None
    cost: float | None


class Question(Struct, kw_only=True):
    """Why something has not happened yet: each condition, its value and its need.

    Attributes
    ----------
    title
        The question.
    about
        A sentence.
    slot, partition
        Of whom, and where it was looked at.
    conditions
        What it waits for.
    """

    title: str
    about: str
    slot: str | None
    partition: int | None
    conditions: tuple[Condition, ...]


class AdviceRow(Struct, kw_only=True):
    """A decision that waits for a person: see `stream.processing.standing.Advice`."""

    partition: int
    id: str
    would: str
    slot: str | None
    version: str | None
    reason: str


class Happening(Struct, kw_only=True):
    """One transition, or the same one in several partitions.

    Attributes
    ----------
    number
        As on the chart's markers.
    at
        Milliseconds since 1970: when it was recorded.
    kind, slot, before, after, reason, operator, command
        See `learners.lineage.Transition`.
    signal, feature
        Of a signal: what kind, about which feature.
    detail
        Values of features, or the words of an error, where ``[web] show_values`` allows it.
    partitions
        Where.
    """

    number: int
    at: int
    kind: str
    slot: str | None
    before: str | None
    after: str | None
    reason: str
    operator: str | None
    command: str | None
    signal: str | None
    feature: str | None
    detail: str | None
    partitions: list[int]


class Point(Struct, kw_only=True):
    """One moment of the curves.

    Attributes
    ----------
    at
        Milliseconds since 1970.
    served, rules
        Loss of late of what was answered, and of the best rule or baseline that answers about everything.
    champion, previous
        Of these.
    challengers
        Of each challenger, by slot.
    share
        Share of the partitions shown that the champion answers.
    """

    at: int
    served: float | None
    rules: float | None
    champion: float | None
    previous: float | None
    challengers: dict[str, float]
    share: float


class View(Struct, kw_only=True):
    """Everything the page shows: ``GET /api/v1/state``.

    Attributes
    ----------
    deployment, task, scope
        Of what; ``scope`` is ``all`` or a partition number.
    at
        Milliseconds since 1970.
    expected
        How many partitions the deployment has.
    serving
        ``champion``, ``rules``, ``mixed`` or ``nobody``.
    sentence, why
        Who serves, and why.
    revision
        Of the rosters shown, summed: what ``if_revision`` compares with.
    frozen, fallback
        In how many partitions.
    figures, estimate, question, signals, happenings, dead_letters, partitions, members, point
        The parts of the page. Dead letters are by reason; signals and happenings newest first.
    advice
        What waits for a person, where ``mode`` is ``advise``.
    policies
        Names of those that people apply.
    kept
        What a rollback can bring back beside the previous champion, oldest first.
    """

    deployment: str
    task: str
    scope: str
    at: int
    expected: int
    serving: str
    sentence: str
    why: str
    revision: int
    frozen: int
    fallback: int
    figures: Figures
    estimate: Estimate
    question: Question | None
    signals: list[SignalRow]
    happenings: list[Happening]
    dead_letters: dict[str, int]
    partitions: list[PartitionRow]
    members: list[MemberRow]
    advice: list[AdviceRow]
    policies: list[str]
    kept: list[KeptRow]
    point: Point


class History(Struct):
    """The curves so far: ``GET /api/v1/history``."""

    points: list[Point]
