"""The ``[watch]`` section of a definition."""

from typing import Literal

from msgspec import Struct, field

HEADER = "meander-producer"  # of event records: who sends them


class Watch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched besides the loss: ``[watch]``. Signals are recorded; policies may act on them.

    Attributes
    ----------
    data
        Signal ``data``: the distribution of a feature moved.
    producers
        Signal ``producer``: a feature is gone constant, missing or rescaled, or breaks the contract.
    prediction
        Signal ``prediction``: the distribution of the served answers moved.
    labels
        Signal ``label_silence``: events go on, labels do not.
    producer
        What tells producers apart: the record ``header`` ``meander-producer`` (without it all are one),
        or the record ``key``. Each of the first 16 is watched against its own past, the others together.
    budget
        Events between two false alarms of a kind, at the least.
    reference
        Events from which a distribution is learned before it is watched; it then follows slowly.
    declared
        What a feature looks like, instead of learning it: the 7 numbers that cut its values into 8 equal
        parts, or the shares of its categories.
    """

    data: bool = True
    producers: bool = True
    prediction: bool = True
    labels: bool = True
    producer: Literal["header", "key"] = "header"
    budget: float = 100_000.0
    reference: int = 1000
    declared: dict[str, list[float] | dict[str, float]] = field(default_factory=dict)
