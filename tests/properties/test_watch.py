"""What holds of the watcher wherever a snapshot cuts the stream."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from learners.definition import parse_definition
from learners.detectors import Signal
from learners.watch.watcher import Watcher

DEFINITION = parse_definition(
    {
        "name": "watched",
        "task": "multiclass",
        "features": {
            "n": {"missing": "mean"},
            "i": {"type": "integer", "missing": "mean"},
            "b": {"type": "boolean"},
            "c": {"type": "category", "missing": "mean"},
            "t": {"type": "text", "missing": "mean"},
            "at": {"type": "time", "missing": "last"},
        },
        "label": {"classes": ["a", "b", 3]},
        "watch": {"reference": 256, "budget": 100},
    }
)


def mixed(n: int, salt: int) -> int:
    return ((n * 2654435761 + salt * 40503) >> 7) % 1000


def steps(salt: int, moves: list[int]) -> list[tuple[Any, ...]]:
    """Return 1,500 events whose distribution moves at given places."""
    made = []
    for n in range(1500):
        r, moved = mixed(n, salt), sum(n >= at for at in moves)
        x: dict[str, Any] = {
            "n": r / 100 + 3 * moved,
            "i": r % 7,
            "b": r % 2 == 0,
            "c": "abcde"[r % 5],
            "at": n,
        }
        if r % 11 == 0:
            x["n"] = None
        if r % 13 == 0:
            del x["c"]
        if moved % 2:
            x["c"] = "z"
        broken = {"i": "is no integer"} if moved == 2 and r % 3 == 0 else {}
        x = {name: value for name, value in x.items() if name not in broken}
        headers = [("meander-producer", b"p" + str(r % 2).encode())] if r % 3 else []
        repairs = ("clipped:n",) if r % 50 == 0 else ()
        made.append((x, ["a", "b", 3, None][r % 4], moved, broken, repairs, b"k", headers, n))
    return made


def tell(watcher: Watcher, events: list[tuple[Any, ...]]) -> list[tuple[int, Signal | None]]:
    told: list[tuple[int, Signal | None]] = []
    for event in events:
        told += [(event[-1], signal) for signal in watcher.event(*event)]
        if event[-1] % 3 == 0 and not 600 <= event[-1] < 1200:
            told.append((event[-1], watcher.silence.label(event[-1])))
    return told


@settings(max_examples=25)
@given(
    salt=st.integers(0, 999),
    moves=st.lists(st.integers(0, 1499), max_size=3),
    cuts=st.lists(st.integers(0, 1500), min_size=1, max_size=3),
)
def test_resuming_changes_nothing(salt: int, moves: list[int], cuts: list[int]) -> None:
    """Cut anywhere and resumed, the same signals are told, and the state ends up the same."""
    events = steps(salt, moves)
    whole = Watcher(DEFINITION)
    expected = tell(whole, events)
    parts: list[tuple[int, Signal | int]] = []
    watcher, start = Watcher(DEFINITION), 0
    for cut in [*sorted(cuts), len(events)]:
        parts += tell(watcher, events[start:cut])
        state = watcher.state()
        watcher, start = Watcher(DEFINITION), cut
        watcher.resume(state)
        assert watcher.state() == state
    assert parts == expected
    assert watcher.state() == whole.state()
