"""Who is who: the pool's members and its blend, challengers in shadow, rules, and who of them answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from learners import catalogue, rules
from learners.definition import BLEND, Definition, Model
from learners.detectors import ClassMonitor, Monitor, make_monitor
from learners.direct import learner, weighted_learner
from learners.errors import MeanderError
from learners.lineage import Descent
from learners.pool import Seat, make_pool
from learners.scores import Score
from learners.tasks import Task

NEVER, LONG_AGO = 2**62, -(2**62)  # labels
BLEND_NUMBER = 0  # in panels; as a version it has another number, see `Roster.rearrange`
SHADOW, ADMITTED = "-next", "-new"  # ends of the slots of fresh versions: unproven, and beside their parent


class Mode(StrEnum):
    """Who answers."""

    WARM_UP = "warm_up"  # rules, until the champion has seen enough
    CHAMPION = "champion"
    FALLBACK = "fallback"  # rules, until the champion has proved better


class Cause(StrEnum):
    """Why rules answer; each ends by the opposite evidence."""

    WEIGHTS = "weights"  # most of the pool's weight is theirs
    PROOF = "proof"  # they proved better than the champion
    POLICY = "policy"
    FAILURE = "failure"  # the champion broke
    HAND = "hand"  # until `resume`


class Member:
    """One version of a model, a rule, or the blend of the pool.

    Attributes
    ----------
    number
        Version number, from 1; rules have negative numbers in declared order, the blend has 0.
    version
        The number in the version's name: the same, but for the blend, whose version changes with the pool.
    slot
        Its place in the roster.
    estimator
        A River classifier or regressor; None for the blend.
    model
        Its table in the definition, or the policy's for an update; None for rules and the blend.
    origin
        The declared slot it descends from.
    parent
        The number of the version it was started to replace.
    started
        Whether it is in shadow since the policy or an operator started it (it is dropped again if it
        proves nothing). Once admitted it is not.
    replaces
        Whether it takes its parent's place when admitted, or stands beside it.
    learned
        Examples it has learned.
    monitor
        Watches its loss, where it is in the pool.
    idle
        Labels since its weight was last worth anything; for admitted ones.
    due
        What it will have learned when it is kept as good next, see `learners.last_good`.
    strikes, struck
        How often it failed in a row, and how many labels there were when it did last.
    rests
        Until so many labels have come it is neither asked nor taught; 0: it works.
    ask, learn, learn_weighted
        What asks the estimator and what teaches it; see `bind`. The last is None where it takes no weights.
    """

    __slots__ = (
        "ask", "due", "estimator", "idle", "learn", "learn_weighted", "learned", "learns", "model", "monitor",
        "number", "origin", "parent", "replaces", "rests", "score", "slot", "started", "strikes",
        "struck", "version",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        slot: str,
        estimator: Any,
        *,
        model: Model | None = None,
        origin: str | None = None,
        parent: int | None = None,
    ) -> None:
        self.number = self.version = number
        self.slot, self.estimator, self.parent = slot, estimator, parent
        self.model, self.origin = model, slot if origin is None else origin
        self.started, self.replaces = parent is not None, False
        self.learned = self.idle = 0
        self.learns = estimator is not None and not isinstance(estimator, rules.DeclaredRule)
        self.score = Score()
        self.monitor: Monitor | ClassMonitor | None = None
        self.due = self.strikes = self.rests = 0
        self.struck = LONG_AGO

    def bind(self, task: Task) -> None:
        """Find the shortest way to the estimator's answers and learning."""
        self.ask = task.asker(self.estimator)
        self.learn = learner(self.estimator)
        self.learn_weighted = weighted_learner(self.estimator)

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("ask", "learn", "learn_weighted")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def is_rule(self) -> bool:
        """Whether it is a rule rather than a model."""
        return self.number < 0

    @property
    def is_blend(self) -> bool:
        """Whether it is the pool itself."""
        return self.number == BLEND_NUMBER

    @property
    def is_child(self) -> bool:
        """Whether it was started after another, rather than declared."""
        return self.slot != self.origin


