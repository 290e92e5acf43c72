"""What is due when: against a sorted list, whatever is added and removed, in blocks of any size."""

from hypothesis import given
from hypothesis import strategies as st

from stream.processing.agenda import Agenda

steps = st.lists(
    st.one_of(
        # how many, their times, how far apart their numbers are
        st.tuples(st.just("add"), st.integers(1, 40), st.integers(0, 9), st.sampled_from([1, 30, 600, 2000])),
        st.tuples(st.just("remove"), st.integers(1, 40), st.integers(0, 10_000)),
        st.tuples(st.just("remove first"), st.integers(1, 40)),
        st.tuples(st.just("anew")),
    ),
    max_size=40,
)


@given(steps=steps, falling=st.booleans())
def test_an_agenda_is_a_sorted_list(steps: list[tuple], falling: bool) -> None:
    """First is the earliest that is here, of these the lowest number, however the others went."""
    agenda, held, number = Agenda(), {}, 0
    for step, *rest in steps:
        if step == "add":
            for k in range(rest[0]):
                time = rest[1] + (-k if falling else k) // 3
                held[number] = time, number, f"e{number}"
                agenda.add(*held[number])
                number += rest[2]
        elif step == "remove":
            for _ in range(min(rest[0], len(held))):
                chosen = list(held)[rest[1] % len(held)]
                agenda.remove(chosen)
                del held[chosen]
        elif step == "remove first":
            for _ in range(min(rest[0], len(held))):
                first = min(held.values())
                assert agenda.first() == first
                agenda.remove(first[1])
                del held[first[1]]
        else:
            agenda = Agenda(held.values())
        assert agenda.first() == (min(held.values()) if held else None)
    assert sum(len(block.heap) for block in agenda._blocks.values()) <= 2 * len(held) + 20 * len(
        agenda._blocks
    )
