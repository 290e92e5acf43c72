"""What happened to whom, and why: transition kinds, the transition record, and the versions these tell of."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct, field


class Kind(StrEnum):
    """Every kind of transition there is: one enum for code, topic, metrics and page."""

    STARTED = "started"  # a first version was born with the deployment
    WARMED_UP = "warmed_up"  # the champion serves for the first time
    REDEFINED = "redefined"  # from here on another definition holds, with everything that was learned
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
    INSTALLED = "installed"  # what was learned again from the log, without a bad span, became champion
    ARCHIVED = "archived"  # the champion's state was kept, to go back to
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


class Point(Struct, frozen=True):
    """A place in the inputs: ``events:<partition>:<offset>``, and the event time there (milliseconds)."""

    position: str
    timestamp: int


class Version(Struct, kw_only=True, omit_defaults=True):
    """A version as the transition that made it records it; it never changes afterwards.

    Attributes
    ----------
    name
        ``fraud/v7@123400``: number, then examples it had learned.
    parent
        The version it comes from: an earlier record of the same number, the one it was started to replace,
        or the one it was brought back from.
    slot
        Its place in the roster.
    recipe, parameters
        What it was made by; ``blend`` for the pool.
    models
        Of the pool: the versions in it.
    definition
        Fingerprint of the definition.
    libraries
        Versions of the libraries it is made of, and of Python.
    data_from, data_to
        The span of the inputs it learned from, its parent's apart.
    seed
        Of the definition.
    reason
        Why it came into being.
    scores
        At this moment: mean loss over its life (``loss``), recently (``recent``), and how many labels
        (``scored``).
    kept
        Whether its state was kept, so that ``meander rollback`` can bring it back.
    left_out
        Of what was learned again from the log: the spans of inputs it did not learn from.
    """

    name: str
    parent: str | None = None
    slot: str
    recipe: str
    parameters: dict[str, Any] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    definition: str
    libraries: dict[str, str]
    data_from: Point
    data_to: Point
    seed: int
    reason: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    kept: bool = False
    left_out: tuple[str, ...] = ()


class Descent(Struct, frozen=True):
    """Where a version comes from that was brought in, for its record.

    Attributes
    ----------
    parent
        The version it was; None: the one whose place it takes.
    since, until
        The span it learned from, where it was learned again.
    left_out
        See `Version`.
    """

    parent: str | None
    since: Point | None = None
    until: Point | None = None
    left_out: tuple[str, ...] = ()


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
    versions
        The versions it brought into being.
    champion
        Who is champion from here on, where this changed it.
    definitions
        Of ``redefined``: the definition before, and the one from here on.
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
    versions: list[Version] = field(default_factory=list)
    champion: str | None = None
    definitions: tuple[dict[str, Any], dict[str, Any]] | None = None
    schema: int = 1


class Reign(Struct, frozen=True):
    """From when on a version was champion, by what, and why."""

    champion: str
    since: Point
    kind: Kind
    reason: str


class Entry(Struct):
    """A version, and what was decided about it later (transitions that name it, in order)."""

    version: Version
    kind: Kind
    decisions: list[Transition] = field(default_factory=list)


class Lineage(Struct):
    """All versions by name, in order of coming, and the champions one after the other."""

    versions: dict[str, Entry] = field(default_factory=dict)
    reigns: list[Reign] = field(default_factory=list)

    def find(self, name: str) -> Entry | None:
        """Return a version by whole name, ``v7@1200``, or ``v7``: the last that was recorded of it."""
        known = named(name, self.versions)
        return self.versions[known[-1]] if known else None

    def ancestors(self, name: str) -> list[str]:
        """Return parent, its parent and so on."""
        found: list[str] = []
        entry = self.versions.get(name)
        while entry is not None and entry.version.parent is not None and entry.version.parent not in found:
            found.append(entry.version.parent)
            entry = self.versions.get(entry.version.parent)
        return found


def short(name: str) -> str:
    """Return a version's name without the deployment's.

    >>> short("fraud/p3/v7@1234")
    'v7@1234'
    """
    return name.rpartition("/")[2]


def line_of(name: str) -> str:
    """Return which version it is, however much it had learned.

    >>> line_of("fraud/p3/v7@1234")
    'v7'
    """
    return short(name).partition("@")[0]


def named(wanted: str, names: Iterable[str]) -> list[str]:
    """Return the versions that somebody may mean: by whole name, as ``v7@1200``, or all of ``v7``.

    >>> named("v7", ["fraud/v7@500", "fraud/v7@900", "fraud/v8@0"])
    ['fraud/v7@500', 'fraud/v7@900']
    """
    return [name for name in names if wanted in (name, short(name), line_of(name))]


def lineage_of(transitions: Iterable[Transition]) -> Lineage:
    """Return the versions that a partition's transitions tell of: these are the registry."""
    lineage = Lineage()
    numbers: dict[str, list[Entry]] = {}
    for transition in transitions:
        fresh = {version.name for version in transition.versions}
        for name in {transition.from_version, transition.to_version} - {None}:
            known = numbers.get(line_of(str(name)))
            if known and known[-1].version.name not in fresh:
                known[-1].decisions.append(transition)
        for version in transition.versions:
            entry = Entry(version, transition.kind)
            lineage.versions[version.name] = entry
            numbers.setdefault(line_of(version.name), []).append(entry)
            if version.name in (transition.from_version, transition.to_version):
                entry.decisions.append(transition)
        if transition.champion is not None:
            since = Point(transition.position, transition.timestamp)
            lineage.reigns.append(Reign(transition.champion, since, transition.kind, transition.reason))
    return lineage


# Msgspec finds out about a type when it is first asked for it; where several threads are the first, as when
# partitions are restored, it crashes. So it is asked here.
msgspec.json.Decoder(Transition)
