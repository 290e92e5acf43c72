"""Snapshots in Redis: for deployments whose workers move between machines.

All keys of a partition begin with ``meander:{<deployment>/<partition>}:`` (one hash slot, so that a script
may touch them together):

- ``lock``: who holds it, with a lease that a thread renews
- ``index``: the snapshots kept, oldest first: ``number:generation:token:chunks``
- ``aside``: those set aside, the same followed by a space and the reason
- ``meta``: the last ``number``, the newest ``generation``, the last append to each segment
- ``data:<token>``: one snapshot's chunks, a list; without an index entry it expires by itself
- ``segments``, ``segment:<name>``
- ``states``, ``state:<digest>``: what was learned again, a list of chunks each

A snapshot becomes visible by one script that compares owner and generation, enters it and deletes the oldest.
"""

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from learners.errors import MeanderError, SnapshotError, StaleGenerationError, StoreUnavailableError
from stream.adapters.failpoints import reach
from stream.ports import Stored, check_digest, check_segment

CHUNK = 4 << 20  # bytes
ABANDONED_MS = 600_000  # until chunks that were written for no snapshot are gone
PATIENCE = 5.0  # seconds for an answer

# Every script begins with this: KEYS[1] is the lock, ARGV[1] who asks, ARGV[2] for how long it holds what it
# holds already (0: it holds nothing). Returns who stands in the way.
_OWN = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return {'held', owner} end
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
"""
# Claiming and renewing are let through when the memory is full (since Redis 7): they take some bytes, and
# without them no rebalance comes to its end.
_CLAIM = f"#!lua flags=allow-oom\n{_OWN}return {{'ours'}}"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
# KEYS: lock, index, aside, meta, data.
# ARGV: owner, lease, generation, token, chunks before, keep, prefix, last chunk.
_SAVE = """
for _, entry in ipairs(redis.call('LRANGE', KEYS[2], -1, -1)) do
  if string.match(entry, '^%d+:%-?%d+:(%x+):') == ARGV[4] then return {'saved'} end  -- sent twice
end
local newest = redis.call('HGET', KEYS[4], 'generation')
if newest and tonumber(newest) > tonumber(ARGV[3]) then return {'stale', newest} end
if redis.call('LLEN', KEYS[5]) ~= tonumber(ARGV[5]) then
  redis.call('DEL', KEYS[5])
  return {'lost'}
end
redis.call('RPUSH', KEYS[5], ARGV[8])
redis.call('PERSIST', KEYS[5])
local number = redis.call('HINCRBY', KEYS[4], 'number', 1)
redis.call('HSET', KEYS[4], 'generation', ARGV[3])
local entry = string.format('%d:%s:%s:%d', number, ARGV[3], ARGV[4], ARGV[5] + 1)
local kept = redis.call('RPUSH', KEYS[2], entry)
while kept > tonumber(ARGV[6]) do
  local old = redis.call('LPOP', KEYS[2])
  redis.call('UNLINK', ARGV[7] .. 'data:' .. string.match(old, '^%d+:%-?%d+:(%x+):'))
  kept = kept - 1
