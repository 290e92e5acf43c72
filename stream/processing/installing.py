"""Takes what was learned out of one processor, and puts it into another in the place of what is there."""

from collections.abc import Callable
from typing import Any

from msgspec import structs

from learners.candidate import Candidate, Origin, Rest
from learners.definition import BLEND
from learners.errors import MeanderError
from learners.lineage import Descent, Kind, Transition
from learners.roster import BLEND_NUMBER, Kept, Member, Mode, Roster
from learners.scores import Score
from stream.processing.learn import Learn


def taken(learn: Learn, repair: bytes, origin: Origin) -> Candidate:
    """Return everything learned: the models of the pool, and all that decides how they answer.

    Parameters
    ----------
    repair
        The state of the contract's repairs.
    origin
        What was learned from.
    """
    roster = learn.roster
    rest = Rest(
        pool=roster.pool.state(),
        rules={
            rule.slot: (rule.number, rule.estimator if rule.learns else None, rule.learned)
            for rule in roster.rules
        },
        task=learn.task.state(),
        repair=repair,
        residuals=None if learn.residuals is None else learn.residuals.state(),
        recent=list(learn.conduct.automation.recent),
    )
    models = [_kept(roster, model, model.slot, model.score) for model in roster.models]
    champion = roster.champion.slot
    if champion not in (BLEND, *(m.slot for m in models)):  # dropped: a pool of those that are left
        champion = BLEND if len(models) > 1 else models[0].slot
    return Candidate(origin, models, champion, roster.mode is Mode.CHAMPION, rest)


def version_of(learn: Learn, version: int, learned: int, reached: Callable[[], Origin]) -> Candidate | None:
    """Return a version as it is now, None where it has not learned as much yet, or is not there.

    Where it is the blend these are all its models.

    Parameters
    ----------
    reached
        Returns what was learned from so far.
    """
    roster = learn.roster
    if roster.blends and roster.blend.version == version:
        member, models = roster.blend, roster.models
    else:
        there = (*roster.models, *roster.shadows, *((roster.previous,) if roster.previous else ()))
        found = next((m for m in there if m.version == version and not m.is_blend), None)
        if found is None:
            return None
        member, models = found, [found]
    if member.learned < learned:
        return None
    kept = [_kept(roster, m, m.origin if m.started else m.slot, Score()) for m in models]
    origin = reached()
    since = learn.registry.birth_of(version) or origin.since
    origin = structs.replace(origin, version=roster.name(member), since=since)
    return Candidate(origin, kept, BLEND if member.is_blend else kept[0].slot, True, None)


def _kept(roster: Roster, member: Member, slot: str, score: Score) -> Kept:
    return Kept(
        roster.name(member), member.number, slot, member.origin, member.model, member.estimator,
        member.learned, score,
    )  # fmt: skip


def install(
    learn: Learn, candidate: Candidate, digest: str, reason: str, timestamp: int, position: str
) -> list[Transition]:
    """Put a candidate in the place of what is there, as fresh versions; returns the record of it.

    What was proved, was proved of others: proofs and bets begin anew. A fallback that nobody holds ends
    where the candidate had been answering by itself.

    Raises
    ------
    MeanderError
        When it cannot be; nothing is changed then.
    """
    roster, origin, rest = learn.roster, candidate.origin, candidate.rest
    if not any(model.learned for model in candidate.models):
        raise MeanderError("nothing was learned in it")
    before = roster.name(roster.champion)
    learn.archive.keep(roster.champion, timestamp)
    left = [] if rest is None else [f"{m.slot}: {roster.name(m)}" for m in roster.shadows]
    if rest is not None:
        roster.shadows = []
    whole = rest is not None or candidate.champion == BLEND
    numbers = roster.bring_back(candidate.models, candidate.champion, _descents(candidate), alone=whole)
    if roster.champion.is_blend:
        roster.descent[BLEND_NUMBER] = _descent(origin, origin.version)
    if rest is not None:
        _replace(learn, rest, numbers)
    learn.evidence.new_reign()
    for number in [n for n in learn.evidence.proofs if n not in roster.by_number]:
        learn.evidence.forget(number)
    learn.archive.keep(roster.champion, timestamp)
    learn.conduct.withdraw(Kind.INSTALLED)
    told = [
        Transition(
            kind=Kind.INSTALLED,
            timestamp=timestamp,
            position=position,
            slot=roster.champion.slot,
            from_version=before,
            to_version=roster.name(roster.champion),
            reason=reason,
            evidence=_evidence(digest, origin, left),
        )
    ]
    if rest is not None and candidate.serves and roster.mode is Mode.FALLBACK and not roster.held:
        roster.mode, roster.cause = Mode.CHAMPION, None
        sentence = "The installed champion had proved itself over the same events: it answers from here on."
        told.append(
            Transition(
                kind=Kind.RESUMED,
                timestamp=timestamp,
                position=position,
                slot=roster.champion.slot,
                to_version=roster.name(roster.champion),
                reason=sentence,
            )
        )
    return told


def _descents(candidate: Candidate) -> dict[int, Descent]:
    origin = candidate.origin
    return {
        was.number: _descent(origin, None if origin.version is None else was.name) for was in candidate.models
    }


def _descent(origin: Origin, parent: str | None) -> Descent:
    return Descent(parent, origin.since, origin.until, origin.left_out)


def _replace(learn: Learn, rest: Rest, numbers: dict[int, int]) -> None:
    """Let everything that is no model go on as it was learned with them."""
    roster = learn.roster
    numbers[BLEND_NUMBER] = BLEND_NUMBER
    for rule in roster.rules:
        number, estimator, learned = rest.rules.get(rule.slot, (None, None, 0))
        if number is not None:
            numbers[number] = rule.number
        if rule.learns and estimator is not None:
            rule.estimator, rule.learned, rule.due = estimator, learned, 0
            learn.good.forget(rule.number)
    roster.rearrange()
    roster.pool.adopt(rest.pool, numbers)
    if learn.definition.label.classes != "open":  # in an open set each processor has an order of its own
        learn.task.resume(rest.task)
    if learn.residuals is not None and rest.residuals is not None:
        learn.residuals.resume({numbers[n]: r for n, r in rest.residuals.items() if n in numbers})
    recent = learn.conduct.automation.recent
    recent.clear()
    recent.extend(rest.recent)


def _evidence(digest: str, origin: Origin, left: list[str]) -> dict[str, Any]:
    evidence: dict[str, Any] = {"digest": digest, "learned_until": origin.until.position}
    if origin.version is not None:
        evidence["version"] = origin.version
    if origin.left_out:
        evidence["left_out"] = list(origin.left_out)
    scored = origin.of("since") or origin.of("all")
    if scored is not None:
        evidence |= {"labels": scored.labels, "then": scored.then, "now": scored.now}
    if left:
        evidence["left"] = left
    return evidence
