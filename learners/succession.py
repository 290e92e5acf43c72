"""A roster under another definition: who stays, who comes, who leaves. Nothing that was learned is lost."""

from typing import Any, NamedTuple

from learners import pickling
from learners.definition import BLEND, Definition
from learners.errors import IncompatibleSnapshotError
from learners.pool import make_pool
from learners.roster import SHADOW, Cause, Member, Mode, Roster
from learners.snapshot import plain

NOBODY = -(10**9)  # the number of somebody who never was: his heirs begin with no weight


class Succession(NamedTuple):
    """What became of the members.

    Attributes
    ----------
    fresh, left
        Versions that start, and those that are gone.
    reign
        Whether another version is champion now.
    """

    fresh: tuple[str, ...]
    left: tuple[str, ...]
    reign: bool


def differences(before: Definition, after: Definition) -> dict[str, tuple[Any, Any]]:
    """Return what differs, by key: old and new value, None where it is not given.

    Where tables stand in another order, and order counts, the key ends in ``(order)``.

    Examples
    --------
    >>> from learners.definition import parse_definition
    >>> raw = {"name": "n", "task": "regression", "features": {"x": {}}, "label": {}}
    >>> differences(parse_definition(raw), parse_definition({**raw, "warm_up": 7}))
    {'warm_up': (30, 7)}
    """
    return dict(_different(plain(before), plain(after), ""))


def _different(before: Any, after: Any, inside: str) -> list[tuple[str, tuple[Any, Any]]]:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [(inside, (before, after))]
    found = []
    for name in dict.fromkeys((*before, *after)):
        found += _different(before.get(name), after.get(name), f"{inside}.{name}" if inside else name)
    both = [name for name in before if name in after]
    if inside in ("models", "rules") and both != [name for name in after if name in before]:
        found.append((f"{inside} (order)", (list(before), list(after))))
    return found


def take_over(new: Roster, old: Roster) -> Succession:
    """Put the members of a roster into the new one of another definition.

    A model whose table is the same stays, with its fresh versions. One with another recipe or parameters
    stays until a fresh version, which starts in shadow, has proved better. Rules that are the same keep
    their numbers, so that the answers of those that wait for labels are still theirs.

    Parameters
    ----------
    new
        As it was made from the new definition: nobody in it has learned anything.
    old
        It is not to be used any more.

    Raises
    ------
    IncompatibleSnapshotError
        When somebody who stays is made by a recipe that the new definition does not know.
    """
    was, now = old.definition, new.definition
    made = {member.slot: member for member in new.models}
    new.newest, new.composition = old.newest, old.composition
    new.mode, new.cause = old.mode, old.cause
    new.frozen, new.frozen_by = old.frozen, old.frozen_by
    new.blend = old.blend
    changed = {slot for slot in now.models if slot in was.models and was.models[slot] != now.models[slot]}
    models = [m for m in old.models if m.origin in now.models]
    new.shadows = [m for m in old.shadows if m.origin in now.models and m.origin not in changed]
    fresh: list[Member] = []
    for slot, member in made.items():
        parent = next((m for m in models if m.slot == slot), None)
        if slot in was.models and models and (slot not in changed or parent is None):
            continue  # it stays; or it was dropped, and stays so
        if parent is not None and parent.model == member.model:
            continue  # a policy has brought it there already
        new.newest += 1
        member.number = member.version = new.newest
        fresh.append(member)
        if parent is None:
            models.append(member)
        else:
            member.slot, member.parent = f"{slot}{SHADOW}", parent.number
            member.started = member.replaces = True
            new.shadows.append(member)
    new.models = models
    present = {id(m) for m in (*models, *new.shadows)}
    _crown(new, old, present)
    _check_recipes(new, now)
    _seat_rules(new, old)
    _watch_anew(new, was)
    new.pool = make_pool(new.task)
    new.pool.arrange(old.seats())
    new.pool.resume(old.pool.state())
    staying = {m.number for m in (*models, *new.rules)}
    if any(share for number, share in old.shares().items() if number in staying):
        for member in fresh:
            new.pool.inherit(NOBODY, member.number)
    new.rearrange()
    gone = [m for m in (*old.models, *old.shadows) if id(m) not in present]
    return Succession(
        tuple(f"{m.slot}: {new.name(m)}" for m in fresh),
        tuple(f"{m.slot}: {new.name(m)}" for m in gone),
        new.champion is not old.champion,
    )


def _crown(new: Roster, old: Roster, present: set[int]) -> None:
    """Find the champion: the one of before, unless the definition names another who has learned something."""
    wanted, models = new.definition.champion, new.models

    def stays(member: Member | None) -> bool:
        return member is not None and (member.is_blend or id(member) in present)

    named = new.blend if wanted == BLEND else next((m for m in models if m.slot == wanted), None)
    champion = old.champion if stays(old.champion) else None
    renamed = wanted != old.definition.champion and named is not None and (named.is_blend or named.learned)
    if champion is None or renamed:
        champion = named or (new.blend if len(models) > 1 else models[0])
    cold = old.previous if old.previous is not None and old.previous.origin in new.definition.models else None
    previous = old.previous if stays(old.previous) else cold
    if champion is not old.champion and stays(old.champion):
        previous = old.champion
    new.champion, new.previous = champion, None if previous is champion else previous
    knows = any(m.learned for m in models) if champion.is_blend else champion.learned
    if not knows and new.mode is Mode.CHAMPION:  # rules answer until it has proved better than they
        new.mode, new.cause = Mode.FALLBACK, Cause.FAILURE


def _check_recipes(new: Roster, now: Definition) -> None:
    known = pickling.packages(now)
    for member in (*new.models, *new.shadows, *((new.previous,) if new.previous else ())):
        recipe = member.model.recipe if member.model else ""
        package = pickling.package_of(recipe)
        if package and package not in known:
            raise IncompatibleSnapshotError(
                f"models.{member.origin} goes on as it was made by {recipe} until the new recipe has proved "
                f"better, but nothing else is declared from {package}, so it could not be restored. Declare "
                "the new recipe under another name: what is removed leaves at once"
            )


def _seat_rules(new: Roster, old: Roster) -> None:
    was, now = old.definition.rules, new.definition.rules
    kept = {rule.slot: rule for rule in old.rules if was[rule.slot] == now.get(rule.slot)}
    new.lowest = old.lowest
    for index, rule in enumerate(new.rules):
        if rule.slot in kept:
            new.rules[index] = kept[rule.slot]
        else:
            new.lowest -= 1
            rule.number = rule.version = new.lowest


def _watch_anew(new: Roster, was: Definition) -> None:
    """Give members the declared detector; where the loss is another, let it begin anew."""
    drift = new.definition.drift
    anew = detects_otherwise(was, new.definition)
    for member in (*new.models, *new.shadows, new.blend, *((new.previous,) if new.previous else ())):
        if anew:
            member.monitor = None
        elif member.monitor is not None:
            member.monitor.cooldown = drift.cooldown


def detects_otherwise(was: Definition, now: Definition) -> bool:
    """Whether what detectors have seen so far is of no use to those of now."""
    return any(
        before != after
        for before, after in (
            (was.drift.detector, now.drift.detector),
            (was.drift.parameters, now.drift.parameters),
            (was.seed, now.seed),
            (was.loss, now.loss),
            (was.cost, now.cost),
        )
    )