end
return {'saved'}
"""
# KEYS: index, aside. ARGV: entry, reason, keep, prefix. Let through as well: it moves, and adds a sentence.
_SET_ASIDE = """#!lua flags=allow-oom
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return end
local kept = redis.call('RPUSH', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
while kept > tonumber(ARGV[3]) do
  local old = redis.call('LPOP', KEYS[2])
  redis.call('UNLINK', ARGV[4] .. 'data:' .. string.match(old, '^%d+:%-?%d+:(%x+):'))
  kept = kept - 1
end
"""
# KEYS: lock, meta, segments, segment. ARGV: owner, lease, name, data, token.
_APPEND = """
local field = 'append:' .. ARGV[3]
if redis.call('HGET', KEYS[2], field) == ARGV[5] then  -- sent twice
  return {'appended', redis.call('STRLEN', KEYS[4])}
end
redis.call('HSET', KEYS[2], field, ARGV[5])
redis.call('SADD', KEYS[3], ARGV[3])
return {'appended', redis.call('APPEND', KEYS[4], ARGV[4])}
"""


class _Entry(NamedTuple):
    name: str  # as it stands in the index
    generation: int
    token: str
    chunks: int


class RedisStore:
    """Keeps the last snapshots of each partition in one Redis.

    Parameters
    ----------
    url
        ``redis://`` or ``rediss://`` (TLS), with user, password, host, port and database.
    deployment
        Its name: part of every key.
    keep
        How many snapshots for each partition; of those set aside, as many.
    lease
        Seconds after which a partition is free whose holder is not heard of any more.
    ca_file
        Who vouches for the server's certificate; None: whom the system trusts.
    chunk
        Bytes that are sent at once, at most.
    """

    def __init__(
        self,
        url: str,
        deployment: str,
        keep: int = 3,
        lease: float = 20.0,
        ca_file: str | None = None,
        chunk: int = CHUNK,
    ) -> None:
        if ca_file and not Path(ca_file).is_file():
            raise MeanderError(f"snapshots.ca_file: there is no file {ca_file}")
        options: dict[str, Any] = {"ssl_ca_certs": ca_file} if ca_file else {}
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(ConstantBackoff(0.2), 2),
                **options,
            )
        except (ValueError, TypeError) as error:
            raise MeanderError(f"snapshots.url: {error}") from None
        where = self._redis.connection_pool.connection_kwargs
        self._where = f"Redis at {where.get('host', where.get('path'))}:{where.get('port', '')}".rstrip(":")
        self._deployment, self._keep, self._chunk = deployment, keep, chunk
        self._lease = int(lease * 1000)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._held: set[int] = set()
        self._renewing: threading.Thread | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """Let go of everything and close all connections."""
        self._closed.set()
        for partition in tuple(self._held):
            self.unlock(partition)
        if self._renewing is not None:
            self._renewing.join()
        self._redis.close()

    # -- snapshots ---------------------------------------------------------------------------------

    def save(self, partition: int, data: bytes, generation: int) -> None:
        """Keep one more; see `stream.ports.StateStore.save`. The server decides how durable: `advice`."""
        token = uuid.uuid4().hex
        key = self._key(partition, f"data:{token}")
        last = max(len(data) - 1, 0) // self._chunk * self._chunk
        view = memoryview(data)
        with self._asking():
            for start in range(0, last, self._chunk):
                with self._redis.pipeline(transaction=True) as batch:
                    batch.rpush(key, view[start : start + self._chunk])
                    batch.pexpire(key, ABANDONED_MS)
                    batch.execute()
            reach("snapshot.writing")
            chunks = last // self._chunk
            keys = [*(self._key(partition, k) for k in ("lock", "index", "aside", "meta")), key]
            told = self._script(
                _OWN + _SAVE,
                keys,
                *self._as_owner(partition),
                generation,
                token,
                chunks,
                self._keep,
                self._key(partition, ""),
                bytes(view[last:]),
            )
        if told[0] == b"lost":
            raise StoreUnavailableError(f"{self._where} lost parts of a snapshot while it was written")
        self._refused(partition, told, generation)

    def load(self, partition: int) -> list[Stored]:
        """Return what is kept, newest first, none of it read yet."""
        with self._asking():
            entries = self._entries(partition)
        return [Stored(e.name, e.generation, partial(self._data, partition, e)) for e in entries]

    def _entries(self, partition: int) -> list[_Entry]:
        found = []
        for raw in reversed(self._redis.lrange(self._key(partition, "index"), 0, -1)):
            name = raw.decode()
            _, generation, token, chunks = name.split(":")
            found.append(_Entry(name, int(generation), token, int(chunks)))
        return found

    def _data(self, partition: int, entry: _Entry) -> bytes:
        """Return as much of it as there is: what is missing is noticed by whoever unpacks it."""
        key = self._key(partition, f"data:{entry.token}")
        with self._asking():
            return b"".join(self._redis.lindex(key, number) or b"" for number in range(entry.chunks))

    def set_aside(self, partition: int, name: str, reason: str) -> None:
        """Move a snapshot from the index to those set aside, with its reason."""
        keys = [self._key(partition, "index"), self._key(partition, "aside")]
        with self._asking():
            self._script(_SET_ASIDE, keys, name, reason, self._keep, self._key(partition, ""))

    def clear(self, partition: int) -> None:
        """Delete a partition's keys, all but the lock."""
        lock = self._key(partition, "lock")
        with self._asking():
            told = self._script(_CLAIM, [lock], *self._as_owner(partition))
            self._refused(partition, told)
            found = [key for key in self._redis.scan_iter(self._key(partition, "*")) if key != lock.encode()]
            if found:
                self._redis.unlink(*found)

    # -- segments ----------------------------------------------------------------------------------

    def append(self, partition: int, segment: str, data: bytes) -> int:
        """Append to a segment; returns its new length."""
        key = self._segment(partition, segment)
        keys = [*(self._key(partition, k) for k in ("lock", "meta", "segments")), key]
        with self._asking():
            told = self._script(
                _OWN + _APPEND, keys, *self._as_owner(partition), segment, data, uuid.uuid4().hex
            )
        self._refused(partition, told)
        return int(told[1])

    def read(self, partition: int, segment: str, length: int | None = None) -> bytes:
        """Return a segment's first ``length`` bytes, or all."""
        key = self._segment(partition, segment)
        with self._asking():
            if not self._redis.exists(key):
                raise SnapshotError(f"there is no segment {segment} of partition {partition}")
            size = self._redis.strlen(key)
            length = size if length is None else length
            if size < length:
                raise SnapshotError(f"segment {segment} has {size} bytes, not {length}")
            spans = [(start, min(start + self._chunk, length)) for start in range(0, length, self._chunk)]
            return b"".join(self._redis.getrange(key, start, end - 1) for start, end in spans)

    def segments(self, partition: int) -> list[str]:
        """Return the names of all segments, sorted."""
        with self._asking():
            return sorted(name.decode() for name in self._redis.smembers(self._key(partition, "segments")))

    def drop(self, partition: int, segment: str) -> None:
        """Delete a segment."""
        key = self._segment(partition, segment)
        with self._asking(), self._redis.pipeline(transaction=True) as batch:
            batch.srem(self._key(partition, "segments"), segment)
            batch.hdel(self._key(partition, "meta"), f"append:{segment}")
            batch.unlink(key)
            batch.execute()

    def _segment(self, partition: int, segment: str) -> str:
        return self._key(partition, f"segment:{check_segment(segment)}")

    # -- states that were learned again ------------------------------------------------------------

    def put(self, partition: int, digest: str, data: bytes) -> None:
        """Keep a state under its digest: chunk by chunk aside, then entered."""
        key, aside = self._state(partition, digest), self._key(partition, f"data:{uuid.uuid4().hex}")
        with self._asking():
            for start in range(0, max(len(data), 1), self._chunk):
                with self._redis.pipeline(transaction=True) as batch:
                    batch.rpush(aside, data[start : start + self._chunk])
                    batch.pexpire(aside, ABANDONED_MS)
                    batch.execute()
            with self._redis.pipeline(transaction=True) as batch:
                batch.rename(aside, key)
                batch.persist(key)
                batch.lrem(self._key(partition, "states"), 0, digest)
                batch.rpush(self._key(partition, "states"), digest)
                batch.execute()

    def get(self, partition: int, digest: str) -> bytes:
        """Return a state."""
        key = self._state(partition, digest)
        with self._asking():
            count = self._redis.llen(key)
            if not count:
                raise SnapshotError(f"there is no state {digest} of partition {partition} in {self._where}")
            return b"".join(self._redis.lindex(key, number) or b"" for number in range(count))

    def digests(self, partition: int) -> list[str]:
        """Return the digests of all states, oldest first."""
        with self._asking():
            return [digest.decode() for digest in self._redis.lrange(self._key(partition, "states"), 0, -1)]

    def remove(self, partition: int, digest: str) -> None:
        """Delete a state."""
        with self._asking(), self._redis.pipeline(transaction=True) as batch:
            batch.lrem(self._key(partition, "states"), 0, digest)
            batch.unlink(self._state(partition, digest))
            batch.execute()

    def _state(self, partition: int, digest: str) -> str:
        return self._key(partition, f"state:{check_digest(digest)}")

    # -- locks -------------------------------------------------------------------------------------

    def lock(self, partition: int) -> None:
        """Claim a partition, until `unlock`, or a lease after this process was last heard of.

        Raises
        ------
        MeanderError
            When another process holds it.
        """
        with self._asking():
            told = self._script(_CLAIM, [self._key(partition, "lock")], self._owner, self._lease)
        if told[0] == b"held":
            raise MeanderError(self._holder(partition, told[1]))
        self._held.add(partition)
        if self._renewing is None:
            self._renewing = threading.Thread(target=self._renew, name="meander-leases", daemon=True)
            self._renewing.start()

    def unlock(self, partition: int) -> None:
        """Let go of a partition."""
        if partition in self._held:
            self._held.discard(partition)
            try:
                with self._asking():
                    self._script(_RELEASE, [self._key(partition, "lock")], self._owner)
            except StoreUnavailableError:
                pass  # the lease ends by itself

    def _renew(self) -> None:
        while not self._closed.wait(self._lease / 3000):
            for partition in tuple(self._held):
                try:
                    with self._asking():
                        self._script(_CLAIM, [self._key(partition, "lock")], *self._as_owner(partition))
                except MeanderError:
                    continue  # whoever saves next will be told

    def _as_owner(self, partition: int) -> tuple[str, int]:
        return self._owner, self._lease if partition in self._held else 0

    def _holder(self, partition: int, owner: bytes) -> str:
        host, process, _ = owner.decode().split(":")
        return (
            f"another process (host {host}, process {process}) holds the snapshots of partition {partition} "
            f"of {self._deployment} in {self._where}: stop it, wait {self._lease / 1000:g} s if it was "
            "killed, or give each worker group a deployment of its own"
        )

    def _refused(self, partition: int, told: list[bytes], generation: int = 0) -> None:
        if told[0] == b"held":
            raise StaleGenerationError(self._holder(partition, told[1]))
        if told[0] == b"stale":
            raise StaleGenerationError(
                f"generation {told[1].decode()} has saved partition {partition} in {self._where}; "
                f"this is {generation}, which another worker has replaced"
            )

    # -- the server --------------------------------------------------------------------------------

    def advice(self) -> list[str]:
        """Return a sentence for each setting of the server that puts state at risk.

        Raises
        ------
        StoreUnavailableError
            When it does not answer, or does not let us in.
        """
        with self._asking():
            self._redis.ping()
            try:
                settings = self._redis.config_get("append*", "maxmemory*")
            except redis.ResponseError:  # where others run Redis CONFIG may be forbidden: what can be seen
                info = self._redis.info()
                settings = {
                    "appendonly": "yes" if info.get("aof_enabled") else "no",
                    "maxmemory": str(info.get("maxmemory", 0)),
                    "maxmemory-policy": info.get("maxmemory_policy", "noeviction"),
                }
        advice = []
        if settings.get("appendonly") != "yes":
            advice.append(
                f"{self._where} keeps no append-only file: if it restarts, snapshots since its last dump are "
                "gone and what followed is learned again from the log. Set: appendonly yes"
            )
        elif settings.get("appendfsync") == "no":
            advice.append(
                f"{self._where} never syncs its append-only file itself. Set: appendfsync everysec "
                "(a power cut costs a second, learned again from the log) or always"
            )
        if settings.get("maxmemory-policy", "noeviction") != "noeviction":
            advice.append(
                f"{self._where} deletes keys when its memory is full (maxmemory-policy "
                f"{settings['maxmemory-policy']}), snapshots among them. Set: maxmemory-policy noeviction"
            )
        return advice

    def _key(self, partition: int, name: str) -> str:
        return f"meander:{{{self._deployment}/{partition}}}:{name}"

    def _script(self, text: str, keys: list[str], *arguments: Any) -> Any:
        return self._redis.eval(text, len(keys), *keys, *arguments)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what redis-py raises into a sentence that says what to do."""
        try:
            yield
        except redis.AuthenticationError as error:
            raise StoreUnavailableError(
                f"{self._where} does not let us in: {error}. Check user and password in MEANDER_REDIS_URL "
                "or snapshots.url"
            ) from None
        except (redis.RedisError, OSError) as error:
            raise StoreUnavailableError(f"{self._where}: {error}{_hint(error)}") from None


def _hint(error: Exception) -> str:
    text = str(error)
    if isinstance(error, redis.OutOfMemoryError) or "OOM" in text:
        return ". Its memory is full: raise maxmemory, or lower snapshots.keep"
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return ". Name the authority that signed its certificate: snapshots.ca_file"
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return ". It speaks no TLS at this port: redis:// instead of rediss://, or its TLS port"
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
        return ". Is a Redis there, and does MEANDER_REDIS_URL or snapshots.url name it?"
    return ""
