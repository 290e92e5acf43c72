"""A detector's setting from the user's own stream: how often it cries for nothing, how soon it sees a rise.

What it would do on a world that stays as it is, is simulated: the losses of the definition's champion are
drawn again in blocks, so that what follows what within a block is kept, and nothing lasts. A rise is made by
turning a share of those losses into errors.

References
----------
H. R. Kunsch, *The jackknife and the bootstrap for general stationary observations*, Annals of Statistics
1989. F. Garwood, *Fiducial limits for the Poisson distribution*, Biometrika 1936.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from learners.definition import Definition
from learners.detectors import DETECTORS, Monitor
from learners.errors import MeanderError
from learners.lineage import Kind, Transition
from producers.delays import Law
from producers.load import Columns, Load, samples
from producers.orders import Change
from producers.truth import HORIZON, Verdict, judge
from stream.messages import Record, Source
from stream.processing.processor import Processor

Floats = NDArray[np.float64]
ENOUGH = 300  # losses at the least to draw from
ROUNDS = 5.0  # times the budget that is simulated without a change
TRIALS = 40  # rises simulated for each setting
BEFORE, AFTER = 1000, 2000  # losses before and after each of them
# upper ends of the 90% interval for a Poisson mean, by the count seen
_UPPER = (2.303, 3.890, 5.322, 6.681, 7.994, 9.275, 10.532, 11.771, 12.995, 14.206)

# what makes each detector more or less sensitive: the parameter, and values from deaf to nervous
DIALS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "bet": ("budget", (1e6, 1e5, 3e4, 1e4, 3e3, 1e3, 300.0, 100.0, 30.0)),
    "ADWIN": ("delta", (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 0.002, 0.01, 0.05, 0.2)),
    "DDM": ("drift_threshold", (8.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.0)),
    "EDDM": ("beta", (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)),
    "HDDMA": ("drift_confidence", (1e-12, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 0.01, 0.05)),
    "HDDMW": ("drift_confidence", (1e-12, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 0.01, 0.05)),
    "PageHinkley": ("threshold", (200.0, 100.0, 50.0, 30.0, 20.0, 10.0, 5.0)),
    "KSWIN": ("alpha", (1e-6, 1e-5, 1e-4, 5e-4, 0.005)),
}


class CalibrationError(MeanderError):
    """A stream that a detector cannot be calibrated on."""


class Errors(Struct):
    """What a replay gave to calibrate on.

    Attributes
    ----------
    losses
        Of the champion, in the order of labels, in [0, 1].
    rows
        The row of the event that had come when each was known.
    signals
        What the definition as it stands would have told: row and kind.
    events
        Rows in all.
    """

    losses: Floats
    rows: NDArray[np.int64]
    signals: list[tuple[int, str]]
    events: int


class Point(Struct):
    """One setting of one detector, tried.

    Attributes
    ----------
    setting
        The parameter's value.
    alarms, labels
        False alarms, and over how many losses.
    delay
        Losses from a rise to its signal, on the mean of those signalled; None if none was.
    missed
        Share of the rises not signalled within 2,000 losses.
    """

    setting: float
    alarms: int
    labels: int
    delay: float | None
    missed: float

    @property
    def between(self) -> float:
        """Losses between two false alarms, at the least (with 90% confidence)."""
        upper = _UPPER[self.alarms] if self.alarms < len(_UPPER) else self.alarms + 1.65 * self.alarms**0.5
        return self.labels / upper


class Curve(Struct):
    """A detector over all its settings, from deaf to nervous.

    Attributes
    ----------
    detector, parameter
        By name; the parameter that was turned. None: it has none.
    points
        What was tried.
    chosen
        The most nervous setting that keeps the budget; None if none does.
    verdict
        With that setting on the real losses, where the truth is known.
    """

    detector: str
    parameter: str | None
    points: list[Point]
    chosen: Point | None = None
    verdict: Verdict | None = None


class _Direct:
    def __init__(self, processor: Processor, progress: Callable[[int], None]) -> None:
        self.processor, self.progress = processor, progress
        self.losses: list[float] = []
        self.rows: list[int] = []
        self.signals: list[tuple[int, str]] = []
        self.next = {Source.EVENTS.value: 0, Source.LABELS.value: 0}

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        offset = self.next[topic]
        self.next[topic] = offset + 1
        row = self.next["events"] - 1
        champion = self.processor.learn.roster.champion
        scored, total = champion.score.scored, champion.score.total
        for output in self.processor.process(Record(topic, 0, offset, row + 1, key, value)):
            message = output.message
            if isinstance(message, Transition) and message.kind is Kind.SIGNAL:
                self.signals.append((row, str(message.evidence["signal"])))
        if champion.score.scored > scored:
            self.losses.append(min(1.0, max(0.0, round(champion.score.total - total, 9))))
            self.rows.append(row)
        if topic == "events":
            self.progress(row + 1)

    def flush(self) -> None:
        """Nothing is on its way."""


def errors_of(
    definition: Definition,
    rows: Iterable[Mapping[str, Any]],
    columns: Columns,
    delay: Law | None,
    progress: Callable[[int], None],
) -> Errors:
    """Replay rows and keep the champion's losses; nothing is done about any signal.

    Raises
    ------
    CalibrationError
        When too few labels came.
    """
    # a file has no record times that event times could be compared with
    told = msgspec.structs.replace(
        definition,
        max_ahead=None,
        max_behind=None,
        drift=msgspec.structs.replace(definition.drift, on_drift="tell"),
    )
    direct = _Direct(Processor(told), progress)
    load = Load(direct, Source.EVENTS.value, Source.LABELS.value)
    load.send(samples(rows, told, columns), "inside" if delay is None else "topic", delay)
    if len(direct.losses) < ENOUGH:
        raise CalibrationError(
            f"{len(direct.losses)} labels were scored, and {ENOUGH} are needed: give a longer file, "
            "or name its label column with --label-column"
        )
    return Errors(np.array(direct.losses), np.array(direct.rows), direct.signals, direct.next["events"])


def calm(errors: Errors, changes: Sequence[Change]) -> Floats:
    """Return the losses that are about no change: all, where none is known; the first 100 are left out."""
    keep = np.ones(len(errors.losses), dtype=bool)
    keep[: min(100, len(keep) // 4)] = False
    for change in changes:
        keep &= (errors.rows < change.at) | (errors.rows >= change.until + HORIZON)
    found = errors.losses[keep]
    if len(found) < ENOUGH:
        raise CalibrationError("the changes in the truth file leave too little between them to draw from")
    return found


def redrawn(losses: Floats, count: int, random: np.random.Generator) -> Floats:
    """Draw losses again, in blocks: shape (count,)."""
    block = min(int(max(25, round(2 * len(losses) ** (1 / 3)))), len(losses) // 4)
    starts = random.integers(0, len(losses) - block + 1, size=-(-count // block))
    drawn: Floats = np.concatenate([losses[s : s + block] for s in starts])[:count]
    return drawn


def risen(losses: Floats, rise: float, random: np.random.Generator) -> Floats:
    """Turn so many losses into errors that their mean is higher by ``rise`` (of what is possible)."""
    room = max(1.0 - float(losses.mean()), 1e-9)
    return np.where(random.random(len(losses)) < min(1.0, rise / room), 1.0, losses)


def calibrate(
    losses: Floats,
    detector: str,
    drift: Any,
    budget: float,
    rise: float,
    seed: int,
    progress: Callable[[], None],
) -> Curve:
    """Try every setting of a detector.

    Parameters
    ----------
    losses
        Of a calm world.
    detector
        By name; or ``random``, which cries at the budget's rate whatever happens, or ``none``.
    drift
        The definition's section: the other parameters, and the cooldown.
    budget
        Losses between two false alarms, at the least.
    rise
        By how much the mean loss rises.
    seed
        Of what is drawn: the same for each detector.
    progress
        Called after each setting.
    """
    quiet = ROUNDS * budget
    if detector == "none":
        return Curve("none", None, [Point(0.0, 0, int(quiet), None, 1.0)])
    if detector == "random":
        found = 1.0 - (1.0 - 1.0 / budget) ** AFTER
        return Curve(
            "random", None, [Point(budget, round(ROUNDS), int(quiet), min(budget, AFTER / 2), 1 - found)]
        )
    parameter, settings = DIALS[detector]
    other = dict(drift.parameters) if detector == drift.detector else {}
    curve = Curve(detector, parameter, [])
    for setting in settings:
        parameters = {**other, parameter: setting}
        point = _try(losses, detector, parameters, drift.cooldown, quiet, rise, seed)
        point.setting = setting
        curve.points.append(point)
        progress()
        if point.between >= budget:
            curve.chosen = point
        if point.alarms > 50:
            break
    return curve


def _try(
    losses: Floats,
    detector: str,
    parameters: dict[str, Any],
    cooldown: int,
    quiet: float,
    rise: float,
    seed: int,
) -> Point:
    if detector == "KSWIN":  # a millisecond a loss
        quiet /= 5
    random = np.random.default_rng([seed, 1])
    alarms, parts = 0, 5
    for _ in range(parts):
        monitor = Monitor(detector, parameters, seed, cooldown)
        alarms += sum(
            s is not None for s in map(monitor.update, redrawn(losses, int(quiet / parts), random).tolist())
        )
    random = np.random.default_rng([seed, 2])
    trials = TRIALS // 5 if detector == "KSWIN" else TRIALS
    delays = []
    for _ in range(trials):
        monitor = Monitor(detector, parameters, seed, cooldown)
        for loss in redrawn(losses, BEFORE, random).tolist():
            monitor.update(loss)
        after = risen(redrawn(losses, AFTER, random), rise, random).tolist()
        first = next((n for n, loss in enumerate(after) if monitor.update(loss) is not None), None)
        if first is not None:
            delays.append(first)
    mean = sum(delays) / len(delays) if delays else None
    return Point(0.0, alarms, int(quiet), mean, 1.0 - len(delays) / trials)


def tried(errors: Errors, curve: Curve, drift: Any, seed: int, changes: Sequence[Change]) -> Verdict | None:
    """Judge a chosen setting on the losses as they were; only concept drift is asked of it."""
    if curve.chosen is None or curve.parameter is None:
        return None
    other = dict(drift.parameters) if curve.detector == drift.detector else {}
    parameters = {**other, curve.parameter: curve.chosen.setting}
    monitor = Monitor(curve.detector, parameters, seed, drift.cooldown)
    told = [
        (int(row), "concept")
        for row, loss in zip(errors.rows.tolist(), errors.losses.tolist(), strict=True)
        if monitor.update(loss) is not None
    ]
    asked = [c if "concept" in c.expects else msgspec.structs.replace(c, expects=()) for c in changes]
    return judge(asked, told, errors.events)


def names(asked: Sequence[str]) -> list[str]:
    """Return the detectors to try: those asked for, or all but KSWIN, which takes a millisecond a label.

    Raises
    ------
    CalibrationError
        For an unknown name.
    """
    unknown = [name for name in asked if name not in DETECTORS]
    if unknown:
        raise CalibrationError(f"{unknown[0]!r} is no detector. One of: {', '.join(DETECTORS)}")
    return list(asked) or [name for name in DIALS if name != "KSWIN"]
