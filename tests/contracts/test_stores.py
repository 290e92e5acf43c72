"""One contract for every store: newest first, one holder at a time, no way back for who was replaced."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from learners.errors import MeanderError, SnapshotError, StaleGenerationError
from stream.adapters.file_store import FileStore
from stream.adapters.redis_store import RedisStore
from stream.ports import StateStore

Open = Callable[..., StateStore]


@pytest.fixture(params=["files", "redis"])
def another(request: pytest.FixtureRequest, tmp_path: Path, deployment_name: str) -> Iterator[Open]:
    """Yield how to open a store on the same state, as another process would: ``another(keep=3)``."""
    opened: list[StateStore] = []
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""

    def open_one(keep: int = 3) -> StateStore:
        store: StateStore
        if url:
            store = RedisStore(url, deployment_name, keep, chunk=1 << 20)
        else:
            store = FileStore(tmp_path / "new" / "folder", keep)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(another: Open) -> StateStore:
    return another()


def kept(store: StateStore, partition: int = 0) -> list[bytes]:
    return [stored.read() for stored in store.load(partition)]


def test_the_newest_come_first_and_few_are_kept(store: StateStore, another: Open) -> None:
    """The last three of each partition are kept, newest first, for another process too."""
    assert store.load(0) == []
    for number in range(12):
        store.save(0, b"%d" % number, 1)
    store.save(1, b"other", 1)
    assert kept(store) == [b"11", b"10", b"9"]
    again = another()
    again.save(0, b"12", 1)
    assert kept(again) == kept(store) == [b"12", b"11", b"10"]
    assert kept(again, 1) == [b"other"]
    assert len({stored.name for stored in store.load(0)}) == 3


def test_one_kept_is_the_last_one(another: Open) -> None:
    """With ``keep = 1`` only the last one stays."""
    store = another(keep=1)
    for number in range(3):
        store.save(0, b"%d" % number, 0)
    assert kept(store) == [b"2"]


@pytest.mark.parametrize("size", [0, 1, 300_000, 1 << 20, 2 << 20, 5_000_001])
def test_any_size_comes_back_as_it_was(store: StateStore, another: Open, size: int) -> None:
    """Nothing, one byte, and more than any chunk."""
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    store.save(0, data, 1)
    assert kept(another()) == [data]


def test_an_older_generation_cannot_save(store: StateStore, another: Open) -> None:
    """Who was replaced is refused and changes nothing; the same and newer generations go on."""
    zombie = another()
    zombie.save(0, b"its last", 4)
    store.save(0, b"new", 5)
    for _ in range(2):
        with pytest.raises(StaleGenerationError, match=r"generation 5.*this is 4"):
            zombie.save(0, b"too late", 4)
    store.save(0, b"newer", 5)
    zombie.save(1, b"another partition", 4)
    assert [(s.read(), s.generation) for s in store.load(0)] == [(b"newer", 5), (b"new", 5), (b"its last", 4)]


def test_a_generation_is_remembered_when_its_snapshot_is_set_aside(store: StateStore) -> None:
    """Fencing does not depend on the snapshot being any good."""
    store.save(0, b"good", 4)
    store.save(0, b"broken", 5)
    store.set_aside(0, store.load(0)[0].name, "corrupted: as an example")
    assert kept(store) == [b"good"]
    with pytest.raises(StaleGenerationError):
        store.save(0, b"too late", 4)
    store.save(0, b"next", 5)
    assert kept(store) == [b"next", b"good"]


def test_what_is_set_aside_leaves_the_rest(store: StateStore) -> None:
    """Any of them may go; their order stays, and a name is never given twice."""
    for number in range(3):
        store.save(0, b"%d" % number, 1)
    names = [stored.name for stored in store.load(0)]
    store.set_aside(0, names[1], "truncated")
    store.set_aside(0, names[0], "truncated")
    assert kept(store) == [b"0"]
    store.save(0, b"3", 1)
    assert kept(store) == [b"3", b"0"]
    assert store.load(0)[0].name not in names


def test_a_partition_has_one_holder(store: StateStore, another: Open) -> None:
    """Claimed by nobody else until let go; other partitions are free; letting go twice does no harm."""
    other = another()
    store.lock(0)
    store.lock(0)
    with pytest.raises(MeanderError, match=r"holds the snapshots of partition 0.*of its own"):
        other.lock(0)
    other.lock(1)
    other.unlock(0)
    with pytest.raises(MeanderError):
        other.lock(0)
    store.unlock(0)
    store.unlock(0)
    other.lock(0)
    other.unlock(0)
    other.unlock(1)


def test_only_the_holder_writes(store: StateStore, another: Open) -> None:
    """While a partition is held nobody else saves or appends, of whatever generation."""
    store.lock(0)
    store.save(0, b"mine", 1)
    with pytest.raises(StaleGenerationError):
        another().save(0, b"theirs", 2)
    with pytest.raises(StaleGenerationError):
        another().append(0, "waiting", b"theirs")
    store.unlock(0)
    assert kept(store) == [b"mine"]
    another().save(0, b"theirs", 2)


def test_segments_grow(store: StateStore, another: Open) -> None:
    """What is appended is read back up to any length, and each partition has its own."""
    assert store.segments(0) == []
    assert store.append(0, "waiting-1", b"abc") == 3
    assert store.append(0, "waiting-1", b"") == 3
    assert store.append(0, "waiting-1", b"de") == 5
    assert store.append(0, "waiting-2", b"x" * 1_000_000) == 1_000_000
    assert store.append(1, "waiting-1", b"other") == 5
    again = another()
    assert again.segments(0) == ["waiting-1", "waiting-2"]
    assert [again.read(0, "waiting-1", n) for n in (0, 4, 5)] == [b"", b"abcd", b"abcde"]
    assert again.read(1, "waiting-1", 5) == again.read(1, "waiting-1") == b"other"
    again.drop(0, "waiting-1")
    again.drop(0, "waiting-1")
    assert store.segments(0) == ["waiting-2"]
    assert store.segments(1) == ["waiting-1"]


def test_a_segment_that_is_too_short_is_told(store: StateStore) -> None:
    """Fewer bytes than were promised, or none at all, is no state to go on from."""
    store.append(0, "waiting", b"abc")
    with pytest.raises(SnapshotError, match="has 3 bytes, not 4"):
        store.read(0, "waiting", 4)
    with pytest.raises(SnapshotError, match="no segment other"):
        store.read(0, "other", 1)


def test_a_cleared_partition_is_as_new(store: StateStore, another: Open) -> None:
    """Snapshots, segments and generations are gone, of this partition only; never while another holds it."""
    for number in (0, 1):
        store.save(number, b"x", 7)
        store.append(number, "waiting", b"y")
    store.set_aside(0, store.load(0)[0].name, "bad")
    store.lock(0)
    with pytest.raises(StaleGenerationError):
        another().clear(0)
    store.clear(0)
    assert (store.load(0), store.segments(0)) == ([], [])
    store.save(0, b"anew", 1)
    assert kept(another()) == [b"anew"]
    assert (kept(store, 1), store.segments(1)) == ([b"x"], ["waiting"])
    with pytest.raises(MeanderError):
        another().lock(0)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "a b", "é"])
def test_a_segment_has_a_plain_name(store: StateStore, name: str) -> None:
    """Nothing that could lead elsewhere."""
    with pytest.raises(ValueError, match="no name of a segment"):
        store.append(0, name, b"x")


def test_a_healthy_store_needs_no_advice(store: StateStore) -> None:
    """An ordinary folder, a Redis with an append-only file."""
    assert store.advice() == []


def test_a_state_is_kept_under_its_digest(store: StateStore, another: Open) -> None:
    """By anybody, while another holds the partition; of any size; until it is removed or all is cleared."""
    store.lock(0)
    first, second = "0" * 32, "f" * 31 + "1"
    job = another()
    job.put(0, second, b"x" * 2_500_001)
    job.put(0, first, b"")
    job.put(0, second, b"x" * 2_500_001)
    assert set(store.digests(0)) == {first, second}
    assert (store.get(0, second), store.get(0, first)) == (b"x" * 2_500_001, b"")
    assert store.digests(1) == []
    store.append(0, "waiting", b"x")
    assert store.segments(0) == ["waiting"]
    store.remove(0, first)
    store.remove(0, first)
    with pytest.raises(SnapshotError, match=f"no state {first} of partition 0"):
        job.get(0, first)
    with pytest.raises(ValueError, match="no digest"):
        store.get(0, "../x")
    store.clear(0)
    assert store.digests(0) == []
