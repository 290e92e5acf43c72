"""What is particular to snapshots as files: each whole or not there. The rest: tests/contracts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from learners.errors import MeanderError, StoreUnavailableError
from stream.adapters.file_store import FileStore

SAVER = """
import sys
from pathlib import Path
from stream.adapters.file_store import FileStore
store = FileStore(Path(sys.argv[1]), 2)
number = 0
while True:
    number += 1
    store.save(0, str(number).encode() * 200_000, 1)
    if number == 3:
        print("going", flush=True)
"""


def kept(store: FileStore) -> list[bytes]:
    return [stored.read() for stored in store.load(0)]


def test_what_was_being_written_is_not_there(tmp_path: Path) -> None:
    """A file left half-written by a crash is ignored, and the next save is not disturbed by it."""
    store = FileStore(tmp_path)
    store.save(0, b"whole", 1)
    (tmp_path / "partition-0" / "000000000002.g1.writing").write_bytes(b"ha")
    assert kept(store) == [b"whole"]
    store.save(0, b"next", 1)
    assert kept(store) == [b"next", b"whole"]


def test_a_failed_write_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the error is raised and what was kept is still kept."""
    store = FileStore(tmp_path, keep=1)
    store.save(0, b"old", 1)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailableError, match=r"No space left.*Make room"):
        store.save(0, b"new", 1)
    monkeypatch.undo()
    assert kept(store) == [b"old"]


def test_kill_9_leaves_whole_snapshots(tmp_path: Path) -> None:
    """Killed while saving as fast as it can, again and again: every snapshot found is whole."""
    for moment in (0.0, 0.007, 0.023):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        with saver:
            saver.stdout.readline()
            time.sleep(moment)
            saver.send_signal(signal.SIGKILL)
        found = kept(FileStore(tmp_path, 2))
        assert len(found) >= 2
        for data in found:
            assert data == data[: len(data) // 200_000] * 200_000


def test_snapshots_of_the_release_before_are_found(tmp_path: Path) -> None:
    """Names without a generation count as generation 0 and are the oldest."""
    folder = tmp_path / "partition-0"
    folder.mkdir()
    for number in (9, 10):
        (folder / f"{number:012d}.snapshot").write_bytes(b"%d" % number)
    store = FileStore(tmp_path, keep=2)
    assert [(s.read(), s.generation) for s in store.load(0)] == [(b"10", 0), (b"9", 0)]
    store.save(0, b"11", 3)
    assert kept(store) == [b"11", b"10"]


def test_what_is_set_aside_stays_with_its_reason(tmp_path: Path) -> None:
    """The bytes and a sentence beside them, but no more of them than of the good ones."""
    store = FileStore(tmp_path, keep=2)
    for number in range(4):
        store.save(0, b"%d" % number, 1)
        store.set_aside(0, store.load(0)[0].name, f"reason {number}")
    aside = sorted((tmp_path / "partition-0" / "set-aside").iterdir())
    assert [path.read_bytes() for path in aside] == [b"reason 2\n", b"2", b"reason 3\n", b"3"]


HOLDER = """
import sys
from pathlib import Path
from stream.adapters.file_store import FileStore
store = FileStore(Path(sys.argv[1]), beat=0.05)
store.lock(0)
store.save(0, b"before", 1)
print("held", flush=True)
sys.stdin.readline()
try:
    store.append(0, "waiting-1", b"late")
except Exception as error:
    print(type(error).__name__, error, flush=True)
store.lock(0)
"""


def test_whoever_stands_still_loses_its_partition(tmp_path: Path) -> None:
    """A holder that lives keeps it, one that is stopped does not; back again it cannot write nor claim."""
    command, pipe = [sys.executable, "-c", HOLDER, str(tmp_path)], subprocess.PIPE
    store = FileStore(tmp_path, beat=0.05)

    def claimed(looks: int) -> bool:
        for _ in range(looks):
            try:
                store.lock(0)
            except MeanderError:
                time.sleep(0.06)
            else:
                return True
        return False

    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not claimed(20)
        holder.send_signal(signal.SIGSTOP)
        assert claimed(100)
        store.save(0, b"after", 2)
        store.append(0, "waiting-1", b"ours")
        holder.send_signal(signal.SIGCONT)
        said, trouble = holder.communicate("go on\n", timeout=30)
    assert said.startswith("StaleGenerationError another process has taken the snapshots of partition 0")
    assert "MeanderError: another process holds the snapshots of partition 0" in trouble
    assert store.read(0, "waiting-1") == b"ours"
    assert kept(store) == [b"after", b"before"]
    store.close()


def test_what_a_replaced_one_still_finished_is_not_the_newest(tmp_path: Path) -> None:
    """Stopped in the middle of a write and back after others saved: generations come before numbers."""
    store = FileStore(tmp_path)
    store.save(0, b"theirs", 2)
    (tmp_path / "partition-0" / "000000000009.g1.snapshot").write_bytes(b"late")
    assert kept(store) == [b"theirs", b"late"]


def test_a_folder_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    """Nobody else has taken the partition by that: whoever holds it goes on, and still holds it."""
    store, other = FileStore(tmp_path / "snapshots"), FileStore(tmp_path / "snapshots")
    store.lock(0)
    store.save(0, b"one", 1)
    shutil.rmtree(tmp_path / "snapshots")
    store.save(0, b"two", 1)
    assert [kept.read() for kept in store.load(0)] == [b"two"]
    with pytest.raises(MeanderError, match="another process holds"):
        other.lock(0)
    store.close()


def test_a_store_that_is_away_is_said(tmp_path: Path) -> None:
    """Where its folder should be is something else: neither claimed nor read, with a sentence."""
    store = FileStore(tmp_path / "snapshots")
    (tmp_path / "snapshots").write_text("no folder")
    for act in (store.lock, store.load):
        with pytest.raises(StoreUnavailableError, match="snapshots cannot be written to: Not a directory"):
            act(0)
    store.close()
