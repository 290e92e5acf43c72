"""The envelope of a snapshot: whole or refused, and refused with what to do."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners import snapshot
from learners.errors import IncompatibleSnapshotError, SnapshotError
from tests.support import definition

DEFINITION = definition()
SECTIONS = {"serve": b"waiting", "learn": b"", "member.1": bytes(range(256))}
FACTS = {"partition": 0, "next": {"events": 300}}
DATA = snapshot.pack(DEFINITION, SECTIONS, FACTS)


def test_what_goes_in_comes_out() -> None:
    """Sections, facts and the versions of the libraries come back."""
    header, sections = snapshot.unpack(DEFINITION, DATA)
    assert sections == SECTIONS
    assert header.facts == FACTS
    assert set(header.libraries) == {"river", "numpy"}


def test_packing_is_deterministic() -> None:
    """The same state gives the same bytes."""
    assert snapshot.pack(DEFINITION, SECTIONS, FACTS) == DATA


@given(length=st.integers(0, len(DATA) - 1))
def test_a_truncated_snapshot_is_refused(length: int) -> None:
    """Cut anywhere, it is refused."""
    with pytest.raises(SnapshotError, match=r"not a snapshot|truncated"):
        snapshot.unpack(DEFINITION, DATA[:length])


@given(at=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(at: int, bit: int) -> None:
    """One bit changed anywhere, positions in the header included, and it is refused."""
    changed = bytearray(DATA)
    changed[at] ^= 1 << bit
    with pytest.raises(SnapshotError):
        snapshot.unpack(DEFINITION, bytes(changed))


def test_more_bytes_are_refused() -> None:
    """Something appended is no snapshot either."""
    with pytest.raises(SnapshotError):
        snapshot.unpack(DEFINITION, DATA + b"x")


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
    with pytest.raises(IncompatibleSnapshotError, match=r"belongs to other.*empty snapshot folder"):
        snapshot.unpack(definition(**changed), DATA)


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
    snapshot.unpack(definition(**changed), DATA)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("format", 2, "Start the release that wrote it"), ("libraries", {"river": "0.1"}, "river 0.1; this is")],
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
        other = snapshot.pack(DEFINITION, SECTIONS, FACTS)
    with pytest.raises(IncompatibleSnapshotError, match=message):
        snapshot.unpack(DEFINITION, other)
