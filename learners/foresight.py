"""How good answers are while their labels are not there yet: expected from what such answers were worth.

Answers that got their label are sorted into bins by their level (see `learners.tasks.Task.level`): each
bin knows the mean loss of the last of them. What was answered of late, label or not, is expected to lose
what the last answers with a label lost, and as much more or less as its bins lose more or less than theirs
(a difference estimator: what bins have seen may be long ago, and errors grow or shrink in all of them).
That sees other answers than before (data drift, another mix of easy and hard), and nothing else: where the
world changes and the answers stay as they were (concept drift), it goes on as if nothing had happened.

References
----------
B. Zadrozny, C. Elkan, *Obtaining calibrated probability estimates from decision trees and naive Bayesian
classifiers*, ICML 2001 (binning).
W. G. Cochran, *Sampling Techniques*, 1977, chapter 7 (difference estimator).
"""

from bisect import bisect_left
from collections import deque
from typing import Any

from msgspec import Struct

from learners.scores import FADING
from learners.tasks import Task

BINS = 20  # of the answers of models; as many of those of rules
WINDOW = 512  # answers that the present is made of, and labels that what is known last is
BITS = 9  # events of a block: 2 ** 9
MOST_BLOCKS = 2048  # a million events; labels that come later still are counted, their block is not
LEAST = 50  # labels without which nothing is said
PRIOR = 5.0  # labels' worth that a bin is taken to be like all


class Block(Struct, array_like=True):
    """Successive events.

    Attributes
    ----------
    time
        Event time of the first, milliseconds.
    answered, labelled
        How many, and how many of them have their label.
    expected
        What they were expected to lose when the block was full.
    """

    time: int
    answered: int = 0
    labelled: int = 0
    expected: float | None = None


class Share(Struct, frozen=True):
    """Events of one age.

    Attributes
    ----------
    seconds
        They are at most so old; None: any older.
    answered, labelled
        How many, and how many of them have their label.
    """

    seconds: float | None
    answered: int
    labelled: int


class State(Struct):
    """What a snapshot keeps."""

    counts: list[int]
    losses: list[float]
    sizes: list[float]
    recent: list[int]
    blocks: dict[int, Block]
    deviation: float
    judged: int
    known: list[tuple[int, float, float]] = []


