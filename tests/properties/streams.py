"""Hypothesis strategies: streams with everything that may come, in any interleaving of the three inputs."""

import json
from typing import Any

from hypothesis import strategies as st

from stream.messages import Record
from tests.support import Inputs

IDS = st.sampled_from([f"e{n}" for n in range(12)])
TIMES = st.integers(0, 400)
LABELS = st.sampled_from(["no", "yes", "yes", "maybe", None, 3])
NUMBERS = st.one_of(st.floats(-11, 11), st.integers(-11, 11), st.sampled_from([None, "7", 1e300, True]))

events = st.fixed_dictionaries(
    {"id": IDS, "features": st.fixed_dictionaries({"x": NUMBERS}, optional={"y": NUMBERS, "z": NUMBERS})},
    optional={"timestamp": TIMES, "label": LABELS, "schema": st.sampled_from([1, 1, 1, 2])},
)
labels = st.one_of(
    st.fixed_dictionaries({"id": IDS, "label": LABELS}, optional={"timestamp": TIMES}),
    st.fixed_dictionaries(
        {"id": IDS, "label": LABELS},
        optional={"corrects": st.just(True), "weight": st.sampled_from([0, 0.5, 3, -1]), "timestamp": TIMES},
    ),
    st.fixed_dictionaries(
        {"id": IDS, "unavailable": st.just(True)}, optional={"corrects": st.just(True), "timestamp": TIMES}
    ),
)
ticks = st.fixed_dictionaries({"type": st.just("tick"), "timestamp": TIMES})
commands = st.fixed_dictionaries(
    {
        "type": st.just("command"),
        "id": st.sampled_from([f"c{n}" for n in range(6)]),
        "action": st.sampled_from(
            [
                "promote",
                "rollback",
                "drop",
                "fallback",
                "resume",
                "freeze",
                "unfreeze",
                "retrain",
                "approve",
                "apply",
            ]
        ),
    },
    optional={
        "target": st.sampled_from(
            ["lr", "v1", "at:200", "lr-next", "lr-new", "blend", "v2", "a1", "a2", "hand", "nobody"]
        ),
        "expires_at": TIMES,
    },
)
garbage = st.one_of(
    st.binary(max_size=30),
    st.none(),
    st.sampled_from(
        [b"{}", b"null", b"[1]", b'{"id": 5}', b'{"id": "", "features": {}}', b'{"id": "e1", "features": []}']
    ),
)
inputs = st.one_of(
    st.tuples(st.just("events"), events),
    st.tuples(st.just("events"), events),
    st.tuples(st.just("labels"), labels),
    st.tuples(st.just("labels"), labels),
    st.tuples(st.just("control"), st.one_of(ticks, commands)),
    st.tuples(st.sampled_from(["events", "labels", "control"]), garbage),
)


def stream_of(chosen: list[tuple[str, Any]]) -> list[Record]:
    """Return records of what was chosen, in that order; their own times grow."""
    made = Inputs()
    for number, (source, message) in enumerate(chosen):
        made.add(source, message, timestamp=5 * number)
    return made.all


streams = st.lists(inputs, max_size=60).map(stream_of)

# mostly inputs that leave no output: duplicates, labels that change nothing, ticks
FEW = st.sampled_from(["a", "b", "c", "d", "e"])
quiet_inputs = st.one_of(
    st.tuples(
        st.just("events"),
        st.builds(
            lambda i, t, more: {"id": i, "timestamp": t, "features": {"x": 1.0}, **more},
            FEW, st.integers(0, 60), st.sampled_from([{}, {}, {"label": "yes"}]),
        ),
    ),
    st.tuples(
        st.just("labels"),
        st.builds(lambda i, t: {"id": i, "label": "yes", "timestamp": t}, FEW, st.integers(0, 60)),
    ),
    st.tuples(st.just("control"), st.builds(lambda t: {"type": "tick", "timestamp": t}, st.integers(0, 60))),
)  # fmt: skip
quiet_streams = st.lists(quiet_inputs, max_size=40).map(stream_of)

# any JSON at all, with the numbers, texts and depths that break things
HOSTILE: tuple[Any, ...] = (
    10**30, -(10**30), 10**400, 2**53 + 1, 2**63, 2**64, -0.0, 1e12, 1.0000000000000002e12, 1e308,
    float("nan"), float("inf"), True, None, "\ud800", "x" * 5000, "2024-01-01T00:00:00Z", [], {}, [[1]],
)  # fmt: skip
values = st.one_of(
    st.sampled_from(HOSTILE),
    st.recursive(
        st.one_of(st.floats(), st.integers(), st.text(max_size=5), st.sampled_from(HOSTILE)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
)
GOOD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("events", {"id": "a", "timestamp": 5, "features": {"x": 1.0, "y": 2.0}, "label": "yes"}),
    ("events", {"id": "b", "timestamp": 5, "features": {"x": 1.0, "y": 2.0}}),
    ("labels", {"id": "b", "timestamp": 6, "label": "yes"}),
    ("labels", {"id": "early", "timestamp": 6, "label": "yes"}),
    ("control", {"type": "tick", "timestamp": 7}),
    ("control", {"type": "command", "id": "c", "action": "retrain", "operator": "o", "reason": "r",
                 "expires_at": 9, "target": "lr"}),
)  # fmt: skip


@st.composite
def nearly_good(draw: st.DrawFn) -> tuple[str, Any]:
    """Return a good message with one value changed, added or taken away; or any JSON."""
    source, good = draw(st.sampled_from(GOOD))
    if draw(st.integers(0, 9)) == 0:
        return source, draw(values)
    message = {**good, "features": dict(good["features"])} if "features" in good else dict(good)
    inside = message["features"] if "features" in good and draw(st.booleans()) else message
    name = draw(st.sampled_from([*inside, "schema", "unavailable", "other"]))
    if name in inside and draw(st.integers(0, 4)) == 0:
        del inside[name]
    else:
        inside[name] = draw(values)
    return source, message


def dumped(message: Any) -> bytes:
    """Return JSON as Python writes it: NaN, Infinity and lone surrogates included."""
    return json.dumps(message).encode()
