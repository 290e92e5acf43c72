"""Events that broke the contract: answered by a rule, never learned, unless they are sent again put right."""

from collections import OrderedDict

from stream.messages import Example


class Broken:
    """The last events of a partition that broke the contract, each with its label once that has come.

    They have a memory of their own: however many there are, they push no good event out of another's.

    Parameters
    ----------
    limit
        How many are remembered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._examples: OrderedDict[str, Example] = OrderedDict()

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._examples

    def __len__(self) -> int:
        return len(self._examples)

    def get(self, identifier: str) -> Example | None:
        """Return what was answered, if it is remembered."""
        return self._examples.get(identifier)

    def keep(self, example: Example) -> None:
        """Remember one, and forget the oldest if there are too many."""
        self._examples[example.id] = example
        if len(self._examples) > self._limit:
            self._examples.popitem(last=False)

    def forget(self, identifier: str) -> None:
        """Let go of one: it was made good."""
        del self._examples[identifier]

    def forget_key(self, key: bytes) -> list[str]:
        """Let go of all of an entity; returns their ids."""
        gone = [i for i, example in self._examples.items() if example.key == key]
        for identifier in gone:
            del self._examples[identifier]
        return gone

    def state(self) -> list[Example]:
        """Return all, oldest first."""
        return list(self._examples.values())

    def resume(self, state: list[Example]) -> None:
        """Continue from what `state` returned."""
        self._examples = OrderedDict((example.id, example) for example in state)