class Kept(Struct):
    """A model as it was: name, number and slot of then, table, estimator, what it had learned, its score."""

    name: str
    number: int
    slot: str
    origin: str
    model: Model | None
    estimator: Any
    learned: int
    score: Score = field(default_factory=Score)


Broken = tuple[tuple[Member, str], ...]  # who raised, and what


class Asked(Struct, gc=False):
    """The answers of one event; see `stream.messages.Example` for the fields."""

    panel: tuple[int, ...]
    answers: tuple[Any, ...]
    served: int
    answer: Any
    broken: Broken


class Roster:
    """The members of one Processor, their pool, and who of them answers.

    Parameters
    ----------
    definition
        Models, rules and the first champion.
    task
        Asks estimators and checks what they say.
    prefix
        Of version names: ``fraud``, or ``fraud/p3`` with scope partition.

    Attributes
    ----------
    champion
        Who answers: the blend, or one model.
    models
        In the pool: the declared ones, and those admitted.
    shadows
        Started and not yet admitted.
    blend
        The pool as a member. It takes part where it is or was champion, and where two models are in the pool.
    members, panel
        The champion first, then challengers, then rules; and their numbers.
    rivals
        For each challenger, the index in ``members`` of whom it must prove better than.
    admitted
        Index and member of those admitted beside their parents.
    challengers
        Everybody who might become champion: blend, models and shadows without the champion.
    learners
        Those of the members that learn.
    newest, lowest
        The highest number that a version ever had, and the lowest that a rule had.
    rouse_at
        The number of labels at which the first of those that rest comes back.
    served_by
        How predictions name each of them when it answers; the last is for the default.
    titles
        The names of the members' versions up to what they have learned, see `name`.
    descent
        By number, where members that were just brought back come from.
    """

    def __init__(self, definition: Definition, task: Task, prefix: str) -> None:
        self.definition, self.task, self.prefix = definition, task, prefix
        self.mode = Mode.WARM_UP if definition.warm_up else Mode.CHAMPION
        self.cause: Cause | None = None  # of the fallback
        self.frozen = False
        self.frozen_by: Cause | None = None
        self.newest = 0
        self.descent: dict[int, Descent] = {}
        self.pool = make_pool(task)
        self.blend = Member(BLEND_NUMBER, BLEND, None)
        self.composition: tuple[int, ...] = ()  # the models that the blend's version stands for
        self.models = [self._born(slot, model) for slot, model in definition.models.items()]
        self.shadows: list[Member] = []
        named = next((m for m in self.models if m.slot == definition.champion), self.blend)
        self.champion = named
        self.previous: Member | None = None
        self.rules = [
            Member(-i, name, rules.build_rule(name, rule, definition))
            for i, (name, rule) in enumerate(definition.rules.items(), 1)
        ]
        self.lowest = -len(self.rules)
        self.rearrange()

    @property
    def mode(self) -> Mode:
        """Who answers."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self.champion_serves = mode is Mode.CHAMPION  # asked several times for each event
        self.falls_back = mode is Mode.FALLBACK

    @property
    def held(self) -> bool:
        """Whether rules answer until a person says `resume`."""
        return self.cause is Cause.HAND

    def rearrange(self) -> None:
        """Recompute what depends on who is in the roster; call it after any change of members."""
        champion, blend = self.champion, self.blend
        self.blends = blend in (champion, self.previous) or len(self.models) > 1
        others = [m for m in self.models if m is not champion]
        if self.blends and champion is not blend:
            others.append(blend)
        self.challengers = others + self.shadows
        self.members = (champion, *self.challengers, *self.rules)
        self.panel = tuple(m.number for m in self.members)
        self.by_number = {m.number: m for m in self.members}
        self.learners = tuple(m for m in self.members if m.learns and not m.rests)
        self.rouse_at = min((m.rests for m in self.members if m.rests), default=NEVER)
        self.first_rule = 1 + len(self.challengers)
        # whom each challenger must beat: its parent while it is in shadow, else the champion
        self.rivals = tuple(self._rival(m) for m in self.challengers)
        self.admitted = tuple((i, m) for i, m in enumerate(self.members) if m.is_child and not m.started)
        self.blend_at = self.panel.index(BLEND_NUMBER) if self.blends else -1
        servers = [f"rule:{m.slot}" if m.is_rule else f"champion:{m.slot}" for m in self.members]
        self.served_by = (*servers, "default")
        self.titles = self._titles()
        self._bind()
        self.pool.arrange(self.seats())
        composition = tuple(m.number for m in self.models)
        if self.blends and composition != self.composition:
            self.composition = composition
            self.newest += 1
            blend.version = self.newest
            self.titles = self._titles()

    def _titles(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}/v{m.version}@" for m in self.members)

    def seats(self) -> list[Seat]:
        """Return the members' places in the pool."""
        free = self.definition.drift.probation
        return [Seat(m.number, m.is_blend or (m.started and not free)) for m in self.members]

    def _rival(self, member: Member) -> int:
        if not member.started:
            return 0
        return next((i for i, m in enumerate(self.members) if m.number == member.parent), 0)

    def _bind(self) -> None:
        for member in self.members:
            if member.is_blend or member.rests:
                member.ask = lambda _: None  # the blend answers last, from the others' answers
            else:
                member.bind(self.task)
        self._askers = tuple(m.ask for m in self.members)
        for member in self.models:
            if member is self.champion:
                member.monitor = None  # what is served is watched already
            elif member.monitor is None:
                member.monitor = make_monitor(self.definition, member.slot)

    @contextmanager
    def through(self, wrap: Callable[[str, str, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
        """Ask and teach members through something else, meanwhile: for whoever measures them.

        Parameters
        ----------
        wrap
            Given a slot, ``predict`` or ``learn`` and the call, returns what is called in its place.
        """
        working = [m for m in self.members if not (m.is_blend or m.rests)]
        own, taught = self._askers, []
        through = self._askers = tuple(
            wrap(m.slot, "predict", call) if m in working else call
            for m, call in zip(self.members, own, strict=True)
        )
        for member in working:
            for name in ("learn", "learn_weighted") if member.learns else ():
                call = getattr(member, name)
                if call is not None:
                    wrapped = wrap(member.slot, "learn", call)
                    setattr(member, name, wrapped)
                    taught.append((member, name, call, wrapped))
        try:
            yield
        finally:  # where members have changed meanwhile, they are bound anew already
            if self._askers is through:
                self._askers = own
            for member, name, call, wrapped in taught:
                if getattr(member, name) is wrapped:
                    setattr(member, name, call)

    def _born(self, slot: str, model: Model, origin: str | None = None, parent: int | None = None) -> Member:
        self.newest += 1
        estimator = catalogue.build(model.recipe, self.definition, model.parameters)
        return Member(self.newest, slot, estimator, model=model, origin=origin, parent=parent)

    def name(self, member: Member) -> str:
        """Return a version's name: ``fraud/v7@123400`` (number, then examples learned)."""
        return f"{self.prefix}/v{member.version}@{member.learned}"

    def shares(self) -> dict[int, float]:
        """Return each member's share of the pool's weight, by number."""
        total = sum(self.pool.weights) or 1.0
        return {n: w / total for n, w in zip(self.panel, self.pool.weights, strict=True)}

    def ask(self, x: dict[str, Any], sent: dict[str, Any] | None = None) -> Asked:
        """Ask every member, and choose who is served: the champion, else the first rule that answers.

        Where the champion is one model and silent, the blend answers before any rule. Where repairs have
        changed the features, declared rules judge them as they were ``sent``.
        """
        answers: list[Any] = []
        broken: Broken = ()
        for ask in self._askers:
            try:
                answers.append(ask(x))
            except Exception as error:  # noqa: BLE001  whatever a member raises, the event is answered
                broken += ((self.members[len(answers)], f"{type(error).__name__}: {error}"),)
                answers.append(None)
        if sent is not None:
            broken = self._ask_declared(sent, answers, broken)
        if self.blends and answers[: self.first_rule].count(None) < self.first_rule:
            answers[self.blend_at] = self.pool.mix(answers)
        served = 0 if self.champion_serves and answers[0] is not None else self._stand_in(answers)
        answer = answers[served] if served >= 0 else None
        return Asked(self.panel, tuple(answers), served, answer, broken)

    def _ask_declared(self, sent: dict[str, Any], answers: list[Any], broken: Broken) -> Broken:
        """Ask declared rules again, what was really sent; returns who broke."""
        for index in range(self.first_rule, len(self.members)):
            member = self.members[index]
            if member.learns:
                continue
            broken = tuple(pair for pair in broken if pair[0] is not member)
            try:
                answers[index] = member.ask(sent)
            except Exception as error:  # noqa: BLE001  as in `ask`
                broken += ((member, f"{type(error).__name__}: {error}"),)
                answers[index] = None
        return broken

    def ask_rules(self, x: dict[str, Any]) -> Asked:
        """Ask rules alone, for an event that no model may see."""
        silent = (None,) * len(self.members)
        for index in range(self.first_rule, len(self.members)):
            try:
                answer = self._askers[index](x)
            except Exception:  # noqa: BLE001, S112  the features break the contract: a rule may well trip
                continue
            if answer is not None:
                return Asked(self.panel, silent, index, answer, ())
        return Asked(self.panel, silent, -1, None, ())

    def _stand_in(self, answers: list[Any]) -> int:
        if self.champion_serves and self.blend_at > 0 and answers[self.blend_at] is not None:
            return self.blend_at
        for index in range(self.first_rule, len(answers)):
            if answers[index] is not None:
                return index
        return -1

    def start_challenger(
        self, slot: str | None = None, model: Model | None = None, replaces: bool = False
    ) -> Member:
        """Start a fresh version in shadow.

        Parameters
        ----------
        slot
            Of which declared slot; by default the champion's, or for the blend the first model's.
        model
            Another recipe than the slot's.
        replaces
            Take the parent's place once admitted, instead of one beside it.
        """
        source = slot or (self.models[0] if self.champion.is_blend else self.champion).origin
        parent = self._in_slot(source) or self.champion  # the slot's own member may have been dropped
        recipe = (
            model or (parent.model if parent.origin == source else None) or self.definition.models[source]
        )
        shadow = self._born(f"{source}{SHADOW}", recipe, source, parent.number)
        shadow.replaces = replaces
        self.shadows.append(shadow)
        self.rearrange()
        return shadow

    def challenger_of(self, slot: str) -> Member | None:
        """Return the started challenger of a slot, if there is one."""
        return next((m for m in self.shadows if m.origin == slot), None)

    def admit(self, member: Member) -> Member | None:
        """Let a challenger in shadow into the pool; returns the one whose place it takes, if any."""
        self.shadows.remove(member)
        member.started = False
        slot = member.origin if member.replaces else f"{member.origin}{ADMITTED}"
        replaced = self._in_slot(slot)
        self._take_slot(member, slot, replaced)
        self.rearrange()
        return replaced

    def _take_slot(self, member: Member, slot: str, replaced: Member | None) -> None:
        member.slot = slot
        if replaced is None:
            self.models.append(member)
        else:
            self.models[self.models.index(replaced)] = member
            self.pool.inherit(replaced.number, member.number)

    def promote(self, member: Member) -> None:
        """Make a challenger the champion. One in shadow takes over its parent's slot."""
        old = self.champion
        if member.started:
            self.shadows.remove(member)
            member.started = False
            self._take_slot(member, member.origin, self._in_slot(member.origin))
        self.previous, self.champion = old, member
        self.rearrange()

    def roll_back(self) -> Member:
        """Make the previous champion the champion again, as it is now.

        Raises
        ------
        MeanderError
            When there is none.
        """
        back = self.previous
        if back is None:
            raise MeanderError("there is no previous champion to roll back to")
        if not back.is_blend and back not in self.models:
            self._take_slot(back, back.slot, self._in_slot(back.slot))
        self.previous, self.champion = self.champion, back
        self.rearrange()
        return back

    def bring_back(
        self, kept: Iterable[Kept], champion: str, descents: Mapping[int, Descent], *, alone: bool
    ) -> dict[int, int]:
        """Make models as they were kept, as fresh versions in their slots, and one or their blend champion.

        Parameters
        ----------
        champion
            Its slot.
        descents
            Where they come from, by number of then.
        alone
            Whether the pool is then made of these alone. Else they take their slots, and the others stay.

        Returns
        -------
        dict
            Number of then -> number of now.
        """
        old, fresh = self.champion, {}
        for was in kept:
            self.newest += 1
            replaced = next((m for m in self.models if m.slot == was.slot), None)
            parent = None if replaced is None else replaced.number
            member = Member(
                self.newest, was.slot, was.estimator, model=was.model, origin=was.origin, parent=parent
            )
            member.started, member.learned, member.score = False, was.learned, was.score
            self.descent[member.number] = descents[was.number]
            self._take_slot(member, was.slot, replaced)
            for shadow in self.shadows:
                if replaced is not None and shadow.parent == replaced.number:
                    shadow.parent = member.number
            fresh[was.number] = member
        if alone:
            self.models = list(fresh.values())
        self.champion = self.blend if champion == BLEND else self._modelled(champion)
        if self.champion is not old:
            self.previous = old
        self.rearrange()
        return {number: member.number for number, member in fresh.items()}

    def _modelled(self, slot: str) -> Member:
        return next(m for m in self.models if m.slot == slot)

    def check_drop(self, member: Member) -> None:
        """Raise `MeanderError` where a challenger cannot be dropped: the blend, or the last model."""
        if member.is_blend:
            raise MeanderError("the blend is made of the models: drop one of those")
        if not member.started and len(self.models) == 1:
            raise MeanderError(f"{member.slot} is the last model")

    def drop(self, member: Member) -> None:
        """Remove a challenger, see `check_drop`."""
        (self.shadows if member.started else self.models).remove(member)
        self.rearrange()

    def renew(self, member: Member) -> Member:
        """Put a fresh version in the place of a member that broke; returns the fresh one."""
        if member.is_rule:
            rule = self.definition.rules[member.slot]
            fresh = Member(member.number, member.slot, rules.build_rule(member.slot, rule, self.definition))
            self.rules[self.rules.index(member)] = fresh
        else:
            model = member.model or self.definition.models[member.origin]
            fresh = self._born(member.slot, model, member.origin, member.parent)
            fresh.started, fresh.replaces = member.started, member.replaces
            group = self.shadows if member in self.shadows else self.models
            group[group.index(member)] = fresh
            for shadow in self.shadows:
                if shadow.parent == member.number:
                    shadow.parent = fresh.number
            if member is self.champion:
                self.champion = fresh
        fresh.strikes, fresh.struck, fresh.rests = member.strikes, member.struck, member.rests
        self.rearrange()
        return fresh

    def find_challenger(self, target: str | None) -> Member:
        """Return the challenger an operator named by slot or version number (``v7``).

        Raises
        ------
        MeanderError
            When no challenger has that name.
        """
        found = self._find(lambda m: target in (m.slot, f"v{m.version}", self.name(m)))
        if found is None:
            known = ", ".join(f"{m.slot} (v{m.version})" for m in self.challengers) or "none"
            raise MeanderError(f"no challenger is called {target!r}; there are: {known}")
        return found

    def _find(self, wanted: Callable[[Member], bool]) -> Member | None:
        return next((m for m in self.challengers if wanted(m)), None)

    def _in_slot(self, slot: str) -> Member | None:
        return next((m for m in self.members if m.slot == slot), None)
