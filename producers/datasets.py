"""The data sets that come with River, by name."""

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

from river import datasets
from river.datasets.base import RemoteDataset

from learners.errors import MeanderError

LABEL = "target"  # the column of the label


class UnknownDatasetError(MeanderError):
    """A name that is no bundled data set."""


def bundled() -> dict[str, type[Any]]:
    """Return River's data sets with one label a row that need no download, by name."""
    classes = inspect.getmembers(datasets, inspect.isclass)
    local: dict[str, type[Any]] = {
        name: kind for name, kind in classes if not issubclass(kind, RemoteDataset)
    }
    return {name: kind for name, kind in local.items() if kind().n_outputs in (None, 1)}


def rows(name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a data set, its label in the column ``target``.

    Parameters
    ----------
    name
        As in `bundled`; capitals do not matter.

    Raises
    ------
    UnknownDatasetError
        Naming those there are.

    Examples
    --------
    >>> next(rows("bananas"))
    {'1': 1.617466, '2': -0.919233, 'target': False}
    """
    known = {name.lower(): kind for name, kind in bundled().items()}
    kind = known.get(name.lower())
    if kind is None:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        names = [known[match].__name__ for match in near or known]
        raise UnknownDatasetError(
            f"{name!r} is none of River's bundled data sets. "
            + (f"Did you mean {names[0]}?" if near else f"One of: {', '.join(names)}")
        )
    for features, label in kind():
        yield {**features, LABEL: label}
