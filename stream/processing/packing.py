"""Examples as compact bytes: values in a known order of names, so that names need not be kept with each."""

from typing import Any

import msgspec
from msgspec import Struct

from stream.messages import Example

MOST_SHAPES = 256  # orders of features that are told apart; examples of any further one carry their names


class _Packed(Struct, array_like=True, gc=False):
    offset: int
    key: bytes | None
    shape: int  # -1: `values` begins with the names
    values: list[Any]
    panel: tuple[int, ...]
    answers: tuple[Any, ...]
    served: int
    answer: Any  # None: that of the member which was served
    broken: bool


class Packing:
    """Packs the examples of one partition.

    Parameters
    ----------
    names
        The declared features, in order.
    partition
        Of all examples.

    Attributes
    ----------
    shapes
        Orders of feature names met so far; packed examples refer to them, so they go into the snapshot.
    """

    def __init__(self, names: tuple[str, ...], partition: int) -> None:
        self._partition = partition
        self.shapes: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self.resume([names])

    def resume(self, shapes: list[tuple[str, ...]]) -> None:
        """Go on with shapes of a snapshot."""
        self.shapes = [tuple(names) for names in shapes]
        self._numbers = {names: n for n, names in enumerate(self.shapes)}

    def pack(self, example: Example) -> bytes:
        """Return all but id, ordinal, time and label."""
        x = example.features
        names = tuple(x)
        values = list(x.values())
        shape = self._numbers.get(names, -1)
        if shape < 0:
            if len(self.shapes) < MOST_SHAPES:
                shape = self._numbers[names] = len(self.shapes)
                self.shapes.append(names)
            else:
                values.insert(0, names)
        served, answer = example.served, example.answer
        if served >= 0 and answer is example.answers[served]:
            answer = None
        return _encode(
            _Packed(
                example.offset, example.key, shape, values, example.panel, example.answers, served, answer,
                example.broken,
            )
        )  # fmt: skip

    def unpack(self, identifier: str, ordinal: int, timestamp: int, data: bytes) -> Example:
        """Return the example, without label."""
        p = _decode(data)
        answers = tuple(tuple(a) if type(a) is list else a for a in p.answers)
        names = p.values.pop(0) if p.shape < 0 else self.shapes[p.shape]
        answer = answers[p.served] if p.answer is None and p.served >= 0 else p.answer
        answer = tuple(answer) if type(answer) is list else answer
        return Example(
            identifier, p.key, self._partition, p.offset, timestamp, dict(zip(names, p.values, strict=True)),
            p.panel, answers, p.served, answer, ordinal, p.broken,
        )  # fmt: skip


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode
