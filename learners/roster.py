"""Who is who: the champion, challengers in shadow, rules, and the previous champion."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from itertools import repeat
from typing import Any

from msgspec import Struct

from learners import catalogue, rules
from learners.definition import Definition
from learners.direct import learner, predictor
from learners.errors import MeanderError
from learners.scores import Score
from learners.tasks import Task


class Mode(StrEnum):
    """Who answers."""

    WARM_UP = "warm_up"  # rules, until the champion has seen enough
    CHAMPION = "champion"
    FALLBACK = "fallback"  # rules, until the champion has proved better


class Member:
    """One version of a model, or a rule.

    Attributes
    ----------
    number
        Version number, from 1; rules have negative numbers in declared order.
    slot
        Its place in the roster.
    estimator
        A River classifier or regressor.
    parent
        The number of the version it was started to replace.
    started
        Whether the policy or an operator started it (it is dropped again if it proves nothing).
    learned
        Examples it has learned.
    predict, learn
        What asks and what teaches the estimator; see `bind`.
    """

    __slots__ = (
        "estimator", "learn", "learned", "learns", "number", "parent", "predict", "score", "slot", "started",
    )  # fmt: skip

    def __init__(self, number: int, slot: str, estimator: Any, *, parent: int | None = None) -> None:
        self.number, self.slot, self.estimator, self.parent = number, slot, estimator, parent
        self.started = parent is not None
        self.learned = 0
        self.learns = not isinstance(estimator, rules.DeclaredRule)
        self.score = Score()

    def bind(self, method: str) -> None:
        """Find the shortest way to the estimator's predictions (of this method) and learning."""
        self.predict = predictor(self.estimator, method)
        self.learn = learner(self.estimator)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name not in ("predict", "learn")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def is_rule(self) -> bool:
        """Whether it is a rule rather than a model."""
        return self.number < 0


class Asked(Struct, gc=False):
    """The answers of one event; see `stream.messages.Example` for the fields."""

    panel: tuple[int, ...]
    answers: tuple[Any, ...]
    served: int
    answer: Any
    broken: tuple[tuple[Member, str], ...]


