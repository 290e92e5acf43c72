"""The last good version of each member, to go back to when one breaks, and the examples since.

When a version is kept depends on how much the member has learned, and on nothing else: not on when snapshots
were taken, and not on how long anything took. So a replay keeps the same versions and answers alike.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from river import base, compose

from learners import pickling
from learners.definition import Definition
from learners.direct import learner, predictor, weighted_learner
from learners.roster import Member
from learners.tasks import Task

EVERY = 256  # examples between two versions kept, and how many of the last examples are kept
NEVER = 2**62


class Kept(Struct, frozen=True):
    """A pickled estimator, what it had learned, and how many examples there had been in all."""

    data: bytes
    learned: int
    at: int


class LastGood:
    """Keeps versions of members, and the last examples that they all learned without failing.

    Parameters
    ----------
    definition
        Whose recipes pickles may name.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._kept: dict[int, Kept] = {}
        self._recent: deque[tuple[dict[str, Any], Any, float]] = deque(maxlen=EVERY)
        self._count = 0

    def taught(self, x: dict[str, Any], label: Any, weight: float) -> None:
        """Remember an example that every member has learned."""
        self._recent.append((x, label, weight))
        self._count += 1

    def keep(self, member: Member, present: Mapping[int, Member]) -> None:
        """Keep a member as it is, and say in ``member.due`` when next; forget those that left."""
        wait = _wait(member)
        member.due = member.learned + wait
        if wait < NEVER:
            self._kept[member.number] = Kept(pickling.dumps(member.estimator), member.learned, self._count)
        for number in [n for n in self._kept if n not in present]:
            del self._kept[number]

    def forget(self, number: int) -> None:
        """Forget what is kept of a member: it is somebody else now."""
        self._kept.pop(number, None)

    def restore(self, member: Member, task: Task) -> int | None:
        """Put a member back to its last good version and teach it the examples since.

        Where one of these is what broke it, it is put back without them.

        Returns
        -------
        int
            How many examples; None when there is no such version, or it is broken, too.
        """
        kept = self._kept.get(member.number)
        if kept is None:
            return None
        recent = list(self._recent)
        since = min(self._count - kept.at, len(recent))
        for examples in (recent[len(recent) - since :], []):
            estimator = pickling.loads(kept.data, self._definition)
            learn, learn_weighted = learner(estimator), weighted_learner(estimator)
            try:
                for x, label, weight in examples:
                    if weight == 1.0 or learn_weighted is None:
                        learn(x, label)
                    else:
                        learn_weighted(x, label, weight)
                if recent:
                    task.ask(predictor(estimator, task.method), recent[-1][0])
            except Exception:  # noqa: BLE001, S112  whatever it raises, it is of no use
                continue
            member.estimator, member.learned = estimator, kept.learned + len(examples)
            return len(examples)
        return None

    def renew(self, members: Iterable[Member], present: Mapping[int, Member]) -> None:
        """Keep members as they are now, and no examples: those that came may be nobody's to keep any more."""
        for member in members:
            self.keep(member, present)
        self._recent.clear()

    def state(self) -> tuple[dict[int, tuple[bytes, int, int]], list[Any], int]:
        """Return what is kept, of members too who have left and may be brought back, as plain data."""
        kept = {number: (k.data, k.learned, k.at) for number, k in self._kept.items()}
        return kept, list(self._recent), self._count

    def resume(self, state: tuple[dict[int, tuple[bytes, int, int]], list[Any], int]) -> None:
        """Continue from what `state` returned."""
        kept, recent, self._count = state
        self._kept = {number: Kept(*of) for number, of in kept.items()}
        self._recent = deque(recent, maxlen=EVERY)


def _wait(member: Member) -> int:
    """Return how many examples to learn until the next version is kept.

    A linear model is small: every 256. Other models grow with what they learn, so the pause does too, a
    quarter of their age. An ensemble is too dear to keep twice.
    """
    estimator = member.estimator
    model = list(estimator.steps.values())[-1] if isinstance(estimator, compose.Pipeline) else estimator
    if isinstance(model, base.Ensemble):
        return NEVER
    if type(model).__module__.startswith("river.linear_model"):
        return EVERY
    return max(EVERY, member.learned // 4)
