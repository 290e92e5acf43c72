"""Ends a worker that hangs: whoever started it starts it again, and nothing is lost by that.

Heartbeats of a Kafka client go on while the rest of a process stands still, so the group would wait for it
for ever.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

log = logging.getLogger("meander.watchdog")

STATUS = 70  # of a process ended here
LOOK = 1.0  # seconds between two looks


class Signs(NamedTuple):
    """What can be seen of a worker from outside its event loop.

    Attributes
    ----------
    pulse
        A number that the event loop changes every second.
    settled
        Not in a rebalance, or busy restoring.
    processed
        Records so far.
    behind
        Whether records wait.
    heard
        When the broker last told of each input partition that is held, in any unit.
    missing
        Topics that the broker does not know.
    """

    pulse: int
    settled: bool
    processed: int
    behind: bool
    heard: Mapping[str, object]
    missing: tuple[str, ...]


class Suspicion:
    """Turns signs into the sentence a worker is ended with.

    Parameters
    ----------
    patience
        Seconds for which a sign may stand still.

    Examples
    --------
    >>> suspicion = Suspicion(15.0)
    >>> signs = Signs(1, True, 100, True, {}, ())
    >>> suspicion.of(signs, 0.0), suspicion.of(signs._replace(pulse=2), 14.0)
    (None, None)
    >>> suspicion.of(signs._replace(pulse=3), 16.0)
    'records wait, and for 15 s none was processed'
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._seen: dict[str, tuple[object, float]] = {}

    def of(self, signs: Signs, now: float) -> str | None:
        """Return what is wrong, if it has been for long enough."""
        patience = self.patience
        pulse = self._still("pulse", signs.pulse, now)
        unsettled = self._still("settled", signs.settled, now) if not signs.settled else 0.0
        if signs.settled:
            self._still("settled", True, now)
        idle = self._still("processed", signs.processed if signs.behind else now, now)
        gone = self._still("missing", signs.missing or now, now)
        silent = {place: self._still(place, heard, now) for place, heard in signs.heard.items()}
        for place in self._seen.keys() - silent.keys() - {"pulse", "settled", "processed", "missing"}:
            del self._seen[place]
        if pulse > patience:
            return f"the event loop has stood still for {patience:g} s: a model or a rule may not return"
        if unsettled > patience:
            return f"a rebalance has not come to its end for {patience:g} s"
        if gone > patience:
            return f"there is no topic {', '.join(signs.missing)} any more"
        if idle > patience:
            return f"records wait, and for {patience:g} s none was processed"
        for place, seconds in silent.items():
            if seconds > 3 * patience:
                return f"the broker has not spoken of {place} for {3 * patience:g} s"
        return None

    def _still(self, name: str, value: object, now: float) -> float:
        """Return for how long a value has been the same."""
        seen = self._seen.get(name)
        if seen is None or seen[0] != value:
            self._seen[name] = value, now
            return 0.0
        return now - seen[1]


class Watchdog(threading.Thread):
    """Looks every second, from a thread of its own.

    Parameters
    ----------
    look
        Returns the signs; may raise while things move: then there are none.
    suspicion
        What judges them.
    clock
        Seconds.
    """

    def __init__(self, look: Callable[[], Signs], suspicion: Suspicion, clock: Callable[[], float]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._look, self._suspicion, self._clock = look, suspicion, clock
        self._stop_asked = threading.Event()
        self._last = clock()

    def stop(self) -> None:
        """End the watch: from here on the worker may take its time."""
        self._stop_asked.set()

    def run(self) -> None:
        """Look until stopped, or until the process must end."""
        while not self._stop_asked.wait(LOOK):
            now = self._clock()
            slept, self._last = now - self._last, now
            if slept > 3 * LOOK:  # the whole process stood still, not a part of it: everybody starts anew
                self._suspicion = Suspicion(self._suspicion.patience)
                continue
            try:
                wrong = self._suspicion.of(self._look(), now)
            except Exception:  # partitions come and go while it looks
                log.debug("watchdog.blind", exc_info=True)
                continue
            if wrong is not None:
                log.critical("worker.hangs reason=%s. Ending it: start it again.", wrong)
                logging.shutdown()
                os._exit(STATUS)


def leave_within(seconds: float) -> None:
    """End the process cleanly after some seconds, should its threads not come to their end by themselves.

    For when everything is saved and let go of: a consumer that is stopped in the middle of a rebalance may
    wait for an answer that nobody gives any more.
    """

    def leave() -> None:
        log.warning("worker.leaves after %g s: everything is saved, but a thread does not end", seconds)
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
