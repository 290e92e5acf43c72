"""``/metrics``: one collector that turns a worker's facts into Prometheus families when it is scraped.

Nothing is counted here: a partition which left is gone from the next scrape, and an event costs nothing.

References
----------
https://prometheus.io/docs/practices/naming, https://prometheus.io/docs/instrumenting/writing_exporters
"""

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator
from math import log10

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from learners.definition import BLEND
from stream.processing.standing import Standing
from stream.processing.tally import Histogram, PartitionFacts, WorkerFacts, WorkerTally

P = "partition"
Samples = Iterable[tuple[tuple[object, ...], float]]
PLAIN: tuple[tuple[str, str, Callable[[Standing], float]], ...] = (
    ("pending_labels", "Predictions that wait for a label.", lambda s: s.pending),
    ("pending_labels_limit", "How many may wait.", lambda s: s.pending_limit),
    ("early_labels", "Labels that wait for their event.", lambda s: s.early),
    ("watermark_timestamp_seconds", "Latest event time.", lambda s: (s.watermark or 0) / 1000),
    ("revision", "How often the roster has changed.", lambda s: s.revision),
)
LATE: tuple[tuple[str, str, Callable[[Standing], float | None]], ...] = (
    (
        "estimated_error_ratio",
        "Expected loss of the last answers, labels or not; blind to concept drift.",
        lambda s: s.foreseen.loss,
    ),
    (
        "estimated_absolute_error",
        "The same as absolute error, where answers are numbers.",
        lambda s: s.foreseen.absolute,
    ),
    (
        "estimate_deviation_ratio",
        "Expected loss less what became true, over some 500 labels.",
        lambda s: s.foreseen.deviation,
    ),
    ("label_coverage_ratio", "Labelled among events that no longer wait.", lambda s: s.labels.coverage),
    ("oldest_pending_seconds", "Event time the oldest prediction has waited.", lambda s: s.labels.oldest),
    ("pending_nearly_full", "1 when over four fifths of what may wait do.", lambda s: s.labels.nearly_full),
)


