r"""The snapshot format: named sections of bytes in one checked envelope.

``MEANDER1\n``, the length of the header (4 bytes, big endian), the header (JSON), the sections end to
end, and a BLAKE2b checksum (16 bytes) of everything before it. The header carries format version,
library versions, the definition's fingerprint and the positions that the state has reached.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from learners.definition import Definition
from learners.errors import IncompatibleSnapshotError, SnapshotError

MAGIC = b"MEANDER1\n"
FORMAT = 1
CHECKSUM = 16  # bytes
LIBRARIES = ("river", "numpy")


class Header(Struct, kw_only=True):
    """What is known of a snapshot without opening its sections.

    Attributes
    ----------
    format
        Version of this format.
    libraries
        Versions of the libraries whose objects are inside.
    fingerprint
        Of the definition: features, label, task, name and scope (what a state cannot survive a change of).
    sections
        Name and length, in order.
    facts
        Free facts: partition, positions, generation.
    """

    format: int = FORMAT
    libraries: dict[str, str]
    fingerprint: str
    sections: list[tuple[str, int]]
    facts: dict[str, Any] = {}


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


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that learned state is made of."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def pack(definition: Definition, sections: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """Put sections into an envelope."""
    body = b"".join(sections.values())
    header = Header(
        libraries=libraries(),
        fingerprint=fingerprint(definition),
        sections=[(name, len(data)) for name, data in sections.items()],
        facts=dict(facts),
    )
    head = msgspec.json.encode(header)
    data = b"".join((MAGIC, len(head).to_bytes(4, "big"), head, body))
    return data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECKSUM).digest()


def read_header(data: bytes) -> tuple[Header, int]:
    """Return the header and where the sections begin.

    Raises
    ------
    SnapshotError
        When these bytes are no snapshot, or end too soon.
    """
    start = len(MAGIC) + 4
    if data[: len(MAGIC)] != MAGIC:
        raise SnapshotError("not a snapshot: it does not begin as one")
    length = int.from_bytes(data[len(MAGIC) : start], "big")
    if len(data) < start + length:
        raise SnapshotError("truncated: the header is not whole")
    try:
        return msgspec.json.decode(data[start : start + length], type=Header), start + length
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"corrupted header: {error}") from None


def unpack(definition: Definition, data: bytes) -> tuple[Header, dict[str, bytes]]:
    """Check an envelope and return its header and sections.

    Raises
    ------
    SnapshotError
        When it is truncated or corrupted.
    IncompatibleSnapshotError
        When it is sound, but of another definition, format or library version.
    """
    header, at = read_header(data)
    body, checksum = data[at:-CHECKSUM], data[-CHECKSUM:]
    if len(data) - at - CHECKSUM != sum(length for _, length in header.sections):
        raise SnapshotError("truncated: the sections are not whole")
    if _checksum(data[:-CHECKSUM]) != checksum:
        raise SnapshotError("corrupted: the checksum does not match")
    if header.format != FORMAT:
        raise IncompatibleSnapshotError(
            f"snapshot format {header.format}, this release reads {FORMAT}. Start the release that wrote it."
        )
    if header.fingerprint != fingerprint(definition):
        raise IncompatibleSnapshotError(
            "the snapshot belongs to other features, labels, task, name or scope. "
            "Restore the definition it was made with, or start anew in an empty snapshot folder."
        )
    if header.libraries != libraries():
        old = ", ".join(f"{k} {v}" for k, v in header.libraries.items())
        new = ", ".join(f"{k} {v}" for k, v in libraries().items())
        raise IncompatibleSnapshotError(
            f"the snapshot was written with {old}; this is {new}. Install those versions, "
            "or start anew in an empty snapshot folder to learn again from the log."
        )
    sections, offset = {}, 0
    for name, length in header.sections:
        sections[name] = body[offset : offset + length]
        offset += length
    return header, sections
