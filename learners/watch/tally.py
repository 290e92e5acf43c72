r"""Bets on how often values fall into bins, block by block: one detector for all columns of a table.

Each column has eight bins of about equal share (numbers) or its seven most frequent values and the rest
(categories), one more for missing values and one for refused ones. Against a bin's reference share ``q``
(its share so far, plus what estimating it may have missed) a gambler bets that it is met more often:
``m <- m (1 + s (1/q - 1))`` for each value inside, ``m <- m (1 - s)`` for each outside. If the share is
``q`` or less, the expected wealth never grows, whatever the stake ``s``; with a floor of 1 at the beginning
of each block it is an e-detector, whose expected number of blocks before a false alarm is at least the
threshold. Neighbouring values that resemble each other (hours, seasons) make counts vary more than chance
would: the wealth is then raised to the power of one over that factor, measured on the reference.

References
----------
J. Shin, A. Ramdas, A. Rinaldo, *E-detectors*, 2023 (arXiv 2203.03532). C. J. Geyer, *Practical Markov chain
Monte Carlo*, Statistical Science 1992 (sums of autocorrelations). P. McCullagh, J. A. Nelder, *Generalized
linear models*, 1989 (overdispersion).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]

BLOCK = 32  # rows counted at once
BINS = 8
CELLS = BINS + 2
MISSING, REFUSED = BINS, BINS + 1
STAKES = np.array([0.05, 0.2, 0.6])
LEAST = 0.01  # a share is never taken to be smaller: one odd value is no change
REFRESH = 8  # blocks after which the reference takes in what came
MEMORY = 4  # times the reference: how far back it reaches
REFUSED_VALUE = math.inf
_BLANKS: dict[Any, float] = {None: math.nan, REFUSED_VALUE: REFUSED_VALUE}


class Column(NamedTuple):
    """What one column holds: ``number``, ``category``, or ``presence`` (only whether it is there)."""

    name: str
    kind: str
    declared: Any = None


class Alarm(NamedTuple):
    """A bin is met more often than it was.

    Attributes
    ----------
    column, cell
        Where.
    before, after
        Its share in the reference and in the last block.
    seen
        Rows the reference rests on.
    values
        The last block's values of the column (categories as codes), shape (rows,), from the first of the new.
    words
        What the bin is.
    profile
        What the reference was like.
    """

    column: int
    cell: int
    before: float
    after: float
    seen: int
    values: Floats
    words: str
    profile: "Profile"


class Profile(Struct):
    """One column's reference.

    Attributes
    ----------
    edges
        Lower ends of the bins but the first.
    words
        The named categories, in order.
    quartiles
        Of a number's values.
    top
        Share of the most frequent value.
    """

    edges: list[float] = []
    words: list[Any] = []
    quartiles: list[float] = []
    top: float = 0.0


class Tally:
    """Watches the columns of a table.

    Parameters
    ----------
    columns
        Numbers first.
    reference
        Rows a reference is learned from.
    needs
        For each column, the log wealth that is an alarm; see `need`.
    answer
        The column that does not stand in the rows but beside them. Its reference is learned from the row
        after the first ``reference``, when models are no longer quite new.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        reference: int,
        needs: Sequence[float],
        answer: int | None = None,
    ) -> None:
        f = len(columns)
        self.columns, self.reference, self.answer = columns, reference, answer
        self._needs, self._least = np.array(needs), min(needs)
        self._names = [c.name for i, c in enumerate(columns) if c.kind == "number" and i != answer]
        self._numeric_answer = answer is not None and columns[answer].kind == "number"
        self._getter = itemgetter(*self._names) if len(self._names) > 1 else None
        self._named = [(i, c.name) for i, c in enumerate(columns) if c.kind != "number"]
        self._codes: dict[int, dict[Any, float]] = {i: dict(_BLANKS) for i, _ in self._named}
        self._rests = dict.fromkeys(self._codes, 0.0)
        self._base = (np.arange(f) * CELLS)[None, :]
        self.profiles = [Profile() for _ in columns]
        self._edges = np.full((f, BINS - 1), np.inf)
        self._p = np.zeros((f, CELLS))
        self._n = np.zeros(f)
        self._factor = np.ones(f)  # by how much counts vary more than by chance
        self._since, self._blocks = np.zeros((f, CELLS)), 0
        self._log = np.zeros((f, CELLS, len(STAKES)))
        self._gain, self._loss = np.zeros_like(self._log), np.zeros((f, 1, len(STAKES)))
        self._holds = {i: reference if i == answer else 0 for i in range(f)}
        self._learning: dict[int, list[Any]] = {i: [] for i in range(f)}
        for i, column in enumerate(columns):
            if column.declared is not None:
                self._declare(i, column.declared)

    # -- the table -----------------------------------------------------------------------------------

    def _matrix(self, rows: Rows, answers: Sequence[Any]) -> Floats:
        """Return values as numbers, shape (rows, columns): missing is NaN, refused infinite."""
        table = np.empty((len(rows), len(self.columns)))
        k = len(self._names)
        if k:
            try:
                if self._getter is not None:
                    table[:, :k] = np.array(list(map(self._getter, rows)), dtype=float)
                else:
                    name = self._names[0]
                    table[:, 0] = np.array([row[name] for row in rows], dtype=float)
            except KeyError:  # a value is absent
                names = self._names
                table[:, :k] = np.array([[row.get(name) for name in names] for row in rows], dtype=float)
        if self._numeric_answer:
            table[:, k] = np.array(answers, dtype=float)
        for i, name in self._named:
            codes, rest = self._codes[i], self._rests[i]
            values = answers if i == self.answer else [row.get(name) for row in rows]
            table[:, i] = [codes.get(value, rest) for value in values]
        return table

    def _cells(self, table: Floats, columns: slice | list[int] = slice(None)) -> NDArray[np.int64]:
        # straight from the ufuncs: the methods of arrays cost as much again at this size
        cells: NDArray[np.int64] = np.add.reduce(
            table[:, :, None] >= self._edges[columns], axis=2, dtype=np.int64
        )
        if not math.isfinite(np.add.reduce(table, axis=None)):
            cells[np.isnan(table)] = MISSING
            cells[table == REFUSED_VALUE] = REFUSED
        return cells

    def take(self, rows: Rows, answers: Sequence[Any] = ()) -> list[Alarm]:
        """Take a block of rows (`BLOCK` of them), and what was answered; returns alarms, the surest first.

        The reference of a column that alarmed is learned anew from the rows that follow.
        """
        table = self._matrix(rows, answers)
        cells = self._cells(table)
        f = len(self.columns)
        counts = np.bincount((cells + self._base).ravel(), minlength=f * CELLS).reshape(f, CELLS)
        alarms: list[Alarm] = []
        if len(self._learning) < f:
            log = self._log
            np.maximum(log, 0.0, out=log)
            log += counts[:, :, None] * self._gain
            log += self._loss
            if log.max() >= self._least:
                over = log.max(axis=(1, 2)) - self._needs
                for i in np.argsort(-over, kind="stable").tolist():
                    if over[i] < 0.0:
                        break
                    alarms.append(self._alarm(i, table[:, i], cells[:, i], counts[i]))
            self._since += counts
            self._blocks += 1
            if self._blocks == REFRESH:
                self._refresh()
        if self._learning:
            self._learn(rows, answers, table)
        for alarm in alarms:
            self.relearn(alarm.column)
        return alarms

    def _alarm(self, i: int, values: Floats, cells: NDArray[np.int64], counts: NDArray[np.int64]) -> Alarm:
        cell = int(np.argmax(self._log[i].max(axis=1)))
        inside = cells == cell
        rate = np.cumsum(inside[::-1])[::-1] / np.arange(len(cells), 0, -1)
        starts = np.flatnonzero(inside & (rate >= 0.7))
        first = int(starts[0]) if len(starts) else 0
        return Alarm(
            i,
            cell,
            float(self._p[i, cell]),
            float(counts[cell]) / len(cells),
            int(self._n[i]),
            values[first:],
            self._describe(i, cell),
            self.profiles[i],
        )

    def _describe(self, i: int, cell: int) -> str:
        if cell >= BINS:
            return "missing" if cell == MISSING else "refused"
        profile = self.profiles[i]
        if self.columns[i].kind != "number":
            return repr(profile.words[cell]) if cell < len(profile.words) else "another value"
        edges = profile.edges
        if not edges:
            return "a number"
        if cell == 0:
            return f"below {edges[0]:.4g}"
        return f"from {edges[cell - 1]:.4g}" + (f" to {edges[cell]:.4g}" if cell < len(edges) else " up")

    # -- references ----------------------------------------------------------------------------------

    def relearn(self, i: int, hold: int = 0) -> None:
        """Learn a column's reference anew, from the row after the next ``hold``."""
        self._learning[i], self._holds[i] = [], hold
        self._log[i] = self._gain[i] = self._loss[i] = 0.0
        self._since[i] = 0.0

    def forget(self) -> None:
        """Let go of single values: a reference that is being learned is learned anew."""
        for i in self._learning:
            self._learning[i] = []

    def _learn(self, rows: Rows, answers: Sequence[Any], table: Floats) -> None:
        for i in list(self._learning):
            if self._holds[i] > 0:
                self._holds[i] -= len(rows)
                continue
            column, kept = self.columns[i], self._learning[i]
            if column.kind == "number":
                kept += table[:, i].tolist()
            else:
                kept += answers if i == self.answer else [row.get(column.name) for row in rows]
            if len(kept) >= self.reference:
                del self._learning[i]
                self._settle(i, kept)

    def _settle(self, i: int, kept: list[Any]) -> None:
        """Make a reference of what was seen."""
        profile = self.profiles[i] = Profile()
        kind = self.columns[i].kind
        if kind == "number":
            values = np.array(kept)
            self._cut(i, values[np.isfinite(values)], profile)
        else:
            seen = Counter(v for v in kept if v not in _BLANKS)
            if kind == "category":
                ranked = sorted(seen.items(), key=lambda item: (-item[1], str(item[0])))
                profile.words = [word for word, _ in ranked[: BINS - 1]]
                profile.top = ranked[0][1] / len(kept) if ranked else 0.0
            self._name(i, profile)
            codes, rest = self._codes[i], self._rests[i]
            values = np.array([codes.get(v, rest) for v in kept])
        cells = self._cells(values[:, None], [i])[:, 0]
        self._p[i] = np.bincount(cells, minlength=CELLS) / len(cells)
        self._n[i] = len(cells)
        self._factor[i] = dispersion(cells, self._p[i])
        self._since[i] = 0.0
        self._price([i])

    def _cut(self, i: int, values: Floats, profile: Profile) -> None:
        self._edges[i] = np.inf
        if not len(values):
            return
        cuts = np.quantile(values, np.arange(1, BINS) / BINS)
        twice = cuts[:-1][np.diff(cuts) == 0.0]  # a value that fills a bin alone: the bin ends behind it
        edges = np.unique(np.concatenate([cuts, np.nextafter(twice, np.inf)]))[: BINS - 1]
        self._edges[i, : len(edges)] = edges
        profile.edges = edges.tolist()
        profile.quartiles = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        _, counts = np.unique(values, return_counts=True)
        profile.top = float(counts.max()) / len(values)

    def _name(self, i: int, profile: Profile) -> None:
        self._codes[i] = {word: float(n) for n, word in enumerate(profile.words)} | _BLANKS
        self._rests[i] = float(len(profile.words))
        self._edges[i] = np.arange(1, BINS) - 0.5

    def _declare(self, i: int, declared: Any) -> None:
        """Take a reference from the definition: as good as one learned, and it stays as it is."""
        profile = self.profiles[i]
        if isinstance(declared, Mapping):
            ranked = sorted(declared.items(), key=lambda item: (-item[1], item[0]))[: BINS - 1]
            profile.words, profile.top = [word for word, _ in ranked], ranked[0][1]
            self._name(i, profile)
            shares = [share for _, share in ranked]
            self._p[i, : len(shares)] = shares
            self._p[i, len(shares)] = max(0.0, 1.0 - sum(shares))
        else:
            self._edges[i] = declared
            profile.edges = list(declared)
            profile.quartiles = [declared[1], declared[3], declared[5]]
            self._p[i, :BINS] = 1.0 / BINS
        self._n[i] = MEMORY * self.reference
        del self._learning[i]
        self._price([i])

    def _refresh(self) -> None:
        """Let references take in what came since they last did, or since they were learned."""
        sizes = self._since.sum(axis=1)
        live = [
            i
            for i, column in enumerate(self.columns)
            if i not in self._learning and column.declared is None and sizes[i] > 0.0
        ]
        if live:
            size, n = sizes[live], self._n[live] + sizes[live]
            self._n[live] = n
            rate = size / np.minimum(n, MEMORY * self.reference)
            self._p[live] += (self._since[live] / size[:, None] - self._p[live]) * rate[:, None]
            self._price(live)
        self._since[:] = 0.0
        self._blocks = 0

    def _price(self, columns: list[int]) -> None:
        """Compute what a value inside and one outside each bin is worth, in log wealth."""
        p, factor = self._p[columns], self._factor[columns][:, None]
        n = np.minimum(self._n[columns], MEMORY * self.reference)[:, None] / factor
        q = np.clip(p + np.sqrt(p * (1.0 - p) / n) + 0.5 / n, LEAST, 1.0)[:, :, None]
        outside = np.log1p(-STAKES)
        power = 1.0 / factor[:, :, None]
        self._loss[columns] = BLOCK * outside * power
        self._gain[columns] = (np.log1p(STAKES * (1.0 / q - 1.0)) - outside) * power

    # -- state ---------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return all that was learned, as plain data."""
        arrays = {name: getattr(self, name).tobytes() for name in _ARRAYS}
        return {
            "arrays": arrays,
            "blocks": self._blocks,
            "holds": self._holds,
            "learning": self._learning,
            "profiles": [[p.edges, p.words, p.quartiles, p.top] for p in self.profiles],
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        for name, data in state["arrays"].items():
            array = getattr(self, name)
            array[...] = np.frombuffer(data).reshape(array.shape)
        self._blocks = state["blocks"]
        self._holds, self._learning = dict(state["holds"]), dict(state["learning"])
        self.profiles = [Profile(*parts) for parts in state["profiles"]]
        for i, _ in self._named:
            if i not in self._learning or self.profiles[i].words:
                self._name(i, self.profiles[i])


_ARRAYS = ("_edges", "_p", "_n", "_factor", "_since", "_log", "_gain", "_loss")


def need(budget: float, columns: int) -> float:
    """Return the log wealth of one bin and stake at which the bets on so many columns alarm.

    The mean of all wealths reaches the threshold when one of them alone pays for all.

    >>> round(need(100_000, 4), 1)
    12.8
    """
    return math.log(max(1.0, budget / BLOCK) * columns * CELLS * len(STAKES))


def dispersion(cells: NDArray[np.int64], shares: Floats) -> float:
    """Return by what factor counts in blocks vary more than chance would have it; at least 1.

    Parameters
    ----------
    cells
        One for each row, in order.
    shares
        Of each cell, over all rows.

    Examples
    --------
    >>> coins = np.random.default_rng(1).integers(0, 2, 2000)
    >>> dispersion(coins, np.array([0.5, 0.5]))
    1.0
    >>> days = np.repeat(np.random.default_rng(1).integers(0, 2, 200), 10)
    >>> 5 < dispersion(days, np.array([0.5, 0.5])) < 20
    True
    """
    blocks = len(cells) // BLOCK
    worst = 1.0
    if blocks < 8:
        return worst
    parts = cells[: blocks * BLOCK].reshape(blocks, BLOCK)
    for cell in np.flatnonzero((shares > 0.02) & (shares < 0.98)).tolist():
        counts = (parts == cell).sum(axis=1) - BLOCK * shares[cell]
        ratio = float((counts**2).mean()) / (BLOCK * float(shares[cell] * (1.0 - shares[cell])))
        if ratio < 1.0 + 4.0 * math.sqrt(2.0 / blocks):
            ratio = 1.0
        total = float((counts**2).sum())
        together = 1.0
        for lag in range(1, blocks // 4):
            r = float((counts[lag:] * counts[:-lag]).sum()) / total if total else 0.0
            if r < 3.0 / math.sqrt(blocks):
                break
            together += 2.0 * r
        worst = max(worst, float(ratio) * together)
    return float(worst)
