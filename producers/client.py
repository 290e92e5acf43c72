"""What an application embeds to send its events and their truths."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import UNSET

from learners.watch.settings import HEADER
from producers.publisher import Publisher
from stream.messages import MOST_WEIGHT, Event, LabelRecord
from stream.settings import Kafka

MAX_ID = 256


def plain(value: Any) -> Any:
    """Turn a numpy scalar, as data frames hold them, into the Python value it stands for."""
    item = getattr(value, "item", None)
    if item is None or getattr(value, "ndim", 0) != 0:
        raise TypeError(f"a {type(value).__name__} cannot be sent: use numbers, text, true or false, times")
    return item()


class MeanderClient:
    """Sends events and labels to one deployment.

    Sending returns at once; records travel in batches in the background. Each is acknowledged by all
    replicas or named in a `producers.publisher.DeliveryError`, raised by the next call or by `flush`.
    Threads may share a client; a process needs one.

    Parameters
    ----------
    brokers
        ``host:port``, several separated by commas.
    deployment
        The ``name`` in the definition.
    producer
        Who sends, e.g. a shop or a sensor: travels with each event, so that a fault in what it sends is told
        with its name.
    linger
        Milliseconds that a record may wait for others to share its batch.
    delivery_timeout
        Seconds until a record that is not acknowledged counts as lost.
    **security
        As in the definition's section ``[kafka]``: ``security``, ``ca_file``, ``certificate_file``,
        ``key_file``, ``mechanism``, ``username``, ``password``.

    Raises
    ------
    BrokerUnreachableError
        When no broker answers.
    TopicError
        When the deployment's topics are missing, or partitioned differently.

    Examples
    --------
    >>> with MeanderClient("localhost:9092", "fraud") as client:  # doctest: +SKIP
    ...     client.send_event("e1", features={"amount": 12.5, "country": "CH"}, key="customer-7")
    ...     client.send_label("e1", "legit", key="customer-7")
    """

    def __init__(
        self,
        brokers: str,
        deployment: str,
        *,
        producer: str | None = None,
        linger: int = 10,
        delivery_timeout: float = 120.0,
        **security: Any,
    ) -> None:
        self._events, self._labels = f"{deployment}.events", f"{deployment}.labels"
        self._headers = [] if producer is None else [(HEADER, producer.encode())]
        self._publisher = Publisher(
            Kafka(brokers=brokers, **security),
            [self._events, self._labels],
            linger=linger,
            delivery_timeout=delivery_timeout,
        )
        self._encode = msgspec.json.Encoder(enc_hook=plain).encode

    def send_event(
        self,
        id: str | None = None,
        *,
        features: Mapping[str, Any],
        key: str | None = None,
        timestamp: int | datetime | None = None,
        label: Any = UNSET,
        weight: float = 1.0,
    ) -> str:
        """Ask for a prediction.

        Parameters
        ----------
        id
            Unique among the events of its key, 1 to 256 characters. An id sent again is not answered
            again. Default: a new random one.
        features
            The input columns by name: numbers, text, booleans, times. A number that is not finite
            travels as null, that is missing.
        key
            What the event belongs to (a customer, a machine): events of a key stay in order. Default: the id.
        timestamp
            Event time: epoch milliseconds or a datetime with its time zone. Default: now, at the broker.
        label
            The truth, when it is known already.
        weight
            How much it counts in learning; see `send_label`.

        Returns
        -------
        str
            The id, to send the label with.

        Raises
        ------
        ValueError, TypeError
            When the event cannot be written as JSON, or its id or time is none. Nothing was sent.
        DeliveryError
            When earlier records were lost. This one was not sent.
        """
        identifier = _checked(str(uuid.uuid4()) if id is None else id)
        time = milliseconds(timestamp)
        event = Event(id=identifier, features=dict(features), timestamp=time, label=label)
        if weight != 1.0:
            event.weight = _weight(weight)
        value = self._encode(event)
        self._publisher.publish(self._events, _key(key, identifier), value, self._headers)
        return identifier

    def send_label(
        self,
        id: str,
        label: Any,
        *,
        key: str | None = None,
        timestamp: int | datetime | None = None,
        corrects: bool = False,
        weight: float = 1.0,
    ) -> None:
        """Send the truth for an event.

        Parameters
        ----------
        id, key
            The event's. A label with another key goes to another partition and finds no event.
        label
            A declared class, or a number.
        timestamp
            When the truth was known. Default: now, at the broker.
        corrects
            This replaces a label sent before.
        weight
            How much it counts in learning, 0 to a million, where the model takes weights; 0: scored only.

        Raises
        ------
        ValueError, TypeError, DeliveryError
            As for `send_event`.
        """
        time = milliseconds(timestamp)
        record = LabelRecord(id=_checked(id), label=label, timestamp=time, corrects=corrects)
        if weight != 1.0:
            record.weight = _weight(weight)
        self._publisher.publish(self._labels, _key(key, id), self._encode(record))

    def send_unavailable(
        self,
        id: str,
        *,
        key: str | None = None,
        timestamp: int | datetime | None = None,
    ) -> None:
        """Say that the truth for an event will never be known, so that nobody waits for it."""
        record = LabelRecord(id=_checked(id), timestamp=milliseconds(timestamp), unavailable=True)
        self._publisher.publish(self._labels, _key(key, id), self._encode(record))

    def flush(self) -> None:
        """Wait until everything sent is acknowledged; raises `DeliveryError` for what was lost."""
        self._publisher.flush()

    def close(self) -> None:
        """Flush and disconnect; raises `DeliveryError` as `flush` does."""
        self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._publisher.__exit__(kind, error, traceback)


def milliseconds(time: int | datetime | None) -> int | None:
    """Return epoch milliseconds.

    Raises
    ------
    ValueError
        For a datetime without a time zone.

    Examples
    --------
    >>> from datetime import UTC
    >>> milliseconds(datetime(2024, 1, 1, tzinfo=UTC))
    1704067200000
    """
    if not isinstance(time, datetime):
        return time
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone: give one, e.g. tzinfo=datetime.UTC")
    return round(time.timestamp() * 1000)


def _checked(identifier: str) -> str:
    if not isinstance(identifier, str):
        raise TypeError(f"an id is text, not {type(identifier).__name__}: use str({identifier!r})")
    if not 1 <= len(identifier) <= MAX_ID:
        raise ValueError(f"an id has 1 to {MAX_ID} characters, not {len(identifier)}")
    return identifier


def _weight(weight: float) -> float:
    if not 0.0 <= weight <= MOST_WEIGHT:
        raise ValueError(f"a weight is a number from 0 to {MOST_WEIGHT:,.0f}, not {weight}")
    return float(weight)


def _key(key: str | None, identifier: str) -> bytes:
    return (identifier if key is None else key).encode()
