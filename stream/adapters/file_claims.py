"""Who holds which partition of a folder of snapshots: the lock of a file, and signs of life.

A process that ends lets go of its locks; one that was stopped (SIGSTOP, a frozen container) keeps them.
So whoever holds a partition touches the file every second, and whoever waits for it long enough without
seeing that puts another file in its place. The one before finds that out before it writes again.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from learners.errors import MeanderError, StaleGenerationError

BEAT = 1.0  # seconds between two signs of life; and between two looks for one that count
LOOKS = 5  # so many in a row without a sign, and the partition is taken


class _Seen(NamedTuple):
    sign: tuple[int, int]
    looks: int
    at: float


class Claims:
    """The partitions of a folder that this process holds.

    Parameters
    ----------
    folder_of
        Where a partition's files are; made when it is not there.
    beat
        Seconds between two signs of life.
    """

    def __init__(self, folder_of: Callable[[int], Path], beat: float = BEAT) -> None:
        self._folder_of, self._beat = folder_of, beat
        self._handles: dict[int, int] = {}
        self._seen: dict[int, _Seen] = {}  # of partitions that others hold
        self._beating: threading.Thread | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """Let go of everything."""
        self._closed.set()
        for partition in tuple(self._handles):
            self.unlock(partition)
        if self._beating is not None:
            self._beating.join()

    def lock(self, partition: int) -> None:
        """Claim a partition, until `unlock` or the end of this process; from one that stands still, too.

        Raises
        ------
        MeanderError
            When another process holds it. Of one that stands still, that is found out by asking again.
        """
        if self._ours(partition):
            return
        self.unlock(partition)
        try:
            handle = self._claim(partition)
        except MeanderError:
            if not self._silent(partition):
                raise
            handle = self._take(partition)
        self._seen.pop(partition, None)
        self._handles[partition] = handle
        if self._beating is None:
            self._beating = threading.Thread(target=self._live, name="meander-claims", daemon=True)
            self._beating.start()

    def unlock(self, partition: int) -> None:
        """Let go of a partition; harmless when it is not ours."""
        handle = self._handles.pop(partition, None)
        if handle is not None:
            os.close(handle)

    @contextmanager
    def held(self, partition: int) -> Iterator[None]:
        """Hold a partition for one write, where it was not claimed for longer.

        Raises
        ------
        StaleGenerationError
            When another holds it, or has taken it from this process.
        """
        if partition in self._handles:
            if not self._ours(partition):
                self._claim_again(partition)
            yield
            return
        try:
            handle = self._claim(partition)
        except MeanderError as error:
            raise StaleGenerationError(str(error)) from None
        try:
            yield
        finally:
            os.close(handle)

    def _claim_again(self, partition: int) -> None:
        """Claim a partition whose file was deleted; where there is another one, another process has it."""
        if not self._file(partition).exists():
            with suppress(MeanderError):
                handle = self._claim(partition)
                self.unlock(partition)
                self._handles[partition] = handle
                return
        raise StaleGenerationError(
            f"another process has taken the snapshots of partition {partition} in "
            f"{self._folder_of(partition).parent}: this one gave no sign of life for too long"
        )

    def _file(self, partition: int) -> Path:
        return self._folder_of(partition) / "lock"

    def _claim(self, partition: int) -> int:
        while True:
            handle = os.open(self._file(partition), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                where = self._folder_of(partition).parent
                raise MeanderError(
                    f"another process holds the snapshots of partition {partition} in {where}: "
                    "stop it, or give each worker group a folder of its own"
                ) from None
            if self._is_file(handle, partition):
                return handle
            os.close(handle)  # another one was put in its place meanwhile

    def _is_file(self, handle: int, partition: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._file(partition).stat())
        except FileNotFoundError:
            return False

    def _ours(self, partition: int) -> bool:
        handle = self._handles.get(partition)
        return handle is not None and self._is_file(handle, partition)

    def _silent(self, partition: int) -> bool:
        """Look for a sign of life of whoever holds a partition; whether there was none for long enough.

        Looks are counted, not time: where this process stood still itself it has missed nothing.
        """
        found, now = self._file(partition).stat(), time.monotonic()
        sign = found.st_ino, found.st_mtime_ns
        seen = self._seen.get(partition)
        if seen is None or seen.sign != sign:
            self._seen[partition] = _Seen(sign, 0, now)
        elif now - seen.at >= 0.9 * self._beat:
            self._seen[partition] = _Seen(sign, seen.looks + 1, now)
        return self._seen[partition].looks >= LOOKS

    def _take(self, partition: int) -> int:
        """Put a file of our own in the place of one whose holder stands still."""
        folder = self._folder_of(partition)
        place = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)  # one at a time: another one may have been quicker
            if not self._silent(partition):
                return self._claim(partition)
            fresh = folder / "lock.new"
            handle = os.open(fresh, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            fresh.rename(folder / "lock")
            return handle
        finally:
            os.close(place)

    def _live(self) -> None:
        while not self._closed.wait(self._beat):
            for partition in tuple(self._handles):
                with suppress(OSError):
                    os.utime(self._file(partition))
