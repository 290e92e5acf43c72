"""What is particular to snapshots in Redis: leases, outages, settings. The rest: tests/contracts."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from learners.errors import MeanderError, StaleGenerationError, StoreUnavailableError
from stream.adapters.redis_store import RedisStore
from tests.redis_server import RedisServer, redis_server

SAVER = """
import sys
from stream.adapters.redis_store import RedisStore
store = RedisStore(sys.argv[1], sys.argv[2], 2, lease=float(sys.argv[3]), chunk=200_000)
store.lock(0)
number = 0
while True:
    number += 1
    store.save(0, str(number).encode() * 200_000, 1)
    if number == 3:
        print("going", flush=True)
"""


@pytest.fixture
def server(redis_program: None, tmp_path: Path) -> Iterator[RedisServer]:
    """Yield a Redis for this test alone."""
    with redis_server(tmp_path / "redis") as it:
        yield it


def kept(store: RedisStore) -> list[bytes]:
    return [stored.read() for stored in store.load(0)]


def test_kill_9_leaves_whole_snapshots_and_a_lease_that_ends(redis_url: str, deployment_name: str) -> None:
    """Killed while saving as fast as it can: what is found is whole, and the partition is free soon after."""
    arguments = [sys.executable, "-c", SAVER, redis_url, deployment_name, "0.5"]
    store = RedisStore(redis_url, deployment_name, 2, lease=0.5)
    for moment in (0.0, 0.007, 0.023):
        saver = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert saver.stdout is not None
        with saver:
            saver.stdout.readline()
            with pytest.raises(MeanderError, match=f"process {saver.pid}"):
                store.lock(0)
            time.sleep(moment)
            saver.send_signal(signal.SIGKILL)
        found = kept(store)
        assert len(found) == 2
        for data in found:
            assert data == data[: len(data) // 200_000] * 200_000
        time.sleep(0.55)
        store.lock(0)
        store.unlock(0)
    names = {key.rpartition(b":")[2] for key in redis.Redis.from_url(redis_url).keys(f"*{deployment_name}*")}
    assert {b"index", b"meta"} < names
    store.close()


def test_a_stopped_holder_loses_its_partition_and_cannot_write(redis_url: str, deployment_name: str) -> None:
    """After its lease another takes over; woken up, it is refused whatever its generation says."""
    arguments = [sys.executable, "-c", SAVER, redis_url, deployment_name, "0.5"]
    store = RedisStore(redis_url, deployment_name, lease=20)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as zombie:
        assert zombie.stdout is not None
        zombie.stdout.readline()
        zombie.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        store.lock(0)
        store.save(0, b"mine", 1)
        zombie.send_signal(signal.SIGCONT)
        _, said = zombie.communicate(timeout=10)
    assert b"StaleGenerationError" in said
    assert kept(store)[0] == b"mine"
    store.close()


def test_a_lease_is_renewed_while_its_holder_lives(redis_url: str, deployment_name: str) -> None:
    """Silence is no reason to lose a partition."""
    holder, other = (RedisStore(redis_url, deployment_name, lease=0.3) for _ in range(2))
    holder.lock(0)
    time.sleep(0.7)
    with pytest.raises(MeanderError, match="holds the snapshots"):
        other.lock(0)
    holder.close()
    other.lock(0)
    other.close()


def test_a_server_that_comes_back_is_used_again(server: RedisServer, deployment_name: str) -> None:
    """Killed and away past the lease: saving fails with a sentence, then works again; nothing is lost."""
    store = RedisStore(server.url, deployment_name, lease=0.5, chunk=1000)
    store.lock(0)
    store.save(0, b"before" * 1000, 3)
    store.append(0, "waiting", b"abc")
    time.sleep(1.1)  # appendfsync everysec
    server.kill()
    with pytest.raises(StoreUnavailableError, match=r"Is a Redis there, and does MEANDER_REDIS_URL"):
        store.save(0, b"away", 3)
    server.start()
    store.save(0, b"after", 3)
    assert kept(store) == [b"after", b"before" * 1000]
    assert store.append(0, "waiting", b"de") == 5
    with pytest.raises(StaleGenerationError):
        RedisStore(server.url, deployment_name).save(0, b"other", 4)
    store.close()


def test_a_full_memory_is_told_and_harms_nothing(server: RedisServer, deployment_name: str) -> None:
    """What was kept stays; with more memory it goes on."""
    store = RedisStore(server.url, deployment_name, chunk=100_000)
    store.save(0, b"x" * 1_000_000, 1)
    admin = redis.Redis.from_url(server.url)
    admin.config_set("maxmemory", admin.info()["used_memory"] + 200_000)
    with pytest.raises(StoreUnavailableError, match=r"memory is full: raise maxmemory"):
        store.save(0, b"y" * 1_000_000, 1)
    assert kept(store) == [b"x" * 1_000_000]
    admin.config_set("maxmemory", 0)
    store.save(0, b"z" * 1_000_000, 1)
    assert [data[:1] for data in kept(store)] == [b"z", b"x"]
    store.close()


def test_with_a_full_memory_partitions_still_change_hands(server: RedisServer, deployment_name: str) -> None:
    """Claimed, renewed past the lease, set aside, released without a spare byte; saving alone is refused."""
    first, second = (RedisStore(server.url, deployment_name, lease=0.3) for _ in range(2))
    first.lock(0)
    first.save(0, b"one", 1)
    first.save(0, b"two", 1)
    admin = redis.Redis.from_url(server.url)
    admin.config_set("maxmemory", 1)
    time.sleep(0.7)
    with pytest.raises(MeanderError, match="holds the snapshots"):
        second.lock(0)
    first.unlock(0)
    second.lock(0)
    second.set_aside(0, second.load(0)[0].name, "torn")
    assert kept(second) == [b"one"]
    with pytest.raises(StoreUnavailableError, match="memory is full"):
        second.save(0, b"three", 2)
    admin.config_set("maxmemory", 0)
    second.save(0, b"three", 2)
    assert kept(second) == [b"three", b"one"]
    first.close()
    second.close()


def test_what_an_evicting_server_took_is_too_short(redis_url: str, deployment_name: str) -> None:
    """A snapshot that lost a chunk comes back shorter, to be noticed by its checksum, and does not raise."""
    store = RedisStore(redis_url, deployment_name, chunk=10)
    store.save(0, b"0123456789" * 5, 1)
    admin = redis.Redis.from_url(redis_url)
    admin.rpop(next(iter(admin.scan_iter(f"*{deployment_name}*:data:*"))))
    assert kept(store) == [b"0123456789" * 4]
    store.close()


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--appendonly", "no"], "appendonly yes"),
        (["--appendfsync", "no"], "appendfsync everysec"),
        (["--maxmemory-policy", "allkeys-lru"], "maxmemory-policy noeviction"),
        (["--appendonly", "no", "--rename-command", "CONFIG", ""], "appendonly yes"),
    ],
)
def test_risky_settings_are_told(
    redis_program: None, tmp_path: Path, arguments: list[str], advice: str
) -> None:
    """Each with what to set, also where CONFIG is forbidden."""
    with redis_server(tmp_path, *arguments) as server:
        (sentence,) = RedisStore(server.url, "shop").advice()
    assert advice in sentence


def test_wrong_passwords_and_addresses_are_explained(redis_program: None, tmp_path: Path) -> None:
    """No password, a wrong one, nobody there, no address at all."""
    with redis_server(tmp_path, "--requirepass", "secret") as server:
        for url in (server.url, server.url.replace("//", "//:wrong@")):
            with pytest.raises(StoreUnavailableError, match="does not let us in") as caught:
                RedisStore(url, "shop").advice()
            assert "MEANDER_REDIS_URL" in str(caught.value)
            assert "wrong@" not in str(caught.value)
        RedisStore(server.url.replace("//", "//:secret@"), "shop").advice()
    with pytest.raises(StoreUnavailableError, match="Is a Redis there"):
        RedisStore(server.url, "shop").advice()
    with pytest.raises(MeanderError, match=r"snapshots.url: .*scheme"):
        RedisStore("http://localhost", "shop")
