"""The envelope of a snapshot: whole or refused, and refused with what to do."""

import hashlib
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners import snapshot
from learners.errors import IncompatibleSnapshotError, MeanderError, SnapshotError
from learners.snapshot import Keys
from tests.support import definition

DEFINITION = definition()
SECTIONS = {"serve": b"waiting", "learn": b"", "member.1": bytes(range(256))}
FACTS = {"partition": 0, "next": {"events": 300}}
OLD, NEW = "the key of last year", "the key of this year"
KEYS = Keys(OLD)
DATA = snapshot.pack(DEFINITION, SECTIONS, FACTS, KEYS)


def test_what_goes_in_comes_out() -> None:
    """Sections, facts and the versions of the libraries come back."""
    header, sections = snapshot.unpack(DEFINITION, DATA, KEYS)
    assert sections == SECTIONS
    assert header.facts == FACTS
    assert set(header.libraries) == {"river", "numpy", "python"}
    assert header.parsed() == DEFINITION


def test_packing_is_deterministic() -> None:
    """The same state gives the same bytes."""
    assert snapshot.pack(DEFINITION, SECTIONS, FACTS, KEYS) == DATA


@given(length=st.integers(0, len(DATA) - 1))
def test_a_truncated_snapshot_is_refused(length: int) -> None:
    """Cut anywhere, it is refused."""
    with pytest.raises(SnapshotError, match=r"not a snapshot|truncated"):
        snapshot.unpack(DEFINITION, DATA[:length], KEYS)


@given(at=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(at: int, bit: int) -> None:
    """One bit changed anywhere, positions in the header included, and it is refused."""
    changed = bytearray(DATA)
    changed[at] ^= 1 << bit
    with pytest.raises(SnapshotError):
        snapshot.unpack(DEFINITION, bytes(changed), KEYS)


def test_more_bytes_are_refused() -> None:
    """Something appended is no snapshot either."""
    with pytest.raises(SnapshotError):
        snapshot.unpack(DEFINITION, DATA + b"x", KEYS)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "other"},
        {"scope": "partition"},
        {"features": {"x": {"min": -9, "max": 10}, "y": {"missing": "mean"}}},
        {"label": {"classes": ["yes", "no"]}},
        {"label": {"classes": ["no", "yes"], "positive": "no"}},
    ],
)
def test_another_definition_is_incompatible(changed: dict) -> None:
    """What learned state cannot survive a change of is refused, with what to do."""
    with pytest.raises(IncompatibleSnapshotError, match=r"belongs to other.*meander rebuild"):
        snapshot.unpack(definition(**changed), DATA, KEYS)


@pytest.mark.parametrize(
    "changed",
    [
        {"rules": {}},
        {"warm_up": 100},
        {"drift": {"on_drift": "tell"}},
        {"label": {"classes": ["no", "yes"], "ttl": "1s"}},
    ],
)
def test_rules_and_policy_may_change(changed: dict) -> None:
    """What does not touch what was learned leaves the snapshot valid."""
    snapshot.unpack(definition(**changed), DATA, KEYS)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("format", 3, "Start the release that wrote it"), ("libraries", {"river": "0.1"}, "river 0.1; this is")],
)
def test_other_formats_and_libraries_are_incompatible(
    monkeypatch: pytest.MonkeyPatch, field: str, value: object, message: str
) -> None:
    """A sound snapshot of another release or other libraries is refused, with what to do."""
    encode = msgspec.json.encode
    with monkeypatch.context() as patch:
        patch.setattr(
            snapshot.msgspec.json, "encode", lambda h: encode(msgspec.structs.replace(h, **{field: value}))
        )
        other = snapshot.pack(DEFINITION, SECTIONS, FACTS, KEYS)
    with pytest.raises(IncompatibleSnapshotError, match=message):
        snapshot.unpack(DEFINITION, other, KEYS)


def test_one_key_follows_another() -> None:
    """The first key signs and all are accepted; a key that is gone is named, and nothing is opened."""
    old, both, new = Keys(OLD), Keys(NEW, OLD), Keys(NEW)
    signed_old, signed_both = (snapshot.pack(DEFINITION, SECTIONS, FACTS, keys) for keys in (old, both))
    assert snapshot.unpack(DEFINITION, signed_old, both)[1] == SECTIONS
    assert snapshot.unpack(DEFINITION, signed_both, new)[1] == SECTIONS
    assert both.ids == [*new.ids, *old.ids]
    for signed, keys in ((signed_old, new), (signed_both, old)):
        with pytest.raises(IncompatibleSnapshotError, match=f"not known here .known: {keys.ids[0]}"):
            snapshot.unpack(DEFINITION, signed, keys)


def test_a_forged_snapshot_is_refused() -> None:
    """Somebody who knows the format and the id of the key, but not the key."""
    ours, theirs = Keys(OLD), Keys("a key that I guessed")
    theirs._keys = {ours.id: theirs._keys[theirs.id]}
    theirs.id = ours.id
    with pytest.raises(SnapshotError, match="signature does not match") as caught:
        snapshot.unpack(DEFINITION, snapshot.pack(DEFINITION, SECTIONS, FACTS, theirs), ours)
    assert type(caught.value) is SnapshotError


@pytest.mark.parametrize("keys", [(), ("",), (OLD, "short")])
def test_a_key_is_a_secret(keys: tuple[str, ...]) -> None:
    """None, or one that can be guessed, is refused with how to make one."""
    with pytest.raises(MeanderError, match="openssl rand"):
        Keys(*keys)


def test_a_snapshot_of_format_1_is_not_opened() -> None:
    """It was not authenticated."""
    with pytest.raises(IncompatibleSnapshotError, match="format 1, which is not authenticated"):
        snapshot.unpack(DEFINITION, b"MEANDER1\n" + DATA[9:], KEYS)


def test_the_signature_covers_the_definition_of_the_format() -> None:
    """HMAC-SHA256 with the key itself, over all that comes before: anybody can check it."""
    data = snapshot.pack(DEFINITION, SECTIONS, FACTS, Keys(OLD))
    assert data[-32:] == hmac.new(OLD.encode(), data[:-32], hashlib.sha256).digest()