class Roster:
    """The members of one Processor, and who of them answers.

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
    members, panel
        The champion first, then challengers, then rules; and their numbers.
    learners
        Those of the members that learn.
    served_by
        How predictions name each of them when it answers; the last is for the default.
    """

    def __init__(self, definition: Definition, task: Task, prefix: str) -> None:
        self.definition, self.task, self.prefix = definition, task, prefix
        self.mode = Mode.WARM_UP if definition.warm_up else Mode.CHAMPION
        self.held = False  # in fallback by hand, until `resume`
        self.frozen = False
        self.newest = 0
        models = [self._born(slot) for slot in definition.models]
        self.champion = next(m for m in models if m.slot == definition.champion)
        self.challengers = [m for m in models if m is not self.champion]
        self.previous: Member | None = None
        self.rules = [
            Member(-i, name, rules.build_rule(name, rule, definition))
            for i, (name, rule) in enumerate(definition.rules.items(), 1)
        ]
        self.rearrange()

    @property
    def mode(self) -> Mode:
        """Who answers."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self.champion_serves = mode is Mode.CHAMPION  # asked several times for each event

    def rearrange(self) -> None:
        """Recompute what depends on who is in the roster; call it after any change of members."""
        self.members = (self.champion, *self.challengers, *self.rules)
        for member in self.members:
            member.bind(self.task.method)
        self.panel = tuple(m.number for m in self.members)
        self.by_number = {m.number: m for m in self.members}
        self.learners = tuple(m for m in self.members if m.learns)
        self.first_rule = 1 + len(self.challengers)
        servers = [f"rule:{m.slot}" if m.is_rule else f"champion:{m.slot}" for m in self.members]
        self.served_by = (*servers, "default")
        self._predictors = tuple(m.predict for m in self.members)

    def _born(self, slot: str, source: str | None = None, parent: int | None = None) -> Member:
        model = self.definition.models[source or slot]
        self.newest += 1
        estimator = catalogue.build(model.recipe, self.definition, model.parameters)
        return Member(self.newest, slot, estimator, parent=parent)

    def name(self, member: Member) -> str:
        """Return a version's name: ``fraud/v7@123400`` (number, then examples learned)."""
        return f"{self.prefix}/v{member.number}@{member.learned}"

    def ask(self, x: dict[str, Any], sent: dict[str, Any] | None = None) -> Asked:
        """Ask every member, and choose who is served: the champion, else the first rule that answers.

        Where repairs have changed the features, declared rules judge them as they were ``sent``.
        """
        answers: list[Any] = []
        broken: tuple[tuple[Member, str], ...] = ()
        ask = self.task.ask
        seen: Iterable[dict[str, Any]] = repeat(x)
        if sent is not None:
            seen = [x if member.learns or not member.is_rule else sent for member in self.members]
        for predict, features in zip(self._predictors, seen, strict=False):
            try:
                answers.append(ask(predict, features))
            except Exception as error:  # noqa: BLE001  whatever a member raises, the event is answered
                broken += ((self.members[len(answers)], f"{type(error).__name__}: {error}"),)
                answers.append(None)
        served = 0 if self.champion_serves and answers[0] is not None else self._rule(answers)
        answer = answers[served] if served >= 0 else None
        return Asked(self.panel, tuple(answers), served, answer, broken)

    def ask_rules(self, x: dict[str, Any]) -> Asked:
        """Ask rules alone, for an event that no model may see."""
        silent = (None,) * len(self.members)
        for index in range(self.first_rule, len(self.members)):
            try:
                answer = self.task.ask(self._predictors[index], x)
            except Exception:  # noqa: BLE001, S112  the features break the contract: a rule may well trip
                continue
            if answer is not None:
                return Asked(self.panel, silent, index, answer, ())
        return Asked(self.panel, silent, -1, None, ())

    def _rule(self, answers: list[Any]) -> int:
        for index in range(self.first_rule, len(answers)):
            if answers[index] is not None:
                return index
        return -1

    def start_challenger(self, slot: str | None = None) -> Member:
        """Start a fresh version of a slot's recipe (the champion's by default) in shadow."""
        source = slot or self.champion.slot
        parent = self._in_slot(source) or self.champion  # the slot's own member may have been dropped
        challenger = self._born(f"{source}-next", source, parent.number)
        self.challengers.append(challenger)
        self.rearrange()
        return challenger

    def challenger_of(self, slot: str) -> Member | None:
        """Return the started challenger of a slot, if there is one."""
        return self._find(lambda m: m.started and m.slot == f"{slot}-next")

    def promote(self, member: Member) -> None:
        """Make a challenger the champion. A started one takes over its parent's slot."""
        old = self.champion
        self.challengers.remove(member)
        if member.started:
            slot = member.slot.removesuffix("-next")
            replaced = self._in_slot(slot)
            member.slot, member.started = slot, False
            if replaced is not old:
                self.challengers.append(old)
                if replaced is not None:
                    self.challengers.remove(replaced)
        else:
            self.challengers.append(old)
        self.previous, self.champion = old, member
        self.rearrange()

    def roll_back(self) -> Member:
        """Make the previous champion the champion again, as it is now.

        Raises
        ------
        MeanderError
            When there is none.
        """
        if self.previous is None:
            raise MeanderError("there is no previous champion to roll back to")
        back = self.previous
        self.challengers = [m for m in self.challengers if m is not back and m.slot != back.slot]
        if self.champion.slot != back.slot:
            self.challengers.append(self.champion)
        self.previous, self.champion = self.champion, back
        self.rearrange()
        return back

    def drop(self, member: Member) -> None:
        """Remove a challenger."""
        self.challengers.remove(member)
        self.rearrange()

    def renew(self, member: Member) -> Member:
        """Put a fresh version in the place of a member that broke; returns the fresh one."""
        if member.is_rule:
            rule = self.definition.rules[member.slot]
            fresh = Member(member.number, member.slot, rules.build_rule(member.slot, rule, self.definition))
            self.rules[self.rules.index(member)] = fresh
        else:
            fresh = self._born(member.slot, member.slot.removesuffix("-next"), member.parent)
            if member is self.champion:
                fresh.started, self.champion = False, fresh
            else:
                fresh.started = member.started
                self.challengers[self.challengers.index(member)] = fresh
        self.rearrange()
        return fresh

    def find_challenger(self, target: str | None) -> Member:
        """Return the challenger an operator named by slot or version number (``v7``).

        Raises
        ------
        MeanderError
            When no challenger has that name.
        """
        found = self._find(lambda m: target in (m.slot, f"v{m.number}", self.name(m)))
        if found is None:
            known = ", ".join(f"{m.slot} (v{m.number})" for m in self.challengers) or "none"
            raise MeanderError(f"no challenger is called {target!r}; there are: {known}")
        return found

    def _find(self, wanted: Callable[[Member], bool]) -> Member | None:
        return next((m for m in self.challengers if wanted(m)), None)

    def _in_slot(self, slot: str) -> Member | None:
        return next((m for m in self.members if m.slot == slot), None)
