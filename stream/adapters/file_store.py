"""Snapshots as files: written, synced, renamed, and the folder synced, so that each is whole or not there."""

import fcntl
import os
from pathlib import Path

from learners.errors import MeanderError


class FileStore:
    """Keeps the last snapshots of each partition in a folder of its own.

    Parameters
    ----------
    folder
        Made when it is not there.
    keep
        How many for each partition.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self._folder, self._keep = folder, keep
        self._locks: dict[int, int] = {}

    def save(self, partition: int, data: bytes) -> None:
        """Keep one more; durable when this returns."""
        folder = self._of(partition)
        kept = self._files(partition)
        number = int(kept[0].stem) + 1 if kept else 1
        path = folder / f"{number:012d}.snapshot"
        temporary = path.with_suffix(".writing")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        self._sync(folder)
        for old in kept[self._keep - 1 :]:
            old.unlink(missing_ok=True)

    def load(self, partition: int) -> list[bytes]:
        """Return what is kept, newest first."""
        return [path.read_bytes() for path in self._files(partition)]

    def lock(self, partition: int) -> None:
        """Claim a partition for this process, until `unlock` or its end.

        Raises
        ------
        MeanderError
            When another process holds it.
        """
        if partition in self._locks:
            return
        handle = os.open(self._of(partition) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise MeanderError(
                f"another process holds the snapshots of partition {partition} in {self._folder}: "
                "stop it, or give each worker group a folder of its own"
            ) from None
        self._locks[partition] = handle

    def unlock(self, partition: int) -> None:
        """Let go of a partition."""
        handle = self._locks.pop(partition, None)
        if handle is not None:
            os.close(handle)

    def _of(self, partition: int) -> Path:
        folder = self._folder / f"partition-{partition}"
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            self._sync(self._folder)
        return folder

    def _files(self, partition: int) -> list[Path]:
        return sorted(self._of(partition).glob("*.snapshot"), reverse=True)

    @staticmethod
    def _sync(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
