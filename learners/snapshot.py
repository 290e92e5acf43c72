r"""The snapshot format: named sections of bytes in one authenticated envelope.

``MEANDER2\n``, the id of the key (4 bytes), the length of the header (4, big endian), the header (JSON), a
BLAKE2b checksum of all that (8), the sections end to end, and HMAC-SHA256 over everything before it (32).
The header carries format version, library versions, the definition and its fingerprint, and the positions
that the state has reached. The sections are pickles: none is opened before all is authenticated.
"""

import functools
import hashlib
import hmac
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from learners.definition import Definition, parse_definition
from learners.errors import IncompatibleSnapshotError, MeanderError, SnapshotError

MAGIC, BEFORE = b"MEANDER2\n", b"MEANDER1\n"
FORMAT = 2
KEY_ID = 4  # bytes
CHECKSUM = 8  # bytes
SIGNATURE = 32  # bytes
LIBRARIES = ("river", "numpy")
SHORTEST_KEY = 16  # characters


class Keys:
    """The keys that snapshots are authenticated with.

    Parameters
    ----------
    *keys
        The first signs; all are accepted, so that one key can follow another.

    Raises
    ------
    MeanderError
        When there is none, or one is too short to be a secret.

    Examples
    --------
    >>> old, new = Keys("an old secret of length"), Keys("a new secret of length", "an old secret of length")
    >>> new.verifies(b"state", old.sign(b"state"), old.id)
    True
    >>> old.verifies(b"state", new.sign(b"state"), new.id)
    Traceback (most recent call last):
    ...
    learners.errors.IncompatibleSnapshotError: signed with the key ..., which is not known here ...
    """

    def __init__(self, *keys: str | bytes) -> None:
        secrets_ = [key.encode() if isinstance(key, str) else key for key in keys]
        if not secrets_ or any(len(key) < SHORTEST_KEY for key in secrets_):
            raise MeanderError(
                f"a key of snapshots has {SHORTEST_KEY} characters or more. "
                "Make one with: openssl rand -hex 32"
            )
        self._keys = {hmac.digest(key, b"meander key id", "sha256")[:KEY_ID]: key for key in secrets_}
        self.id = next(iter(self._keys))

    @property
    def ids(self) -> list[str]:
        """The ids of all keys, in hexadecimal, the one that signs first."""
        return [identifier.hex() for identifier in self._keys]

    def sign(self, data: bytes) -> bytes:
        """Return the signature of the first key."""
        return hmac.digest(self._keys[self.id], data, "sha256")

    def verifies(self, data: bytes | memoryview, signature: bytes, identifier: bytes) -> bool:
        """Whether a signature is that of one of our keys.

        Raises
        ------
        IncompatibleSnapshotError
            When the key of that id is none of ours.
        """
        key = self._keys.get(identifier)
        if key is None:
            raise IncompatibleSnapshotError(
                f"signed with the key {identifier.hex()}, which is not known here "
                f"(known: {', '.join(self.ids)}). Give that key too, after the one that "
                "signs: MEANDER_SNAPSHOT_KEY or snapshots.key_file"
            )
        return hmac.compare_digest(hmac.digest(key, data, "sha256"), signature)


class Header(Struct, kw_only=True):
    """What is known of a snapshot without opening its sections.

    Attributes
    ----------
    format
        Version of this format.
    libraries
        Versions of the libraries whose objects are inside, and of Python.
    fingerprint
        Of the definition: features, label, task, name and scope (what a state cannot survive a change of).
    definition
        The whole definition, as plain data.
    sections
        Name and length, in order.
    facts
        Free facts: partition, positions, generation.
    """

    format: int = FORMAT
    libraries: dict[str, str]
    fingerprint: str
    definition: dict[str, Any]
    sections: list[tuple[str, int]]
    facts: dict[str, Any] = {}

    def parsed(self) -> Definition:
        """Return the definition that the snapshot was made with.

        Raises
        ------
        IncompatibleSnapshotError
            When this release cannot read it.
        """
        try:
            return parse_definition(dict(self.definition))
        except MeanderError as error:
            raise IncompatibleSnapshotError(
                f"the definition that the snapshot was made with is not one of this release: {error}. "
                "Start the release that wrote it, or stop all workers and learn again from the log: "
                "meander rebuild DEFINITION"
            ) from None