class Foresight:
    """Expected loss of the last answers.

    Parameters
    ----------
    task
        What an answer is.
    """

    def __init__(self, task: Task) -> None:
        self._level = task.level
        self._counts, self._losses = [0] * (2 * BINS), [0.0] * (2 * BINS)  # labels, and their mean loss
        self._sizes = [0.0] * (2 * BINS)  # mean absolute error, where answers are numbers
        self._recent: deque[int] = deque(maxlen=WINDOW)  # bins of the last answers
        # bin, loss and size of the last answers that got their label
        self._known: deque[tuple[int, float, float]] = deque(maxlen=WINDOW)
        self.blocks: dict[int, Block] = {}
        self._number, self._block = -1, Block(0)
        self._last: float | None = None  # expected when the last block was full
        # not summed up yet: by whom and at which level an answer was; block, member, level, loss and size
        self._said: list[tuple[int, float] | None] = []
        self._told: list[tuple[int, int | None, float | None, float, float]] = []
        self._deviation, self._judged = 0.0, 0

    def answered(self, ordinal: int, timestamp: int, number: int | None, answer: Any) -> None:
        """Take note of an answer.

        Parameters
        ----------
        ordinal
            How many were given before.
        timestamp
            Event time.
        number
            Of the member who answered (rules: negative); None: nobody did.
        answer
            In the task's own form.
        """
        if ordinal >> BITS != self._number:
            self._turn(ordinal >> BITS, timestamp)
        self._said.append(None if number is None else (number, self._level(answer)))

    def _turn(self, number: int, timestamp: int) -> None:
        self._last = self._block.expected = self.expected()
        self._number, self._block = number, Block(timestamp)
        self.blocks[number] = self._block
        if len(self.blocks) > MOST_BLOCKS:
            del self.blocks[next(iter(self.blocks))]

    def labelled(self, ordinal: int, number: int | None, answer: Any, loss: float, size: float) -> None:
        """Take note of what an answer was worth.

        Parameters
        ----------
        ordinal, number, answer
            As for `answered`.
        loss
            In [0, 1]; 0 where nobody answered.
        size
            Absolute error, where answers are numbers.
        """
        level = None if number is None else self._level(answer)
        self._told.append((ordinal >> BITS, number, level, loss, size))
        if len(self._told) >= WINDOW:
            self._sum_up()

    def _sum_up(self) -> None:
        """Take in what was noted since the last time: in one go that costs a fraction."""
        if self._said:
            self._block.answered += len(self._said)
            self._recent += [_bin(*said) for said in self._said if said is not None]
            self._said.clear()
        blocks, counts, losses, sizes = self.blocks, self._counts, self._losses, self._sizes
        for of, number, level, loss, size in self._told:
            block = blocks.get(of)
            if block is not None:
                block.labelled += 1
            if number is None:
                continue
            at = _bin(number, level)
            self._known.append((at, loss, size))
            n = counts[at] = counts[at] + 1
            rate = 1.0 / (n if n < FADING else FADING)
            losses[at] += (loss - losses[at]) * rate
            sizes[at] += (size - sizes[at]) * rate
            expected = None if block is None else block.expected if block is not self._block else self._last
            if expected is not None:
                n = self._judged = self._judged + 1
                self._deviation += (expected - loss - self._deviation) / (n if n < FADING else FADING)
        self._told.clear()

    def expected(self, sizes: bool = False) -> float | None:
        """Return what the last answers are expected to lose; None while nothing is known.

        Parameters
        ----------
        sizes
            As absolute error.
        """
        self._sum_up()
        means, counts = self._sizes if sizes else self._losses, [min(n, FADING) for n in self._counts]
        labels, answers = sum(counts), self._recent
        if labels < LEAST or not answers or not self._known:
            return None
        overall = sum(n * mean for n, mean in zip(counts, means, strict=True)) / labels
        worth = [(n * mean + PRIOR * overall) / (n + PRIOR) for n, mean in zip(counts, means, strict=True)]
        lost: float = sum(size if sizes else loss for _, loss, size in self._known) / len(self._known)
        by_bins: float = sum(worth[at] for at, _, _ in self._known) / len(self._known)
        expected = max(0.0, lost + sum(worth[at] for at in answers) / len(answers) - by_bins)
        return expected if sizes else min(expected, 1.0)

    @property
    def answers(self) -> int:
        """Over how many of the last answers `expected` is."""
        self._sum_up()
        return len(self._recent)

    @property
    def deviation(self) -> float | None:
        """What was expected, less what became true, over some 500 labels; None before any could be judged."""
        self._sum_up()
        return self._deviation if self._judged else None

    def shares(self, now: int, edges: tuple[float, ...]) -> tuple[Share, ...]:
        """Return how many events of each age have their label; block by block, so no finer than 512 events.

        Parameters
        ----------
        now
            Event time, milliseconds.
        edges
            Upper ends of ages, milliseconds.
        """
        self._sum_up()
        answered, labelled = [0] * (len(edges) + 1), [0] * (len(edges) + 1)
        for block in self.blocks.values():
            at = bisect_left(edges, now - block.time)
            answered[at] += block.answered
            labelled[at] += block.labelled
        return tuple(
            Share(None if edge is None else edge / 1000, all_of_them, with_label)
            for edge, all_of_them, with_label in zip((*edges, None), answered, labelled, strict=True)
            if all_of_them
        )

    def state(self) -> State:
        """Return everything noted."""
        self._sum_up()
        return State(
            self._counts, self._losses, self._sizes, list(self._recent), self.blocks,
            self._deviation, self._judged, list(self._known),
        )  # fmt: skip

    def resume(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._counts, self._losses, self._sizes = list(state.counts), list(state.losses), list(state.sizes)
        self._recent = deque(state.recent, WINDOW)
        self.blocks = dict(state.blocks)
        self._deviation, self._judged = state.deviation, state.judged
        self._known = deque(state.known, WINDOW)
        if self.blocks:
            self._number, self._block = next(reversed(self.blocks.items()))
            before = list(self.blocks.values())[-2:-1]
            self._last = before[0].expected if before else None


def _bin(number: int, level: Any) -> int:
    at = int(level * BINS)
    at = BINS - 1 if at >= BINS else at if at > 0 else 0
    return at if number >= 0 else at + BINS
