"""What waits: against a plain dict, whatever comes, with checkpoints, compaction and restarts between."""

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.processing.shelf import Shelf

IDS = st.sampled_from("abcdefgh")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), IDS, st.integers(-5, 5)),
        st.tuples(st.just("put"), IDS, st.integers(-5, 5)),
        st.tuples(st.sampled_from(["take"]), IDS),
        st.tuples(st.sampled_from(["oldest", "save", "restart", "lost", "whole"])),
        st.tuples(st.just("ahead"), st.integers(0, 3)),
    ),
    max_size=150,
)


def shelf() -> Shelf[str]:
    return Shelf("t", str.encode, lambda identifier, number, time, data: data.decode(), hot=2, size=60)


def first_of(stored: dict[str, bytes], segment: str, length: int) -> bytes:
    return stored[segment][:length]


@settings(max_examples=300)
@given(steps=steps)
def test_a_shelf_is_a_dict_in_time_order(steps: list[tuple]) -> None:
    """Found is what was put, oldest first; the journal tells the same and never grows without end."""
    there, held = shelf(), {}
    stored: dict[str, bytes] = {}
    for number, (step, *rest) in enumerate(steps):
        number *= 300  # so that the agenda has several blocks
        if step == "put" and rest[0] not in held:
            identifier, time = rest
            held[identifier] = (time, number, f"{identifier}{number}")
            there.put(identifier, number, time, f"{identifier}{number}")
        elif step == "take":
            assert there.take(rest[0]) == (held.pop(rest[0])[2] if rest[0] in held else None)
        elif step == "oldest" and held:
            first = min(held, key=lambda i: held[i][:2])
            assert there.oldest() == held[first][0]
            assert there.pop_oldest() == (first, held.pop(first)[2])
        elif step in ("save", "restart", "lost"):
            for segment, data in there.append():
                if step != "lost":
                    stored[segment] = stored.get(segment, b"") + data
            if step == "lost":
                there.write_all_again()
                continue
            assert there.unwritten == 0
            named = there.segments.named()
            alive = sum(len(value) + 30 for *_, value in held.values())
            assert sum(n.length for n in named) <= 3 * alive + 1000
            stored = {segment: data for segment, data in stored.items() if segment in {n.name for n in named}}
            if step == "restart":
                there = shelf()
                there.replay(there.segments.restore(named, partial(first_of, stored)))
                stored = {segment: data + b"garbage" for segment, data in stored.items()}
        elif step == "ahead":
            for segment, data in there.append(rest[0]):
                stored[segment] = stored.get(segment, b"") + data
        elif step == "whole":
            other = shelf()
            other.fill(there.whole())
            assert other.whole() == there.whole()
        assert len(there) == len(held)
        assert dict(there.items()) == {i: value for i, (*_, value) in held.items()}
