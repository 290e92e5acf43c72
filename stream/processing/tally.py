"""Counts for metrics, in plain Python: once for each batch, from what the Processor keeps anyway.

Everything counts from the moment a worker takes a partition, and every name that may be counted is there at 0
from that moment on. What a partition said again while it caught up is not counted twice.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from operator import attrgetter
from typing import NamedTuple, get_args

from learners.detectors import SignalKind
from learners.errors import InsaneAnswerError
from learners.lineage import Kind, Transition
from stream.messages import Action, DeadLetter, Output, Reason, Source
from stream.processing.probe import STAGES
from stream.processing.processor import Processor
from stream.processing.standing import Standing

LATENCY_EDGES = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
"""Upper edges in milliseconds; 250 is the objective."""
DELAY_EDGES = (1000, 10_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000)
"""Upper edges in milliseconds: 1, 10 s, 1, 5, 15 min, 1, 6 h, 1, 7 d."""

EVENTS = {"predicted": "predicted", "duplicate": "duplicate", "refused": "dead_letter"}
LABELS = {
    "learned": "learned",
    "scored_only": "scored_only",
    "duplicate_label": "duplicate",
    "relabelled": "corrected",
    "late": "late",
    "unmatched": "unmatched",
    "unavailable": "unavailable",
    "refused_label": "dead_letter",
}
"""Fields of the books, and what metrics call the outcome."""

_ANY = (Reason.UNDECODABLE, Reason.ENVELOPE, Reason.SCHEMA_VERSION, Reason.TOO_LARGE)
_REFUSALS = {
    Source.EVENTS: (*_ANY, Reason.CONTRACT, Reason.TIMESTAMP, Reason.LABEL),
    Source.LABELS: (*_ANY, Reason.LABEL, Reason.TIMESTAMP, Reason.UNMATCHED),
    Source.CONTROL: _ANY,
}


_WATCHED = (
    (str(SignalKind.DATA), "bins"), (str(SignalKind.PREDICTION), "bins"), (str(SignalKind.PRODUCER), "bins"),
    (str(SignalKind.LABEL_SILENCE), "silence"),
)  # fmt: skip
_SERVED_BY = attrgetter("message.served_by")


class Histogram:
    """A histogram of milliseconds with fixed edges.

    Parameters
    ----------
    edges
        Upper edges, inclusive.

    Attributes
    ----------
    counts
        Values in each bucket, not cumulative; the last is for what lies above all edges.
    sum
        Of all values, in milliseconds.

    Examples
    --------
    >>> histogram = Histogram((10, 100))
    >>> histogram.add([3, 10, 11, 500])
    >>> histogram.counts, histogram.sum
    ([2, 1, 1], 524)
    """

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum: float = 0

    def add(self, values: Iterable[float]) -> None:
        """Count values. They are sorted once, so that only the edges are searched for."""
        ordered = sorted(values)
        self.sum += sum(ordered)
        below = 0
        for index, edge in enumerate(self.edges):
            upto = bisect_right(ordered, edge, below)
            self.counts[index] += upto - below
            below = upto
        self.counts[-1] += len(ordered) - below

    def add_ages(self, now: float, times: Iterable[float]) -> None:
        """Count how long ago these times are; what lies ahead of now (clocks differ) counts as 0.

        >>> histogram = Histogram((10, 100))
        >>> histogram.add_ages(1000, [1002, 990, 989, 500])
        >>> histogram.counts, histogram.sum
        ([2, 1, 1], 521)
        """
        ordered = sorted(times)
        ahead = bisect_right(ordered, now)
        self.sum += now * ahead - sum(ordered[:ahead])
        young = len(ordered)
        for index, edge in enumerate(self.edges):
            older = bisect_left(ordered, now - edge, 0, young)
            self.counts[index] += young - older
            young = older
        self.counts[-1] += young


class Tally:
    """What happened in one partition since this worker took it.

    Parameters
    ----------
    processor
        Of the partition, as restored.

    Attributes
    ----------
    events, labels, served
        Records read, and answers sent, by what became of them.
    dead_letters
        By topic and reason.
    transitions
        By kind.
    signals
        By kind and detector.
    loss, scored
        By slot and role: summed loss and the labels behind it.
    nonfinite
        By slot: answers that were not finite, or no probabilities.
    expired
        Predictions whose label never came.
    """

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        definition = processor.definition
        self.events = dict.fromkeys(EVENTS.values(), 0)
        self.labels = dict.fromkeys(LABELS.values(), 0)
        self.served = {"champion": 0, "rule": 0, "default": 0}
        self.dead_letters = {(str(t), str(r)): 0 for t, reasons in _REFUSALS.items() for r in reasons}
        self.transitions = {str(kind): 0 for kind in Kind}
        self.signals = {("concept", definition.drift.detector): 0, **dict.fromkeys(_WATCHED, 0)}
        self.loss: dict[tuple[str, str], float] = {}
        self.scored: dict[tuple[str, str], int] = {}
        self.nonfinite: dict[str, int] = {}
        self.served_loss, self.served_scored = 0.0, 0
        self.expired = 0
        self._scores: dict[int, tuple[float, int]] = {}
        self._books = {name: getattr(processor.books, name, 0) for name in (*EVENTS, *LABELS, "expired")}
        self._served = (processor.learn.served.total, processor.learn.served.scored)
        self._members()

    def take(self, source: str, outputs: Sequence[Output]) -> None:
        """Count one batch.

        Parameters
        ----------
        source
            The topic its records came from: ``events``, ``labels`` or ``control``.
        outputs
            What came of them.
        """
        answers: Iterable[Output] = outputs
        if self._processor.books.predicted - self._books["predicted"] != len(outputs):  # not answers alone
            answers = [output for output in outputs if output.topic == "predictions"]
            for output in outputs:
                if isinstance(output.message, Transition):
                    self._transition(output.message)
                elif isinstance(output.message, DeadLetter):
                    key = (source, str(output.message.reason))
                    self.dead_letters[key] = self.dead_letters.get(key, 0) + 1
        for name, count in Counter(map(_SERVED_BY, answers)).items():
            self.served[name.partition(":")[0]] += count
        self._outcomes()
        self._members()

    def _transition(self, transition: Transition) -> None:
        kind = str(transition.kind)
        self.transitions[kind] += 1
        if transition.kind is Kind.SIGNAL:
            evidence = transition.evidence
            key = (str(evidence.get("signal", "concept")), str(evidence.get("detector", "")))
            self.signals[key] = self.signals.get(key, 0) + 1
        elif (
            transition.kind is Kind.FAILED
            and transition.slot
            and InsaneAnswerError.__name__ in transition.reason
        ):
            self.nonfinite[transition.slot] = self.nonfinite.get(transition.slot, 0) + 1

    def _outcomes(self) -> None:
        books, last = self._processor.books, self._books
        for names, counts in ((EVENTS, self.events), (LABELS, self.labels)):
            for name, outcome in names.items():
                now = getattr(books, name, 0)
                if now > last[name]:
                    counts[outcome] += now - last[name]
                last[name] = now
        self.expired += max(0, books.expired - last["expired"])
        last["expired"] = books.expired
        served, (total, scored) = self._processor.learn.served, self._served
        if served.total >= total:  # a corrected label may take some back: then later loss makes up for it
            self.served_loss += served.total - total
            self.served_scored += served.scored - scored
            self._served = (served.total, served.scored)

    def _members(self) -> None:
        """Add what each member was scored on since; a version that is new counts from its birth."""
        roster, scores = self._processor.learn.roster, self._scores
        known = bool(scores)
        for member in roster.members:
            role = "fallback" if member.is_rule else "champion" if member is roster.champion else "challenger"
            key, score = (member.slot, role), member.score
            if key not in self.scored:
                self.loss[key], self.scored[key] = 0.0, 0
                self.nonfinite.setdefault(member.slot, 0)
            total, scored = scores.get(member.number, (0.0, 0) if known else (score.total, score.scored))
            if score.scored < scored:  # another version under the same number: a rule made anew
                total, scored = 0.0, 0
            if score.total >= total:  # as above
                self.loss[key] += score.total - total
                self.scored[key] += score.scored - scored
                total, scored = score.total, score.scored
            scores[member.number] = (total, scored)
        if len(scores) > 2 * len(roster.members):
            self._scores = {number: scores[number] for number in roster.panel}


class WorkerTally:
    """What one worker did, over all its partitions.

    Attributes
    ----------
    latency, delay
        Milliseconds from append to the acknowledged answer; and from event time to a label that came later.
    seconds
        By stage: where the time of the worker's loop goes.
    models
        Seconds by slot and ``predict`` or ``learn``.
    commands
        Operators' commands by action and outcome (``applied``, ``rejected``), counted in each partition.
    batches
        Batches processed.
    restores, rebalances
        Partitions restored, by source (``snapshot``, ``log``), and times the group was shared out anew.
    """

    def __init__(self) -> None:
        self.latency, self.delay = Histogram(LATENCY_EDGES), Histogram(DELAY_EDGES)
        self.seconds = dict.fromkeys((*STAGES, "other", "emit", "snapshot"), 0.0)
        self.models: dict[tuple[str, str], float] = {}
        self.commands = Counter(dict.fromkeys(product(get_args(Action), ("applied", "rejected")), 0))
        self.batches = 0
        self.restores = {"snapshot": 0, "log": 0}
        self.rebalances = 0

    def take(self, processor: Processor) -> None:
        """Take out of a processor what it has noted for whoever counts."""
        self.delay.add(processor.delays)
        self.commands.update(processor.commands)
        processor.forget_counts()


class PartitionFacts(NamedTuple):
    """One partition, as a worker sees it now.

    Attributes
    ----------
    standing, tally
        What it is, and what it has done.
    lag
        By topic: records not yet processed, and the age of the oldest in seconds.
    snapshot_at, snapshot_bytes, snapshot_failures
        The last durable snapshot (seconds since 1970; None before the first), its size, and the attempts
        that failed.
    """

    standing: Standing
    tally: Tally
    lag: dict[str, tuple[int, float]]
    snapshot_at: float | None
    snapshot_bytes: int
    snapshot_failures: int


class WorkerFacts(NamedTuple):
    """What a worker knows of itself now.

    Attributes
    ----------
    tally
        What it did.
    partitions
        Those it holds.
    expected
        How many partitions the deployment has.
    ready
        Whether all that is assigned is restored, and nothing is being shared out.
    """

    tally: WorkerTally
    partitions: list[PartitionFacts]
    expected: int
    ready: bool
