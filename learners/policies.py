"""Policies of a definition, as data: on what, under which conditions, what to do, and how it is checked."""

from typing import Any, Literal

from msgspec import Struct, field

Trigger = Literal[
    "concept",
    "data",
    "prediction",
    "label_silence",
    "label_silence_ended",
    "producer",
    "schedule",
    "command",
]
Do = Literal[
    "challenge",
    "retrain",
    "update",
    "promote",
    "drop",
    "fallback",
    "resume",
    "freeze",
    "unfreeze",
    "rollback",
    "tell",
]
UNDOABLE = frozenset(
    ("challenge", "retrain", "update", "promote", "fallback", "resume", "freeze", "rollback")
)


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of conduct: ``[[policy]]``, as many as there are to be.

    What the deployment does by itself (``on_drift``, admission, promotion, fallback by evidence) needs none.

    Attributes
    ----------
    name
        What transitions call it, and the command ``apply``. Default: ``policy-1``, ``policy-2``, ...
    on
        The trigger: a signal of this kind (``concept``, ``data``, ``prediction``, ``label_silence``,
        ``producer``), ``label_silence_ended`` (labels are back after such a signal), ``schedule`` (see
        ``every``), or ``command`` (when an operator says ``apply``).
    of
        Only signals of this member, feature or producer; ``served``: of what is served.
    size
        Only signals whose size has changed by so much at least: a mean loss (``concept``), a share of the
        events (``data``, ``prediction``, ``producer``), events without a label (``label_silence``).
    every
        For ``schedule``: a number of events, or event time (``"7d"``).
    labels
        Not before so many labels came.
    cooldown
        Not before so many labels came since it last acted.
    times, within
        Hysteresis: not before so many signals came within so many labels.
    budget
        At most so many times in 20,000 labels.
    do
        ``retrain``: a fresh version of ``target``, which takes its place once it has proved better.
        ``update``: the same with another ``recipe`` and ``parameters``. ``challenge``: the same as
        ``retrain``, but it stands beside its parent. ``promote`` and ``drop``: the challenger ``target``.
        ``fallback``, ``resume``, ``freeze``, ``unfreeze``, ``rollback``: as the commands, but what an
        operator has frozen or made fall back stays so. ``tell``: only record it.
    target
        A slot. Default for a fresh version: the model of the signal, else the champion's.
    last
        For a fresh version: learn the last so many labelled events first. 0: start from scratch.
    recipe, parameters
        For ``update``.
    check
        After so many labels compare with what would have been without: what is worse is undone; in mode
        ``advise`` it is advised to be undone. What evidence has ended or proved meanwhile stays as it is.
    """

    name: str = ""
    on: Trigger
    of: str | None = None
    size: float = 0.0
    every: int | str | None = None
    labels: int = 0
    cooldown: int = 0
    times: int = 1
    within: int = 1000
    budget: int | None = None
    do: Do
    target: str | None = None
    last: int = 0
    recipe: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    check: int | None = None


def problem(policy: Policy) -> tuple[str, str, str] | None:
    """Return key, problem and remedy of what cannot work in a policy, None where nothing is wrong."""
    scheduled, updating = policy.on == "schedule", policy.do == "update"
    if scheduled != (policy.every is not None):
        return "every", "belongs to a schedule", 'Use on = "schedule" with every = 10000, or neither'
    if isinstance(policy.every, int) and policy.every < 1:
        return "every", "must be at least 1", 'Use a number of events, or e.g. "7d"'
    if updating != (policy.recipe is not None):
        return "recipe", "belongs to an update", 'Use do = "update" with a recipe, or neither'
    if policy.do in ("promote", "drop") and policy.target is None:
        return "target", "is not given", f"Say which challenger to {policy.do}"
    if policy.last and policy.do not in ("challenge", "retrain", "update"):
        return "last", f"has no use with do = {policy.do!r}", "Remove it"
    if policy.check is not None and policy.do not in UNDOABLE:
        return "check", f"do = {policy.do!r} cannot be undone", "Remove it"
    for name, least in (("labels", 0), ("cooldown", 0), ("times", 1), ("within", 1), ("last", 0)):
        if getattr(policy, name) < least:
            return name, f"must be at least {least}", "Use the default by removing the line"
    for name in ("budget", "check"):
        value = getattr(policy, name)
        if value is not None and value < 1:
            return name, "must be at least 1", "Remove the line to have none"
    return None