class WorkerCollector(Collector):
    """Renders the facts of one worker.

    Parameters
    ----------
    deployment
        Its name: a label of every series.
    facts
        Returns what the worker knows of itself now.
    """

    def __init__(self, deployment: str, facts: Callable[[], WorkerFacts]) -> None:
        self._deployment, self._facts = deployment, facts

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        facts = self._facts()
        yield from self._worker(facts)
        yield from self._records(facts.partitions)
        yield from self._quality(facts.partitions)
        yield from self._state(facts.partitions)

    def _counter(self, name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
        family = CounterMetricFamily(f"meander_{name}", text, labels=("deployment", *labels))
        for values, value in samples:
            family.add_metric((self._deployment, *map(str, values)), value)
        return family

    def _gauge(self, name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
        family = GaugeMetricFamily(f"meander_{name}", text, labels=("deployment", *labels))
        for values, value in samples:
            family.add_metric((self._deployment, *map(str, values)), value)
        return family

    def _histogram(self, name: str, text: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(f"meander_{name}", text, labels=("deployment",))
        buckets, upto = [], 0
        for edge, count in zip((*histogram.edges, None), histogram.counts, strict=True):
            upto += count
            buckets.append(("+Inf" if edge is None else f"{edge / 1000:g}", float(upto)))
        family.add_metric((self._deployment,), buckets, histogram.sum / 1000)
        return family

    def _worker(self, facts: WorkerFacts) -> Iterator[Metric]:
        tally: WorkerTally = facts.tally
        versions = (importlib.metadata.version("meander-online"), platform.python_version())
        yield self._gauge("partitions", "Partitions the deployment has.", (), [((), facts.expected)])
        yield self._gauge(
            "build_info",
            "What runs here.",
            ("version", "python"),
            [(versions, 1)],
        )
        yield self._histogram(
            "event_latency_seconds", "From append to the acknowledged answer.", tally.latency
        )
        yield self._histogram(
            "label_delay_seconds", "From event time to a label that came after its event.", tally.delay
        )
        yield self._counter(
            "batch_seconds",
            "Time of the worker's loop.",
            ("stage",),
            [((s,), v) for s, v in tally.seconds.items()],
        )
        slots = {m.slot for p in facts.partitions for m in p.standing.members if m.slot != BLEND}
        models = dict.fromkeys(((slot, op) for slot in sorted(slots) for op in ("predict", "learn")), 0.0)
        yield self._counter(
            "model_seconds",
            "Time of a member, told from one record in some 250, over the partitions of this worker.",
            ("model", "op"),
            (models | tally.models).items(),
        )
        yield self._counter(
            "control_commands",
            "Operators' commands, counted in each partition of this worker.",
            ("action", "outcome"),
            tally.commands.items(),
        )
        yield self._counter("batches", "Batches processed.", (), [((), tally.batches)])
        yield self._counter(
            "restores", "Partitions restored.", ("source",), [((s,), n) for s, n in tally.restores.items()]
        )
        yield self._counter(
            "rebalances", "Times the group was shared out anew.", (), [((), tally.rebalances)]
        )

    def _records(self, partitions: list[PartitionFacts]) -> Iterator[Metric]:
        tallies = [(p.standing.partition, p.tally) for p in partitions]
        yield self._counter(
            "events",
            "Records read from events.",
            (P, "outcome"),
            (((n, outcome), count) for n, t in tallies for outcome, count in t.events.items()),
        )
        yield self._counter(
            "predictions",
            "Answers sent.",
            (P, "served_by"),
            (((n, who), count) for n, t in tallies for who, count in t.served.items()),
        )
        yield self._counter(
            "labels",
            "Labels read, inside events or on their own topic.",
            (P, "outcome"),
            (((n, outcome), count) for n, t in tallies for outcome, count in t.labels.items()),
        )
        yield self._counter(
            "expired_predictions",
            "Predictions whose label never came.",
            (P,),
            (((n,), t.expired) for n, t in tallies),
        )
        yield self._counter(
            "dead_letters",
            "Refused records.",
            (P, "topic", "reason"),
            (((n, *key), count) for n, t in tallies for key, count in t.dead_letters.items()),
        )
        yield self._gauge(
            "unaccounted_records",
            "Inputs minus outcomes and what waits: 0, or a bug.",
            (P,),
            (((p.standing.partition,), p.standing.unaccounted) for p in partitions),
        )
        yield self._gauge(
            "lag_records",
            "Records not processed yet.",
            (P, "topic"),
            (((p.standing.partition, topic), lag[0]) for p in partitions for topic, lag in p.lag.items()),
        )
        yield self._gauge(
            "lag_seconds",
            "Age of the oldest record not processed yet.",
            (P, "topic"),
            (((p.standing.partition, topic), lag[1]) for p in partitions for topic, lag in p.lag.items()),
        )

    def _quality(self, partitions: list[PartitionFacts]) -> Iterator[Metric]:
        tallies = [(p.standing.partition, p.tally) for p in partitions]
        member = (P, "model", "role")
        yield self._counter(
            "loss",
            "Summed loss of each member's answers, in [0, 1] each.",
            member,
            (((n, *key), loss) for n, t in tallies for key, loss in t.loss.items()),
        )
        yield self._counter(
            "scored_labels",
            "Labels each member was scored on.",
            member,
            (((n, *key), count) for n, t in tallies for key, count in t.scored.items()),
        )
        yield self._counter(
            "served_loss",
            "Summed loss of the answers that went out.",
            (P,),
            (((n,), t.served_loss) for n, t in tallies),
        )
        yield self._counter(
            "served_scored_labels",
            "Labels that the answers which went out were scored on.",
            (P,),
            (((n,), t.served_scored) for n, t in tallies),
        )
        challengers = [
            (p.standing.partition, m.slot, m.wealth)
            for p in partitions
            for m in p.standing.members
            if m.wealth is not None
        ]
        yield self._gauge(
            "evidence_log10",
            "Evidence (e-value) for a challenger against the champion, as a power of ten.",
            (P, "model"),
            (((n, slot), log10(max(wealth, 1e-300))) for n, slot, wealth in challengers),
        )
        yield self._gauge(
            "evidence_threshold_log10",
            "Where that evidence promotes: the lowest need of the challengers.",
            (P,),
            (((p.standing.partition,), log10(need)) for p in partitions if (need := _need(p.standing))),
        )
        yield self._counter(
            "drift_signals",
            "Latched signals.",
            (P, "kind", "detector"),
            (((n, *key), count) for n, t in tallies for key, count in t.signals.items()),
        )
        yield self._counter(
            "transitions",
            "Decisions and their kin.",
            (P, "kind"),
            (((n, kind), count) for n, t in tallies for kind, count in t.transitions.items()),
        )
        yield self._counter(
            "nonfinite_predictions",
            "Answers that were not finite, or no probabilities; never served.",
            (P, "model"),
            (((n, slot), count) for n, t in tallies for slot, count in t.nonfinite.items()),
        )

    def _late(self, standings: list[Standing]) -> Iterator[Metric]:
        """Yield what is known while labels are late; no series where nothing is."""
        for name, text, value in LATE:
            known = (((s.partition,), found) for s in standings if (found := value(s)) is not None)
            yield self._gauge(name, text, (P,), known)
        yield self._gauge(
            "labelled_by_age_ratio",
            "Share of the events of an age that have their label; age is the upper end, in seconds.",
            (P, "age"),
            (
                ((s.partition, "+Inf" if a.seconds is None else f"{a.seconds:g}"), a.labelled / a.answered)
                for s in standings
                for a in s.labels.by_age
            ),
        )

    def _state(self, partitions: list[PartitionFacts]) -> Iterator[Metric]:
        standings = [p.standing for p in partitions]
        yield self._gauge(
            "mode",
            "Who answers: 1 for the mode that holds.",
            (P, "mode"),
            (
                ((s.partition, mode), float(s.mode == mode))
                for s in standings
                for mode in ("champion", "fallback", "warm_up")
            ),
        )
        yield self._gauge(
            "learning", "1 unless frozen.", (P,), (((s.partition,), float(not s.frozen)) for s in standings)
        )
        yield self._gauge(
            "model_info",
            "Present members and their versions.",
            (P, "model", "role", "version", "recipe"),
            (
                ((s.partition, m.slot, m.role, f"v{m.number}", m.recipe), 1)
                for s in standings
                for m in s.members
                if m.version is not None
            ),
        )
        sizes: dict[str, int] = {}
        for s in standings:
            for m in s.members:
                if m.size is not None:
                    sizes[m.slot] = sizes.get(m.slot, 0) + m.size
        yield self._gauge(
            "model_bytes",
            "Size of a member in the last snapshots, over the partitions of this worker.",
            ("model",),
            (((slot,), size) for slot, size in sizes.items()),
        )
        yield from self._late(standings)
        for name, text, value in PLAIN:
            yield self._gauge(name, text, (P,), [((s.partition,), value(s)) for s in standings])
        yield self._gauge(
            "snapshot_timestamp_seconds",
            "When the state was last known to be durable.",
            (P,),
            (((p.standing.partition,), p.snapshot_at or 0) for p in partitions),
        )
        yield self._gauge(
            "snapshot_bytes",
            "Size of the last snapshot.",
            (P,),
            (((p.standing.partition,), p.snapshot_bytes) for p in partitions),
        )
        yield self._counter(
            "snapshot_failures",
            "Snapshots that could not be kept.",
            (P,),
            (((p.standing.partition,), p.snapshot_failures) for p in partitions),
        )


def _need(standing: Standing) -> float | None:
    needs = [c.need for m in standing.members for c in m.conditions if c.name.startswith("Evidence")]
    return min(needs, default=None)


def registry_of(deployment: str, facts: Callable[[], WorkerFacts]) -> CollectorRegistry:
    """Return a registry with the worker's collector and that of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(WorkerCollector(deployment, facts))
    return registry
