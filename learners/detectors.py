"""Detectors by name, and the monitor that makes latched, one-sided signals of them."""

import difflib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Self

from msgspec import Struct, structs
from river import drift

from learners.bets import RISE_BUDGET, Rise
from learners.definition import Definition
from learners.errors import DefinitionError

DETECTORS: dict[str, Callable[..., Any]] = {
    "bet": Rise,
    "ADWIN": drift.ADWIN,
    "KSWIN": drift.KSWIN,
    "PageHinkley": drift.PageHinkley,
    "DDM": drift.binary.DDM,
    "EDDM": drift.binary.EDDM,
    "HDDMA": drift.binary.HDDMA,
    "HDDMW": drift.binary.HDDMW,
}
BINARY = frozenset({"DDM", "EDDM", "HDDMA", "HDDMW"})  # take errors of 0 or 1 only
SPELLS = 10.0  # errors on a class come in spells, for each rare label moves the threshold: so much more proof
LEARNING = 10_000  # labels after which a loss of classes is watched, however seldom some of them come
RECENT, REFERENCE = 50, 2000  # labels in the two running means that tell a rise from a fall


class SignalKind(StrEnum):
    """What moved."""

    CONCEPT = "concept"  # a loss rose: a member's, or that of what is served
    DATA = "data"  # a feature's distribution moved
    PREDICTION = "prediction"  # the distribution of the served answers moved
    LABEL_SILENCE = "label_silence"  # events go on, labels do not
    PRODUCER = "producer"  # a feature is gone constant, missing, rescaled or breaks the contract


class Signal(Struct, frozen=True):
    """A detector fired.

    Attributes
    ----------
    detector
        By name.
    before, after
        Size over the long and over the recent past: for concept drift the mean loss, in [0, 1]; else a
        share of the events, or what ``about`` says.
    labels
        Losses, or events, it had seen since it started.
    kind
        What moved.
    member
        Concept drift: the slot whose loss rose. None: what is served.
    label
        Concept drift, where each class is watched by itself: the class whose error rose, by name.
    feature
        Data drift and producer faults: the feature.
    producer
        Who sent it, where producers are told apart.
    about
        A sentence; empty for concept drift, where the numbers say it all. No value of a feature stands in it.
    where
        Data drift and producer faults: the values of the feature that it is about.
    ended
        What was signalled is over.
    """

    detector: str
    before: float
    after: float
    labels: int
    kind: SignalKind = SignalKind.CONCEPT
    member: str | None = None
    label: str | None = None
    feature: str | None = None
    producer: str | None = None
    about: str = ""
    where: str = ""
    ended: bool = False

    @property
    def trigger(self) -> str:
        """What policies call it: its kind, or the end of it."""
        return f"{self.kind}_ended" if self.ended else str(self.kind)

    def sentence(self) -> str:
        """Say it to a person.

        >>> Signal("bet", 0.1, 0.4, 900).sentence()
        'bet: the loss of what is served rose from 0.1 to 0.4.'
        """
        whose = "what is served" if self.member is None else self.member
        whose += "" if self.label is None else f" on {self.label}"
        rose = f"{self.detector}: the loss of {whose} rose from {self.before:.4g} to {self.after:.4g}."
        return self.about or rose

    def evidence(self) -> dict[str, Any]:
        """Return the numbers for a transition; what does not apply is left out.

        >>> Signal("bet", 0.1, 0.4, 900).evidence()
        {'signal': 'concept', 'detector': 'bet', 'before': 0.1, 'after': 0.4, 'labels': 900}
        """
        whose = {
            "member": self.member, "class": self.label, "feature": self.feature, "producer": self.producer,
            "where": self.where or None,
        }  # fmt: skip
        return {
            "signal": str(self.kind),
            **{name: value for name, value in whose.items() if value is not None},
            "detector": self.detector,
            "before": self.before,
            "after": self.after,
            ("labels" if self.kind is SignalKind.CONCEPT else "events"): self.labels,
        }


def build_detector(name: str, parameters: Mapping[str, Any], seed: int, key: str = "drift.detector") -> Any:
    """Build a detector by name.

    Raises
    ------
    DefinitionError
        For an unknown name or parameters it does not take.
    """
    if name not in DETECTORS:
        known = {detector.lower(): detector for detector in DETECTORS}
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
        hint = f'Did you mean "{known[near[0]]}"?' if near else f"One of: {', '.join(DETECTORS)}"
        raise DefinitionError(key, f"{name!r} is no detector", hint)
    seeded = {"seed": seed, **parameters} if name == "KSWIN" else dict(parameters)
    try:
        detector = DETECTORS[name](**seeded)
        detector.update(0)  # some check their parameters only at work
    except (TypeError, ValueError) as error:
        raise DefinitionError("drift.parameters", f"{name}: {error}", "See River's drift module") from None
    return DETECTORS[name](**seeded)


