"""Where the time of a record goes, told from one record in some 250: stages, and each member's part.

The Processor knows no clock and pays for none. For a record that is looked at its members are asked and
taught through timed calls, and it is decoded once more; what comes of it is the same.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from stream.codec import RefusalError
from stream.messages import Output, Record
from stream.processing.processor import EVENTS, LABELS, Processor

EVERY = 256  # records that one which is looked at stands for, or a few more
FADING = 256  # records looked at after which those before count half
STAGES = ("decode", "predict", "learn")
Clock = Callable[[], float]


class Probe:
    """Processes records, and times some of them.

    Parameters
    ----------
    clock
        Seconds.

    Attributes
    ----------
    models
        Seconds by slot and ``predict`` or ``learn``: of the records looked at, times what these stand for.

    Examples
    --------
    >>> from time import perf_counter
    >>> probe = Probe(perf_counter)
    >>> probe.split("events", 3.0)
    {'decode': 0.0, 'predict': 0.0, 'learn': 0.0, 'other': 3.0}
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.models: dict[tuple[str, str], float] = {}
        self._events = 0  # that those looked at stand for
        self._since: dict[str, int] = {}
        self._seen: dict[str, dict[str, float]] = {}  # by source: seconds in each stage, whole, and how many

    def run(self, processor: Processor, records: Sequence[Record]) -> list[Output]:
        """Process records of one source, in order."""
        if not records:
            return []
        source, process = records[0].source, processor.process
        since = self._since.get(source, EVERY) + len(records)
        outputs: list[Output] = []
        if since >= EVERY:
            outputs += self._look(processor, records[0], since)
            records, since = records[1:], 0
        self._since[source] = since
        for record in records:
            outputs += process(record)
        return outputs

    def costs(self) -> dict[str, float]:
        """Return by slot the seconds of an event that a member takes: asked, and taught its label."""
        found: dict[str, float] = {}
        for (slot, _), seconds in self.models.items():
            found[slot] = found.get(slot, 0.0) + seconds / max(1, self._events)
        return found

    def split(self, source: str, seconds: float) -> dict[str, float]:
        """Deal out seconds of processing by the shares of the stages in the records looked at."""
        seen = self._seen.get(source)
        whole = seen["whole"] if seen else 0.0
        parts = {stage: seconds * seen[stage] / whole if seen and whole else 0.0 for stage in STAGES}
        return parts | {"other": max(0.0, seconds - sum(parts.values()))}

    def _look(self, processor: Processor, record: Record, stands_for: int) -> list[Output]:
        clock, models = self._clock, dict[tuple[str, str], float]()
        decode = {EVENTS: processor.codec.event, LABELS: processor.codec.label}.get(record.source)
        began = clock()
        if decode is not None:  # once more, for nothing: it leaves no trace
            with suppress(RefusalError):
                decode(record)
        decoded = clock()
        with processor.learn.roster.through(lambda slot, op, call: _timed(clock, models, (slot, op), call)):
            outputs = processor.process(record)
        whole = clock() - decoded
        self._events += stands_for if record.source == EVENTS else 0
        for key, seconds in models.items():
            self.models[key] = self.models.get(key, 0.0) + seconds * stands_for
        seen = self._seen.setdefault(record.source, dict.fromkeys((*STAGES, "whole", "count"), 0.0))
        if seen["count"] >= FADING:
            for name in seen:
                seen[name] /= 2
        seen["decode"] += decoded - began
        for (_, op), seconds in models.items():
            seen[op] += seconds
        seen["whole"] += whole
        seen["count"] += 1
        return outputs


def _timed(clock: Clock, spent: dict[Any, float], key: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        began = clock()
        try:
            return call(*args)
        finally:
            spent[key] = spent.get(key, 0.0) + clock() - began

    return timed
