"""Snapshots as files: written, synced, renamed, and the folder synced, so that each is whole or not there.

``partition-3/000000000012.g7.snapshot`` is the twelfth snapshot of partition 3, saved under generation 7.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from learners.errors import SnapshotError, StaleGenerationError, StoreUnavailableError
from stream.adapters.failpoints import reach
from stream.adapters.file_claims import BEAT, Claims
from stream.ports import Stored, check_digest, check_segment

STATES = "rebuilt"  # the folder of what was learned again
_NAME = re.compile(r"(\d+)(?:\.g(\d+))?\.snapshot")


class _Found(NamedTuple):
    generation: int  # first: whoever was replaced may have been stopped in the middle of a last write
    number: int
    path: Path


class FileStore:
    """Keeps the last snapshots of each partition in a folder of its own.

    Parameters
    ----------
    folder
        Made when it is not there.
    keep
        How many for each partition; of those set aside, as many.
    beat
        Seconds between two signs of life; see `Claims`.
    """

    def __init__(self, folder: Path, keep: int = 3, beat: float = BEAT) -> None:
        self._folder, self._keep = folder, keep
        self._claims = Claims(self._of, beat)

    def advice(self) -> list[str]:
        """Return nothing: a folder that can be written to has no settings."""
        with _writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        return []

    def close(self) -> None:
        """Let go of everything."""
        self._claims.close()

    # -- snapshots ---------------------------------------------------------------------------------

    def save(self, partition: int, data: bytes, generation: int) -> None:
        """Keep one more; see `stream.ports.StateStore.save`."""
        folder = self._of(partition)
        with self._claims.held(partition):
            kept, aside = _found(folder), _found(folder / "set-aside")
            newest = max((found.generation for found in kept + aside), default=0)
            if generation < newest:
                raise StaleGenerationError(
                    f"generation {newest} has saved partition {partition} in {self._folder}; "
                    f"this is {generation}, which another worker has replaced"
                )
            number = max((found.number for found in kept + aside), default=0) + 1
            path = folder / f"{number:012d}.g{generation}.snapshot"
            temporary = path.with_suffix(".writing")
            with _writing(folder):
                with temporary.open("wb") as file:
                    half = len(data) // 2
                    file.write(memoryview(data)[:half])
                    reach("snapshot.writing")
                    file.write(memoryview(data)[half:])
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(path)
                _sync(folder)
            for old in kept[self._keep - 1 :]:
                old.path.unlink(missing_ok=True)

    def load(self, partition: int) -> list[Stored]:
        """Return what is kept, newest first, none of it read yet."""
        with _writing(self._folder):
            kept = _found(self._of(partition))
        return [Stored(found.path.name, found.generation, partial(_data, found.path)) for found in kept]

    def set_aside(self, partition: int, name: str, reason: str) -> None:
        """Move a snapshot into the folder ``set-aside``, with its reason beside it."""
        folder = self._of(partition)
        aside = folder / "set-aside"
        aside.mkdir(exist_ok=True)
        (aside / name).with_suffix(".reason").write_text(reason + "\n", encoding="utf-8")
        (folder / name).rename(aside / name)
        _sync(aside)
        _sync(folder)
        for old in _found(aside)[self._keep :]:
            old.path.unlink(missing_ok=True)
            old.path.with_suffix(".reason").unlink(missing_ok=True)

    def clear(self, partition: int) -> None:
        """Delete a partition's files, all but the lock."""
        folder = self._of(partition)
        with self._claims.held(partition), _writing(folder):
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != "lock":
                    path.unlink()
            _sync(folder)

    # -- segments ----------------------------------------------------------------------------------

    def append(self, partition: int, segment: str, data: bytes) -> int:
        """Append to a segment; returns its new length."""
        path = self._segment(partition, segment)
        with self._claims.held(partition), _writing(path.parent):
            new = not path.exists()
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                length = file.tell()
            if new:
                _sync(path.parent)
                _sync(path.parent.parent)
        return length

    def read(self, partition: int, segment: str, length: int | None = None) -> bytes:
        """Return a segment's first ``length`` bytes, or all."""
        path = self._segment(partition, segment)
        try:
            with path.open("rb") as file:
                data = file.read(-1 if length is None else length)
        except FileNotFoundError:
            raise SnapshotError(f"there is no segment {segment} of partition {partition}") from None
        if length is not None and len(data) < length:
            raise SnapshotError(f"segment {segment} has {len(data)} bytes, not {length}")
        return data

    def segments(self, partition: int) -> list[str]:
        """Return the names of all segments, sorted."""
        folder = self._of(partition) / "segments"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def drop(self, partition: int, segment: str) -> None:
        """Delete a segment."""
        self._segment(partition, segment).unlink(missing_ok=True)

    def _segment(self, partition: int, segment: str) -> Path:
        return self._of(partition) / "segments" / check_segment(segment)

    # -- states that were learned again ------------------------------------------------------------

    def put(self, partition: int, digest: str, data: bytes) -> None:
        """Keep a state under its digest."""
        path = self._state(partition, digest)
        with _writing(path.parent.parent):
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.writing")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
            _sync(path.parent)
            _sync(path.parent.parent)

    def get(self, partition: int, digest: str) -> bytes:
        """Return a state."""
        try:
            return self._state(partition, digest).read_bytes()
        except FileNotFoundError:
            raise SnapshotError(
                f"there is no state {digest} of partition {partition} in {self._folder}"
            ) from None

    def digests(self, partition: int) -> list[str]:
        """Return the digests of all states, oldest first."""
        found = (self._of(partition) / STATES).glob("*.state")
        return [path.stem for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))]

    def remove(self, partition: int, digest: str) -> None:
        """Delete a state."""
        self._state(partition, digest).unlink(missing_ok=True)

    def _state(self, partition: int, digest: str) -> Path:
        return self._of(partition) / STATES / f"{check_digest(digest)}.state"

    # -- locks -------------------------------------------------------------------------------------

    def lock(self, partition: int) -> None:
        """Claim a partition; see `Claims.lock`."""
        with _writing(self._folder):
            self._claims.lock(partition)

    def unlock(self, partition: int) -> None:
        """Let go of a partition."""
        self._claims.unlock(partition)

    def _of(self, partition: int) -> Path:
        folder = self._folder / f"partition-{partition}"
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync(self._folder)
        return folder


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(
            f"{folder} cannot be written to: {error.strerror or error}. Make room, or mend its permissions"
        ) from None


def _found(folder: Path) -> list[_Found]:
    """Return the snapshots in a folder, newest first."""
    names = ((path, _NAME.fullmatch(path.name)) for path in folder.glob("*.snapshot"))
    found = [_Found(int(name[2] or 0), int(name[1]), path) for path, name in names if name]
    return sorted(found, reverse=True)


def _data(path: Path) -> bytes:
    """Return a file's bytes; none where a newer snapshot has pushed it out meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
