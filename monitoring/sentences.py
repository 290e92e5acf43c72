"""Who serves, in a sentence."""

from collections.abc import Sequence

from learners.lineage import line_of
from monitoring.view import PartitionRow

TITLES = {
    "warmed_up": "warmed up",
    "fell_back": "fell back to rules",
    "rolled_back": "rolled back",
    "signal": "drift was signalled",
    "signal_ended": "a signal ended",
    "rejected": "a command was rejected",
}


def sentence_of(rows: Sequence[PartitionRow], deployment: str) -> tuple[str, str, str]:
    """Say who serves: one word, one sentence, and what is out of the ordinary."""
    by: dict[str, list[int]] = {}
    for row in rows:
        by.setdefault(row.serving, []).append(row.number)
    champions, count = by.get("champion", []), len(rows)
    names = sorted({short(row.champion) for row in rows if row.serving == "champion"})
    whom = f"Champion {names[0]}" if len(names) == 1 else "The champion"
    if len(by.get("nobody", [])) == count:
        return "nobody", f"No worker serves {deployment}", "Events wait in Kafka until one is started."
    if len(champions) == count:
        where = "" if count == 1 else f" all {count} partitions"
        return "champion", f"{whom} serves{where}", _frozen(rows)
    parts = []
    if by.get("fallback"):
        held = [row.number for row in rows if row.serving == "fallback" and row.held]
        if len(by["fallback"]) < count:
            parts.append(f"Rules serve {_where(by['fallback'])}.")
        if held:
            parts.append("Held by an operator." if len(held) == count else f"Held in {_where(held)}.")
    if by.get("warm_up"):
        parts.append(f"{_where(by['warm_up']).capitalize()} still warming up: rules answer.")
    if by.get("nobody"):
        parts.append(f"Nobody serves {_where(by['nobody'])}.")
    why = " ".join([*parts, _frozen(rows)]).strip()
    if champions:
        return "mixed", f"{whom} serves {len(champions)} of {count} partitions", why
    head = "Rules serve, while models warm up" if not by.get("fallback") else "Rules serve"
    return "rules", head if count == 1 else f"{head}: {count} partitions", why


def _frozen(rows: Sequence[PartitionRow]) -> str:
    frozen = [row.number for row in rows if row.frozen]
    if not frozen:
        return ""
    return "Learning is frozen." if len(frozen) == len(rows) else f"Learning is frozen in {_where(frozen)}."


def _where(numbers: Sequence[int]) -> str:
    """Name partitions.

    >>> _where([3]), _where([1, 2]), _where([1, 2, 3, 4, 5])
    ('partition 3', 'partitions 1 and 2', '5 partitions')
    """
    if len(numbers) == 1:
        return f"partition {numbers[0]}"
    if len(numbers) > 4:
        return f"{len(numbers)} partitions"
    return "partitions " + ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"


def short(version: str | None) -> str:
    """Return a version as people say it.

    >>> short("fraud/p3/v7@1234")
    'v7'
    """
    return line_of(version or "")
