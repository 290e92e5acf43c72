"""Laws of label delay, and what befalls labels on their way."""

from collections import Counter
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET

from producers.delays import Trouble, constant, is_time, parse_delay, told

ROWS = 4000


class Row(NamedTuple):
    number: int
    label: Any


def rows(count: int = ROWS) -> list[Row]:
    return [Row(n, "yes" if n % 3 else "no") for n in range(count)]


def delays(text: str) -> list[int]:
    law = parse_delay(text)
    return sorted(law(row, row.label) for row in rows())


def test_laws_have_their_shape() -> None:
    """Mean of the exponential, median of the lognormal, rows or time, by class; the same in every run."""
    exponential = delays("exponential:50")
    assert sum(exponential) / ROWS == pytest.approx(50, rel=0.1)
    assert delays("lognormal:1h:1.5")[ROWS // 2] == pytest.approx(3_600_000, rel=0.1)
    by_class = Counter(delays("yes=2h,no=30m"))
    assert by_class == {7_200_000: 2666, 1_800_000: 1334}
    assert exponential == delays("exponential:50")
    assert is_time(parse_delay("1h-2h"))
    assert not is_time(parse_delay("1-2"))


@pytest.mark.parametrize(
    "text",
    ["", "x", "-5", "5-1", "1h-5", "exponential:", "exponential:5:2", "lognormal:1:x", "a=1h,b=5", "inf"],
)
def test_what_is_no_law_is_refused(text: str) -> None:
    """With a sentence that says what is one."""
    with pytest.raises(ValueError, match=r"is no delay|mixes"):
        parse_delay(text)


def run(trouble: Trouble, delay: int = 10) -> list[tuple[int, Any]]:
    """Return, in order, events as (number, None) and labels as (number, told)."""
    return [(row.number, label) for row, label in told(iter(rows()), constant(delay), trouble)]


def test_shares_are_what_was_asked_for() -> None:
    """Of lost, unavailable, doubled and corrected labels; every event is sent once."""
    sent = run(Trouble(loss=0.1, unavailable=0.1, twice=0.2, wrong=0.1))
    assert [number for number, label in sent if label is None] == list(range(ROWS))
    labels = [(number, label) for number, label in sent if label is not None]
    count = Counter(number for number, _ in labels)
    assert (ROWS - len(count)) / ROWS == pytest.approx(0.1, rel=0.2)
    assert sum(label.label is UNSET for _, label in labels) / ROWS == pytest.approx(0.09, rel=0.4)
    assert sum(label.corrects for _, label in labels) / ROWS == pytest.approx(0.08, rel=0.3)
    assert max(count.values()) == 2
    last, truth = {number: label.label for number, label in labels}, rows()
    assert all(value in (UNSET, truth[number].label) for number, value in last.items())


def test_an_outage_holds_labels_back_and_lets_them_out_in_a_burst() -> None:
    """Between its rows none comes; at its end all at once."""
    sent = run(Trouble(outage=(1000, 1500)))
    at, bursts = 0, Counter()
    for number, label in sent:
        if label is None:
            at = number
        else:
            bursts[at] += 1  # labels between this event and the next
    assert not any(bursts[event] for event in range(999, 1499))
    assert bursts[1499] == 501
    assert bursts[1600] == 1
