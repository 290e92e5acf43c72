"""Labels that stopped: no label for much longer than usual, while events go on."""

from typing import Any

from learners.detectors import Signal, SignalKind

ENOUGH = 30  # labels from which it is known what is usual
TIMES, SPARE = 3.0, 100  # so many times the longest wait, and so many events more
FADE = 0.999  # the longest wait is forgotten at this pace, by the label


class LabelSilence:
    """Counts events since the last label; latched until labels return.

    Attributes
    ----------
    events
        Events since the last label.

    Examples
    --------
    >>> silence = LabelSilence()
    >>> for n in range(300):
    ...     silence.events += 1
    ...     _ = silence.label(n) if n < 100 else None
    >>> silence.check(300).kind
    <SignalKind.LABEL_SILENCE: 'label_silence'>
    >>> silence.check(301), silence.label(302).about
    (None, 'Labels are back, after 200 events without any.')
    """

    def __init__(self) -> None:
        self.events = 0
        self._labels, self._usual = 0, 0.0
        self._time: int | None = None
        self._usual_time, self._silent = 0.0, False

    def label(self, time: int) -> Signal | None:
        """Take note of a label; returns the end of a silence, if one was signalled.

        Parameters
        ----------
        time
            Event time reached, milliseconds.
        """
        waited, ended = self.events, None
        self.events = 0
        self._labels += 1
        passed = time - self._time if self._time is not None else 0
        if self._silent:
            ended = _end_of_silence(waited)
            # what was too long once may become usual, but not at once
            waited = min(waited, int(TIMES * self._usual) + SPARE)
            passed = min(passed, int(TIMES * self._usual_time))
            self._silent = False
        usual, usual_time = self._usual * FADE, self._usual_time * FADE
        self._usual = waited if waited > usual else usual
        self._usual_time = passed if passed > usual_time else usual_time
        self._time = time
        return ended

    def check(self, time: int) -> Signal | None:
        """Return a signal, once, if labels are overdue by the events since the last one and by event time.

        That cannot be before there are `SPARE` of these.
        """
        if self._silent or self._time is None or self._labels < ENOUGH:
            return None
        if self.events <= int(TIMES * self._usual) + SPARE or time - self._time <= TIMES * self._usual_time:
            return None
        self._silent = True
        about = f"No label for {self.events:,} events; the longest wait was {self._usual:,.0f}."
        return Signal(
            "silence",
            float(self._usual),
            float(self.events),
            self.events,
            kind=SignalKind.LABEL_SILENCE,
            about=about,
        )

    def state(self) -> list[float | int | bool | None]:
        """Return all that is known, as plain data."""
        return [self.events, self._labels, self._usual, self._time, self._usual_time, self._silent]

    def resume(self, state: list[float | int | bool | None]) -> None:
        """Continue from what `state` returned."""
        # older ones tell a limit, too
        known: list[Any] = state if len(state) == 6 else [state[0], *state[2:]]
        self.events, self._labels, self._usual, self._time, self._usual_time, self._silent = known


def _end_of_silence(events: int) -> Signal:
    about = f"Labels are back, after {events:,} events without any."
    kind = SignalKind.LABEL_SILENCE
    return Signal("silence", float(events), 0.0, events, kind=kind, about=about, ended=True)
