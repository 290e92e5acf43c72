"""A steady load with everything that comes in real life, in a thread, until told to stop."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from producers.publisher import DeliveryError, Publisher
from stream.settings import Settings

KEYS = 97
LATE = 150  # events until a late label comes


def events(seed: int) -> Iterator[tuple[int, bytes, dict[str, Any], Any]]:
    """Yield number, key, event and, where it comes late, the label; without end.

    Half of the labels are inside. Of a hundred events one breaks the contract and one comes twice; the
    relation flips every 6,000 events. Of the labels on their own topic some never come, some come twice, and
    some are corrected after a while.
    """
    chance = random.Random(seed)
    for number in range(1 << 40):
        x, y = chance.gauss(0, 1), chance.gauss(0, 1)
        sign = 1 if number // 6000 % 2 == 0 else -1
        label = "yes" if sign * (x - y) + chance.gauss(0, 0.5) > 0 else "no"
        event: dict[str, Any] = {"id": f"e{number}", "timestamp": 1_700_000_000_000 + number}
        event["features"] = {"x": round(x, 4), "y": round(y, 4)}
        if number % 100 == 7:
            event["features"]["x"] = 1e9
        key = f"k{number % KEYS}".encode()
        if number % 2:
            yield number, key, event, label
        else:
            yield number, key, {**event, "label": label}, None


def labels(number: int, identifier: str, truth: str) -> list[dict[str, Any]]:
    """Return the labels of an event as they come: one, or none, twice, unavailable, or wrong at first."""
    label = {"id": identifier, "label": truth}
    match number % 50:
        case 9:
            return []
        case 19:
            return [label, label]
        case 29:
            return [{"id": identifier, "unavailable": True}]
        case 39:
            return [{**label, "label": "no" if truth == "yes" else "yes"}, {**label, "corrects": True}]
        case 49:  # the correction overtakes what it corrects
            return [{**label, "corrects": True}, {**label, "label": "no" if truth == "yes" else "yes"}]
    return [label]


class Flood:
    """Sends events, labels, garbage and commands at a steady rate.

    Parameters
    ----------
    settings
        Of the deployment.
    rate
        Events a second.
    most
        After so many events it goes on with a twentieth of the rate: there must be something to answer.
    """

    def __init__(self, settings: Settings, rate: float, seed: int, most: int) -> None:
        self.settings, self.rate, self._seed, self._most = settings, rate, seed, most
        self.sent = 0
        self.seconds = 0.0
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send the labels that are due, wait until all is acknowledged, and end."""
        self._stop.set()
        self._thread.join(150)
        assert not self._thread.is_alive(), "the load does not end"
        if self._error is not None:
            raise self._error

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  told to whoever stops it
            self._error = error

    def _run(self) -> None:
        names = [self.settings.topic(suffix) for suffix in ("events", "labels", "control")]
        encode = msgspec.json.Encoder().encode
        waiting: list[tuple[bytes, bytes]] = []
        corrected: list[tuple[bytes, bytes]] = []
        with Publisher(self.settings.kafka, names) as publisher:

            def publish(topic: int, key: bytes, value: bytes) -> None:
                for _ in range(20):  # whatever happens to the broker
                    with suppress(DeliveryError):
                        publisher.publish(names[topic], key, value)
                        return
                publisher.publish(names[topic], key, value)

            begin = time.monotonic()
            for number, key, event, late in events(self._seed):
                if number % 20 == 0:
                    due = min(number, self._most) / self.rate + 20 * max(0, number - self._most) / self.rate
                    ahead = begin + due - time.monotonic()
                    if ahead > 0:
                        time.sleep(ahead)
                    if self._stop.is_set():
                        break
                value = encode(event)
                publish(0, key, value)
                if number % 100 == 13:
                    publish(0, key, value)  # twice
                if number % 500 == 21:
                    publish(0, key, b'{"id": "' if number % 1000 == 21 else b'{"id": "x"}')
                if number % 4000 == 3999:
                    action = "fallback" if number % 8000 == 3999 else "resume"
                    command = {"type": "command", "id": f"c{number}", "action": action}
                    for key_of_partition in range(16):  # so that every partition gets one or several
                        publish(2, f"k{key_of_partition}".encode(), encode(command))
                for label in labels(number, event["id"], late) if late is not None else ():
                    queue = corrected if number % 50 == 39 and "corrects" in label else waiting
                    queue.append((key, encode(label)))
                if len(corrected) > LATE // 10:
                    publish(1, *corrected.pop(0))
                if len(waiting) > LATE:
                    for label in waiting[:20]:
                        publish(1, *label)
                    del waiting[:20]
                self.sent = number + 1
                if number == self._most:
                    self.seconds = time.monotonic() - begin
            self.seconds = self.seconds or time.monotonic() - begin
            for label in waiting + corrected:
                publish(1, *label)
            with suppress(DeliveryError):
                publisher.flush()
