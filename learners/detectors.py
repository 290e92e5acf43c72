"""Detectors by name, and the monitor that makes latched, one-sided signals of them."""

import difflib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct
from river import drift

from learners.bets import Rise
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
    feature
        Data drift and producer faults: the feature.
    producer
        Who sent it, where producers are told apart.
    about
        A sentence; empty for concept drift, where the numbers say it all.
    ended
        What was signalled is over.
    """

    detector: str
    before: float
    after: float
    labels: int
    kind: SignalKind = SignalKind.CONCEPT
    member: str | None = None
    feature: str | None = None
    producer: str | None = None
    about: str = ""
    ended: bool = False

    @property
    def trigger(self) -> str:
        """What policies call it: its kind, or the end of it."""
        return f"{self.kind}_ended" if self.ended else str(self.kind)

    def sentence(self) -> str:
        """Say it to a person.

        >>> Signal("bet", 0.1, 0.4, 900).sentence()
        'bet: the loss of what is served rose from 0.100 to 0.400.'
        """
        whose = "what is served" if self.member is None else self.member
        rose = f"{self.detector}: the loss of {whose} rose from {self.before:.3f} to {self.after:.3f}."
        return self.about or rose

    def evidence(self) -> dict[str, Any]:
        """Return the numbers for a transition; what does not apply is left out.

        >>> Signal("bet", 0.1, 0.4, 900).evidence()
        {'signal': 'concept', 'detector': 'bet', 'before': 0.1, 'after': 0.4, 'labels': 900}
        """
        whose = {"member": self.member, "feature": self.feature, "producer": self.producer}
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

    def restart(self) -> None:
        """Forget what was seen: another answer is watched from here on."""
        self._detector = build_detector(*self._make)
        self._n, self._before, self._after = 0, 0.0, 0.0

    def update(self, loss: float) -> Signal | None:
        """Take one loss in [0, 1]."""
        self._n = n = self._n + 1
        self._before += (loss - self._before) / (n if n < REFERENCE else REFERENCE)
        self._after += (loss - self._after) / (n if n < RECENT else RECENT)
        detector = self._detector
        # the binary detectors want errors; a graded loss counts as an error from a half on
        detector.update(loss >= 0.5 if self._binary else loss)
        if self._wait:
            self._wait -= 1
        if not detector.drift_detected:
            return None
        if self._wait or self._after <= self._before:
            return None
        signal = Signal(self.name, self._before, self._after, n, member=self.member)
        self._wait = self.cooldown
        self.restart()
        return signal
