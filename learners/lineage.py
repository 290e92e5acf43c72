"""What happened to whom, and why: transition kinds and the transition record."""

from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class Kind(StrEnum):
    """Every kind of transition there is: one enum for code, topic, metrics and page."""

    STARTED = "started"  # a first version was born with the deployment
    WARMED_UP = "warmed_up"  # the champion serves for the first time
    SIGNAL = "signal"  # a detector fired
    SIGNAL_ENDED = "signal_ended"  # what a latched signal told of is over: labels came back
    CHALLENGED = "challenged"  # a challenger was started in shadow
    RETRAINED = "retrained"  # the same, by the policy or command `retrain`
    UPDATED = "updated"  # a challenger of another recipe was started
    ADMITTED = "admitted"  # a challenger proved better than its parent: it joins the pool, or takes its place
    PROMOTED = "promoted"  # another version became champion
    DROPPED = "dropped"  # a version left the roster
    FELL_BACK = "fell_back"  # from here on only rules answer
    RESUMED = "resumed"  # the champion answers again
    FAILED = "failed"  # a member raised or answered something insane: it is put back, or a fresh one comes
    BENCHED = "benched"  # a member failed again and again: it is neither asked nor taught for a while
    RETURNED = "returned"  # a benched member takes part again, fresh
    ROLLED_BACK = "rolled_back"  # an earlier version became champion again
    FROZEN = "frozen"  # learning stopped
    UNFROZEN = "unfrozen"  # learning goes on
    ADVISED = "advised"  # decided, and waiting for a person
    APPLIED = "applied"  # a policy that only tells has been met
    KEPT = "kept"  # what a policy did has been checked, and stays
    UNDONE = "undone"  # it has been checked and was no better: it is undone
    REJECTED = "rejected"  # a command that was not carried out
    FORGOTTEN = "forgotten"  # what was kept of an entity's waiting events is gone, by command
    EXPIRED = "expired"  # a tick ended the wait of predictions whose label never came
    ORDERED = "ordered"  # nothing happened, but many inputs had left no trace of their order


class Transition(Struct, kw_only=True, omit_defaults=True):
    """A record on ``<name>.transitions``.

    Attributes
    ----------
    kind
        What happened.
    timestamp
        Event time in milliseconds: the watermark when it happened.
    position
        The input that caused it: ``events:<partition>:<offset>``.
    slot
        The slot it happened to.
    from_version, to_version
        Version names before and after, e.g. ``fraud/v1@1200``.
    reason
        One sentence for a person.
    evidence
        Signal, scores, wealth, labels: numbers the sentence rests on.
    requested_by
        The operator, for commands.
    command
        The id of the command.
    """

    kind: Kind
    timestamp: int
    position: str
    slot: str | None = None
    from_version: str | None = field(default=None, name="from")
    to_version: str | None = field(default=None, name="to")
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    requested_by: str | None = None
    command: str | None = None
    schema: int = 1