class Monitor:
    """Watches one loss, in order of labels; a signal is a detection while the loss is rising.

    Two-sided detectors also fire when the loss falls: those detections are not signals. After a
    signal the detector starts afresh, and for ``cooldown`` labels nothing is signalled.

    Parameters
    ----------
    name, parameters, seed
        The detector, see `build_detector`.
    cooldown
        Labels.
    member
        The slot whose loss it is; None: what is served.

    Examples
    --------
    >>> monitor = Monitor("DDM", {}, seed=1)
    >>> losses = [float(i % 10 == 0) for i in range(500)] + [1.0] * 100
    >>> signals = [s for s in map(monitor.update, losses) if s]
    >>> len(signals), round(signals[0].before, 1) < signals[0].after
    (1, True)
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Any],
        seed: int,
        cooldown: int = 100,
        member: str | None = None,
    ) -> None:
        self.name, self.cooldown, self.member = name, cooldown, member
        self._make = (name, dict(parameters), seed)
        self._binary = name in BINARY
        self._wait = 0
        self.restart()

    @property
    def rise(self) -> float:
        """By how much the recent loss is above that of before."""
        self._settle()
        return self._after - self._before

    def another(self) -> Self:
        """Return one that is made alike, and has seen nothing."""
        return type(self)(*self._make, self.cooldown, self.member)

    def restart(self) -> None:
        """Forget what was seen: another answer is watched from here on."""
        self._detector = build_detector(*self._make)
        self._n, self._before, self._after = 0, 0.0, 0.0
        self._fresh: list[float] = []

    def _settle(self) -> None:
        """Let the means take in the losses that came since the last time."""
        n, before, after = self._n, self._before, self._after
        for loss in self._fresh:
            n += 1
            before += (loss - before) / (n if n < REFERENCE else REFERENCE)
            after += (loss - after) / (n if n < RECENT else RECENT)
        self._fresh.clear()
        self._n, self._before, self._after = n, before, after

    def update(self, loss: float, label: Any = None) -> Signal | None:
        """Take one loss in [0, 1]; whatever the label was."""
        fresh = self._fresh
        fresh.append(loss)
        if len(fresh) >= RECENT:
            self._settle()
        detector = self._detector
        # the binary detectors want errors; a graded loss counts as an error from a half on
        detector.update(loss >= 0.5 if self._binary else loss)
        if self._wait:
            self._wait -= 1
        if not detector.drift_detected:
            return None
        self._settle()
        if self._wait or self._after <= self._before:
            return None
        signal = Signal(self.name, self._before, self._after, self._n, member=self.member)
        self._wait = self.cooldown
        self.restart()
        return signal

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return {name: value for name, value in vars(self).items() if name != "_fresh"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._fresh = []


class ClassMonitor:
    """Watches the error on each class by itself, for the loss ``balanced``.

    That loss weighs classes, not events: where one in a hundred is positive, a mean over the last 1,000
    losses rests on ten of them, and even all of these wrong would hardly show. Each class has a
    `Monitor` that sees its events alone. Every event is seen by one, so the budgets of all together are
    those of one. Where one class is taken for another less often to the same amount, no loss rose.

    Nothing is signalled before each class has come `RECENT` times, or `LEARNING` labels in all: until then
    models find out that there are others at all, and errors go from one class to the next.

    Parameters
    ----------
    name, parameters, seed, cooldown, member
        As for `Monitor`.
    names
        By label as learners know it: its name.

    Examples
    --------
    >>> monitor = ClassMonitor("bet", {}, seed=1, names={True: "fraud", False: "legit"})
    >>> signals = []
    >>> for i in range(20_000):
    ...     fraud = i % 100 == 0
    ...     wrong = i % 500 == 0 or i >= 15_000
    ...     signals.append(monitor.update(float(fraud and wrong), fraud))
    >>> [(i, signal.label) for i, signal in enumerate(signals) if signal]
    [(16700, 'fraud')]
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Any],
        seed: int,
        cooldown: int = 100,
        member: str | None = None,
        names: Mapping[Any, str] | None = None,
    ) -> None:
        self.name, self.cooldown, self.member = name, cooldown, member
        self._make = (name, dict(parameters), seed)
        self._names = dict(names or {})
        self._wait = 0
        self._of: dict[Any, Monitor] = {}
        self._came: dict[Any, int] = {}  # labels of each class

    def another(self) -> Self:
        """Return one that is made alike, and has seen nothing."""
        return type(self)(*self._make, self.cooldown, self.member, self._names)

    def restart(self) -> None:
        """Forget what was seen: another answer is watched from here on."""
        self._of.clear()

    def update(self, loss: float, label: Any) -> Signal | None:
        """Take one loss, which is 0 where the answer was right."""
        monitor = self._of.get(label)
        if monitor is None:
            monitor = self._of[label] = Monitor(*self._make, 0, self.member)
        came = self._came
        came[label] = came.get(label, 0) + 1
        if self._wait:
            self._wait -= 1
        signal = monitor.update(1.0 if loss > 0.0 else 0.0)
        if signal is None or self._wait:
            return None
        if min(came.values()) < RECENT and sum(came.values()) < LEARNING:
            return None
        others = sum(m.rise for m in self._of.values())  # its own has begun afresh
        if signal.after - signal.before + others <= 0.0:
            return None
        self._wait = self.cooldown
        return structs.replace(signal, label=self._names.get(label, str(label)))


def make_monitor(definition: Definition, member: str | None = None) -> Monitor | ClassMonitor:
    """Return what watches the loss that a definition declares."""
    drift = definition.drift
    parameters = drift.parameters
    if definition.loss == "balanced" and drift.detector == "bet":
        parameters = {"budget": SPELLS * RISE_BUDGET, **parameters}
    made = drift.detector, parameters, definition.seed, drift.cooldown, member
    if definition.loss != "balanced":
        return Monitor(*made)
    if definition.task == "binary":
        return ClassMonitor(*made, {c == definition.positive: str(c) for c in definition.classes})
    return ClassMonitor(*made)
