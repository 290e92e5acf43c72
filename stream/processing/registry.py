"""Says of each transition which versions it brought into being: the transitions are the registry."""

from collections.abc import Iterable
from typing import Any

from learners.definition import Definition
from learners.lineage import Descent, Kind, Point, Transition, Version
from learners.roster import Member, Roster
from learners.snapshot import fingerprint, libraries
from stream.processing.archive import Archive

MADE = frozenset({Kind.ADMITTED, Kind.PROMOTED, Kind.ROLLED_BACK, Kind.INSTALLED, Kind.FAILED, Kind.ARCHIVED})
"""Kinds that make a version of a member that was there before: its state at that moment."""
MOVED = frozenset({Kind.ADMITTED, Kind.PROMOTED, Kind.ROLLED_BACK, Kind.INSTALLED, Kind.DROPPED, Kind.FAILED})
"""Kinds after which the pool may be another."""


class Registry:
    """Knows of the versions so far what the next ones refer to.

    Parameters
    ----------
    definition, roster
        Of one Processor.
    archive
        Which states are kept.
    """

    def __init__(self, definition: Definition, roster: Roster, archive: Archive) -> None:
        self._roster, self._archive = roster, archive
        self._seed, self._definition, self._libraries = definition.seed, fingerprint(definition), libraries()
        self._births: dict[int, tuple[str, int]] = {}  # version number -> position and time
        self._newest: dict[int, str] = {}  # version number -> its last recorded name
        self._pool: str | None = None  # the blend's last recorded name
        self._champion: str | None = None

    def note(self, transitions: Iterable[Transition]) -> None:
        """Add to the transitions of one moment the versions they made, and the champion where it changed."""
        transitions = list(transitions)
        for transition in transitions:
            if transition.kind in MADE:
                names = [transition.to_version]
                if transition.kind in (Kind.PROMOTED, Kind.ROLLED_BACK, Kind.INSTALLED):
                    names.insert(0, transition.from_version)
                for name in names:
                    self._record(transition, name)
        last = next((t for t in reversed(transitions) if t.kind in MOVED), transitions[-1])
        roster = self._roster
        present = (*roster.models, *roster.shadows, *((roster.blend,) if roster.blends else ()))
        for member in present:
            if member.version not in self._newest:
                name = roster.name(member)
                self._record(next((t for t in transitions if t.to_version == name), last), name)
        champion = roster.champion
        if self._champion is None or _number(self._champion) != champion.version:
            name = roster.name(champion)
            next((t for t in transitions if t.to_version == name), last).champion = name
            self._champion = name
        roster.descent.clear()
        numbers = {m.version for m in (*present, champion, roster.previous) if m is not None}
        for number in [n for n in self._births if n not in numbers]:
            del self._births[number], self._newest[number]

    def _record(self, transition: Transition, name: str | None) -> None:
        """Record a member's state of now; nothing where it is no model, or that state was recorded before."""
        member = self._of(name)
        if member is None or name is None or name == self._newest.get(number := _number(name)):
            return
        here = Point(transition.position, transition.timestamp)
        descent = self._roster.descent.get(member.number) if number == member.version else None
        descent = descent or Descent(None)
        since, until = descent.since or here, descent.until or here
        parent = self._newest.get(number)
        if parent is None:
            parent = self._parent(member, transition)
        models: list[str] = []
        if member.is_blend:
            models = self._archive.models.get(name) or [self._roster.name(m) for m in self._roster.models]
        score = member.score
        scores: dict[str, float] = {}
        if score.scored:
            scores = {"loss": score.mean, "recent": score.recent, "scored": score.scored}
        transition.versions.append(
            Version(
                name=name,
                parent=parent,
                slot=member.slot,
                recipe="blend" if member.model is None else member.model.recipe,
                parameters={} if member.model is None else member.model.parameters,
                models=models,
                definition=self._definition,
                libraries=self._libraries,
                data_from=Point(*self._births.setdefault(number, (since.position, since.timestamp))),
                data_to=until,
                seed=self._seed,
                reason=transition.reason,
                scores=scores,
                kept=name in self._archive,
                left_out=descent.left_out,
            )
        )
        self._newest[number] = name
        if member.is_blend:
            self._pool = name

    def redate(self, birth: Transition) -> None:
        """Date the versions of a birth as the transition is: by the event that it came with."""
        for version in birth.versions:
            version.data_from = version.data_to = Point(birth.position, birth.timestamp)
        for number, (position, _) in self._births.items():
            if position == birth.position:
                self._births[number] = position, birth.timestamp

    def birth_of(self, number: int) -> Point | None:
        """Return where a version that is still there begins."""
        birth = self._births.get(number)
        return None if birth is None else Point(*birth)

    def _of(self, name: str | None) -> Member | None:
        if name is None:
            return None
        roster = self._roster
        number = _number(name)
        known = (*roster.models, *roster.shadows, roster.blend, roster.champion, roster.previous)
        found = next((m for m in known if m is not None and m.version == number), None)
        if found is None and self._pool is not None and number == _number(self._pool):
            return roster.blend  # as it was before its models changed
        return found

    def _parent(self, member: Member, transition: Transition) -> str | None:
        brought = self._roster.descent.get(member.number)
        if brought is not None and brought.parent is not None:
            return brought.parent
        if member.is_blend:  # the pool as it was before its models changed
            return self._pool
        if transition.kind is Kind.FAILED:
            return self._last_of(transition.from_version)
        return None if member.parent is None else self._newest.get(member.parent)

    def _last_of(self, name: str | None) -> str | None:
        return None if name is None else self._newest.get(_number(name))

    def state(self) -> Any:
        """Return what is known, as plain data."""
        return self._births, self._newest, self._pool, self._champion

    def resume(self, state: Any) -> None:
        """Continue from what `state` returned."""
        self._births, self._newest, self._pool, self._champion = state


def _number(name: str) -> int:
    return int(name.rpartition("/v")[2].partition("@")[0])
