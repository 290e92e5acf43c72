"""Snapshots as files: each whole or not there, the newest first, one process at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from learners.errors import MeanderError
from stream.adapters.file_store import FileStore

SAVER = """
import sys
from pathlib import Path
from stream.adapters.file_store import FileStore
store = FileStore(Path(sys.argv[1]), 2)
number = 0
while True:
    number += 1
    store.save(0, str(number).encode() * 200_000)
    if number == 3:
        print("going", flush=True)
"""


def test_the_newest_come_first_and_few_are_kept(tmp_path: Path) -> None:
    """The last three of each partition are kept, newest first, by another store too."""
    store = FileStore(tmp_path / "new" / "folder", keep=3)
    assert store.load(0) == []
    for number in range(12):
        store.save(0, b"%d" % number)
    store.save(1, b"other")
    assert store.load(0) == [b"11", b"10", b"9"]
    again = FileStore(tmp_path / "new" / "folder", keep=3)
    again.save(0, b"12")
    assert again.load(0) == [b"12", b"11", b"10"]
    assert again.load(1) == [b"other"]


def test_one_kept_is_the_last_one(tmp_path: Path) -> None:
    """With ``keep = 1`` only the last one stays."""
    store = FileStore(tmp_path, keep=1)
    for number in range(3):
        store.save(0, b"%d" % number)
    assert store.load(0) == [b"2"]


def test_what_was_being_written_is_not_there(tmp_path: Path) -> None:
    """A file left half-written by a crash is ignored, and the next save is not disturbed by it."""
    store = FileStore(tmp_path)
    store.save(0, b"whole")
    (tmp_path / "partition-0" / "000000000002.writing").write_bytes(b"ha")
    assert store.load(0) == [b"whole"]
    store.save(0, b"next")
    assert store.load(0) == [b"next", b"whole"]


def test_a_failed_write_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the error is raised and what was kept is still kept."""
    store = FileStore(tmp_path, keep=1)
    store.save(0, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(0, b"new")
    monkeypatch.undo()
    assert store.load(0) == [b"old"]


def test_kill_9_leaves_whole_snapshots(tmp_path: Path) -> None:
    """Killed while saving as fast as it can, again and again: every snapshot found is whole."""
    for moment in (0.0, 0.007, 0.023):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        with saver:
            saver.stdout.readline()
            time.sleep(moment)
            saver.send_signal(signal.SIGKILL)
        found = FileStore(tmp_path, 2).load(0)
        assert len(found) >= 2
        for data in found:
            assert data == data[: len(data) // 200_000] * 200_000


def test_a_partition_belongs_to_one_process(tmp_path: Path) -> None:
    """A partition's snapshots are claimed: by nobody else until let go; other partitions are free."""
    first, second = FileStore(tmp_path), FileStore(tmp_path)
    first.lock(0)
    first.lock(0)
    with pytest.raises(MeanderError, match=r"another process holds.*partition 0.*a folder of its own"):
        second.lock(0)
    second.lock(1)
    first.unlock(0)
    first.unlock(0)
    second.lock(0)
    second.unlock(0)
    second.unlock(1)
