"""Rebuilt states by their digest: read where a command installs them, and the same way in every replay.

What is decided depends on records alone: whether a state was there when its command came stands in the
journal, and a replay does not ask again.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from learners.candidate import Candidate, digest_of, unpack
from learners.definition import Definition
from learners.errors import LostStateError, MeanderError, SnapshotError
from learners.lineage import Transition
from learners.snapshot import Keys

REFUSED_INSTALL = "install was not carried out: "  # how a rejection begins


class States(Protocol):
    """Finds states that were learned again from the log."""

    def find(self, definition: Definition, digest: str, position: str) -> Candidate:
        """Return a state.

        Parameters
        ----------
        position
            Of the command that installs it.

        Raises
        ------
        MeanderError
            When it is not there, or does not fit.
        """


class NoStates:
    """There are none: no store belongs to this."""

    def find(self, definition: Definition, digest: str, position: str) -> Candidate:
        """See `States.find`."""
        raise MeanderError(f"there is no store to find the state {digest} in")


class StoredStates:
    """Those of one partition in a store.

    Parameters
    ----------
    read
        From digest to bytes; raises a `MeanderError` where there are none.
    keys
        That they are signed with; asked for when one is read.
    """

    def __init__(self, read: Callable[[str], bytes], keys: Callable[[], Keys]) -> None:
        self._read, self._keys = read, keys

    def find(self, definition: Definition, digest: str, position: str) -> Candidate:
        """See `States.find`."""
        data = self._read(digest)
        if digest_of(data) != digest:
            raise SnapshotError(f"the state {digest} is not what its digest says: it was changed")
        return unpack(definition, data, self._keys())


class JournaledStates:
    """Finds states for inputs that are run again, with the outcome that the journal tells.

    Parameters
    ----------
    states
        Where they are.
    installed, refused
        By position of the command, see `stream.processing.recovery.Tail`.
    """

    def __init__(
        self, states: States, installed: Mapping[str, Transition], refused: Mapping[str, str]
    ) -> None:
        self._states, self._installed, self._refused = states, installed, refused

    def find(self, definition: Definition, digest: str, position: str) -> Candidate:
        """See `States.find`.

        Raises
        ------
        LostStateError
            When it was installed then, and cannot be had any more.
        """
        if position in self._refused:
            raise MeanderError(self._refused[position])
        try:
            return self._states.find(definition, digest, position)
        except MeanderError as error:
            if position not in self._installed:
                raise
            raise LostStateError(
                f"{position} installed the state {digest}, which cannot be had any more: {error}. "
                "Put it back into the store. Without it, stop all workers and run: meander rebuild "
                "DEFINITION (learns the log again, without the spans that the state had left out)"
            ) from None