def fingerprint(definition: Definition) -> str:
    """Return a short digest of what learned state depends on.

    Rules, members, policy and thresholds are not part of it: they may change under a running deployment.
    """
    fixed = {
        "name": definition.name,
        "task": definition.task,
        "scope": definition.scope,
        "features": msgspec.to_builtins(definition.features),
        "label": {
            key: value
            for key, value in msgspec.to_builtins(definition.label).items()
            if key in ("classes", "positive", "min", "max")
        },
    }
    return hashlib.blake2b(json.dumps(fixed, sort_keys=True).encode(), digest_size=8).hexdigest()


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [(name, importlib.metadata.version(name)) for name in LIBRARIES]
    return (*found, ("python", f"{sys.version_info.major}.{sys.version_info.minor}"))


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that learned state is made of, and of Python."""
    return dict(_versions())


def pack(
    definition: Definition, sections: Mapping[str, bytes], facts: Mapping[str, Any], keys: Keys
) -> bytes:
    """Put sections into an envelope, signed with the first key."""
    header = Header(
        libraries=libraries(),
        fingerprint=fingerprint(definition),
        definition=plain(definition),
        sections=[(name, len(data)) for name, data in sections.items()],
        facts=dict(facts),
    )
    head = msgspec.json.encode(header)
    front = b"".join((MAGIC, keys.id, len(head).to_bytes(4, "big"), head))
    data = b"".join((front, _checksum(front), *sections.values()))
    return data + keys.sign(data)


def plain(definition: Definition) -> dict[str, Any]:
    """Return a definition as plain data, as its file would say it, without what is not given."""
    whole: dict[str, Any] = _given(msgspec.to_builtins(definition))
    return whole


def _given(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _given(inner) for key, inner in value.items() if inner is not None}


def _checksum(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECKSUM).digest()


def read_header(data: bytes) -> tuple[Header, int]:
    """Return the header and where the sections begin. It is whole, but not authenticated yet.

    Raises
    ------
    SnapshotError
        When these bytes are no snapshot, end too soon, or are not what was written.
    IncompatibleSnapshotError
        When they are a snapshot of another format.
    """
    start = len(MAGIC) + KEY_ID + 4
    if data[: len(BEFORE)] == BEFORE:
        raise IncompatibleSnapshotError(
            "snapshot format 1, which is not authenticated. Stop all workers and learn again from the log: "
            "meander rebuild DEFINITION"
        )
    if data[: len(MAGIC)] != MAGIC:
        raise SnapshotError("not a snapshot: it does not begin as one")
    end = start + int.from_bytes(data[start - 4 : start], "big")
    if len(data) < end + CHECKSUM:
        raise SnapshotError("truncated: the header is not whole")
    if _checksum(data[:end]) != data[end : end + CHECKSUM]:
        raise SnapshotError("corrupted: the header's checksum does not match")
    try:
        version = _decode_format(data[start:end]).format
        if version != FORMAT:
            raise IncompatibleSnapshotError(
                f"snapshot format {version}, this release reads {FORMAT}. Start the release that wrote it."
            )
        return _decode_header(data[start:end]), end + CHECKSUM
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"corrupted header: {error}") from None


class _Format(Struct):
    format: int


def authenticated(data: bytes, keys: Keys) -> tuple[Header, dict[str, bytes]]:
    """Return header and sections of an envelope that one of the keys has signed, of whatever definition.

    Raises
    ------
    SnapshotError
        When it is truncated, or not what was signed.
    IncompatibleSnapshotError
        When it is sound, but of another format, or its key is not known.
    """
    header, at = read_header(data)
    lengths = sum(length for _, length in header.sections)
    if len(data) - at - SIGNATURE != lengths:
        raise SnapshotError("truncated: the sections are not whole")
    identifier = data[len(MAGIC) : len(MAGIC) + KEY_ID]
    if not keys.verifies(memoryview(data)[:-SIGNATURE], data[-SIGNATURE:], identifier):
        raise SnapshotError("corrupted, or not written by us: the signature does not match")
    sections, offset = {}, at
    for name, length in header.sections:
        sections[name] = data[offset : offset + length]
        offset += length
    return header, sections


def unpack(definition: Definition, data: bytes, keys: Keys) -> tuple[Header, dict[str, bytes]]:
    """Check an envelope and return its header and sections.

    Raises
    ------
    SnapshotError
        When it is truncated or corrupted.
    IncompatibleSnapshotError
        When it is sound, but of another definition, format, key or library version.
    """
    header, sections = authenticated(data, keys)
    check_fits(header.fingerprint, definition)
    if header.libraries != libraries():
        old = ", ".join(f"{k} {v}" for k, v in header.libraries.items())
        new = ", ".join(f"{k} {v}" for k, v in libraries().items())
        raise IncompatibleSnapshotError(
            f"the snapshot was written with {old}; this is {new}. Install those versions, "
            "or stop all workers and learn again from the log: meander rebuild DEFINITION"
        )
    return header, sections


def of_another_release(missing: str) -> IncompatibleSnapshotError:
    """Return what to say of a snapshot that is authentic, but does not hold what this release expects."""
    return IncompatibleSnapshotError(
        f"the snapshot was written by a release that kept its state otherwise ({missing}). Start that "
        "release, or stop all workers and learn again from the log: meander rebuild DEFINITION"
    )


def check_fits(known: str, definition: Definition) -> None:
    """Make sure that what was learned under one fingerprint fits a definition.

    Raises
    ------
    IncompatibleSnapshotError
        When it does not.
    """
    if known != fingerprint(definition):
        raise IncompatibleSnapshotError(
            "the snapshot belongs to other features, labels, task, name or scope. "
            "Restore the definition it was made with, or stop all workers and learn anew from the log: "
            "meander rebuild DEFINITION"
        )


_decode_format, _decode_header = msgspec.json.Decoder(_Format).decode, msgspec.json.Decoder(Header).decode
