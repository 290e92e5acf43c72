"""States of champions, kept to go back to: few, compressed, each written once to a segment of the store.

When one is kept, and when it goes, depends on labels and event time alone, so that a replay has the same.
"""

import zlib
from datetime import UTC, datetime

import msgspec

from learners import pickling
from learners.contract import TIME_LIMIT
from learners.definition import BLEND, Definition, parse_duration
from learners.errors import MeanderError, SnapshotError
from learners.lineage import Descent, named, short
from learners.roster import Kept, Member, Roster
from stream.processing.segments import Appended, Named, Read
from stream.processing.shelf import Shelf

FAST = 1  # of zlib: pickles of models shrink to a third or less at no price to speak of
AT = "at:"  # begins a target that is a time, in milliseconds


class Archive:
    """The kept states of one Processor's champions.

    Parameters
    ----------
    definition
        How many, and for how long.
    roster
        Who is champion.

    Attributes
    ----------
    models
        By the name of what is kept: the models inside, as they were called then.
    """

    def __init__(self, definition: Definition, roster: Roster) -> None:
        self._definition, self._roster = definition, roster
        self._age = parse_duration(definition.versions.age, "versions.age")
        self._shelf: Shelf[bytes] = Shelf(
            "versions", lambda data: data, lambda _identifier, _number, _time, data: data, hot=0
        )
        self._count = 0
        self.models: dict[str, list[str]] = {}
        self._marks: list[tuple[int, str]] = []  # event time, and who was champion from then on

    def __contains__(self, name: object) -> bool:
        return name in self._shelf

    @property
    def names(self) -> list[str]:
        """What is kept, in order of the last time that it was."""
        return list(dict.fromkeys(name for _, name in reversed(self._marks)))[::-1]

    def kept(self) -> list[tuple[str, int]]:
        """Return what is kept and the event time of the last time that it was, in that order."""
        last = {name: time for time, name in self._marks}
        return [(name, last[name]) for name in self.names]

    def keep(self, member: Member, timestamp: int) -> None:
        """Keep a champion as it is now. What is too old or one too many goes."""
        roster, name = self._roster, self._roster.name(member)
        if name not in self._shelf:
            models = roster.models if member.is_blend else [member]
            kept = [
                (roster.name(m), m.number, m.slot, m.origin, m.model, m.estimator, m.learned) for m in models
            ]
            data = zlib.compress(pickling.dumps((member.is_blend, kept)), FAST)
            self._count += 1
            self.models[name] = [of[0] for of in kept]
            self._shelf.put(name, self._count, timestamp, data)
        if not self._marks or self._marks[-1][1] != name:
            self._marks.append((timestamp, name))
        self._expire(timestamp)

    def _expire(self, now: int) -> None:
        before, most = set(self.names), self._definition.versions.keep
        newest = set(self.names[-most:])
        self._marks = [(t, name) for t, name in self._marks if t >= now - self._age and name in newest]
        for name in sorted(before - {name for _, name in self._marks}):
            self._shelf.take(name)
            del self.models[name]

    def find(self, target: str, now: int) -> str:
        """Return the name of what is kept: by name, ``v7@1200``, ``v7``, or ``at:`` and milliseconds.

        A number alone means its last state; a time means who was champion then, as kept last before.

        Raises
        ------
        MeanderError
            When there is none.
        """
        self._expire(now)
        found, asked = self.names, f"of {target}"
        if target.startswith(AT):
            digits = target.removeprefix(AT)
            if not digits.isdecimal() or int(digits) >= TIME_LIMIT:
                raise MeanderError(f"{target!r} is no time: {AT} and milliseconds since 1970")
            time = int(digits)
            asked = f"before {datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
            found = [name for t, name in self._marks if t <= time]
        else:
            found = named(target, found)
        if not found:
            versions, there = self._definition.versions, ", ".join(map(short, self.names)) or "none"
            raise MeanderError(
                f"no state {asked} is kept; there are: {there}. The last {versions.keep} of "
                f"{versions.age} are kept ([versions] in the definition). What is older can only be learned "
                "again from the log: meander rebuild DEFINITION --to VERSION"
            )
        return found[-1]

    def bring_back(self, name: str) -> Member:
        """Make champion again what is kept under this name, as fresh versions; returns the champion."""
        data = self._shelf.peek(name)
        if data is None:
            raise MeanderError(f"the state of {name} is not kept any more")
        blend, plain = pickling.loads(zlib.decompress(data), self._definition)
        roster, kept = self._roster, [Kept(*of) for of in plain]
        if blend:
            roster.descent[roster.blend.number] = Descent(name)
        descents = {was.number: Descent(was.name) for was in kept}
        roster.bring_back(kept, BLEND if blend else kept[0].slot, descents, alone=blend)
        return roster.champion

    # -- state -------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return everything, as bytes."""
        return _encode(
            _State(marks=self._marks, models=self.models, count=self._count, whole=self._shelf.whole())
        )

    def checkpoint(self) -> tuple[bytes, list[Appended]]:
        """Return the state as bytes that name segments, and what must be appended to these first."""
        appended = self._shelf.append() if len(self._shelf) or self._shelf.segments.named() else []
        named = self._shelf.segments.named()
        return _encode(
            _State(marks=self._marks, models=self.models, count=self._count, segments=named)
        ), appended

    def resume(self, data: bytes, read: Read | None = None) -> None:
        """Continue from what `state` or `checkpoint` returned, see `Serve.resume`."""
        state = _decode(data)
        self._marks, self.models, self._count = state.marks, state.models, state.count
        if state.segments:
            if read is None:
                raise SnapshotError("kept versions stand in segments of its store: open it there")
            self._shelf.replay(self._shelf.segments.restore(state.segments, read))
        else:
            self._shelf.fill(state.whole)

    def segments(self) -> list[str]:
        """Return the names of the segments that hold something."""
        return [named.name for named in self._shelf.segments.named()]

    def keep_clear_of(self, names: list[str]) -> None:
        """Append to none of these segments."""
        self._shelf.segments.keep_clear_of(names)

    def write_all_again(self) -> None:
        """Take nothing for granted of what `checkpoint` gave: it may not have been written."""
        self._shelf.write_all_again()


class _State(msgspec.Struct):
    marks: list[tuple[int, str]]
    models: dict[str, list[str]]
    count: int
    whole: list[tuple[str, bytes]] = []
    segments: list[Named] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_State).decode
