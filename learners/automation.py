"""The policies of a definition at work: trigger, conditions, budget, and the check afterwards.

`Automation` remembers what each policy has seen and done; `due` and `verdict` are pure. What a policy asks
for is carried out, and recorded, by whoever asked.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from learners.definition import Definition, parse_duration
from learners.detectors import Signal
from learners.policies import Policy

BUDGET_SPAN = 20_000  # labels
SERVED, RULES = "served", "rules"  # sides of a check that are no single member


class Memory(Struct):
    """What one policy has seen and done.

    Attributes
    ----------
    acted
        When it acted, in labels; those of the last 20,000 labels.
    signals
        When the signals it waits for came, in labels; the last ``times`` of them.
    next
        For a schedule: when it is due, in events or milliseconds.
    """

    acted: list[int] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    next: int | None = None


class Check(Struct):
    """An action on trial: losses with it, beside losses as they would have been without.

    Attributes
    ----------
    policy
        Its name.
    kind
        The transition's kind.
    number
        The version it was about.
    side, other
        Whose losses are compared: version numbers, `SERVED` or `RULES`; ``other`` None: with ``before``.
    before
        The served loss of late when it was done.
    due
        At how many labels.
    total, other_total, count
        Summed losses of labels that both answered.
    """

    policy: str
    kind: str
    number: int | None
    side: int | str
    other: int | str | None
    before: float
    due: int
    total: float = 0.0
    other_total: float = 0.0
    count: int = 0

    def add(self, loss: float | None, other: float | None) -> None:
        """Take a label's losses; one that a side did not answer does not count."""
        if loss is not None and other is not None:
            self.total += loss
            self.other_total += other
            self.count += 1

    def verdict(self) -> tuple[bool, dict[str, Any]]:
        """Return whether to keep what was done, and the numbers: it is kept if it did no worse."""
        count = self.count or 1
        numbers = {
            "policy": self.policy,
            "loss": self.total / count,
            "without": self.other_total / count,
            "labels": self.count,
        }
        return self.total <= self.other_total, numbers


class Automation:
    """Every policy of a definition with its memory, and the actions on trial.

    Parameters
    ----------
    definition
        Its ``policy`` tables.

    Attributes
    ----------
    recent
        The last labelled events, features and label, as many as a policy may want to learn again.
    """

    def __init__(self, definition: Definition) -> None:
        self.policies = definition.policy
        self.memories = [Memory() for _ in self.policies]
        self.checks: list[Check] = []
        self.scheduled = any(p.on == "schedule" for p in self.policies)
        self.recent: deque[tuple[dict[str, Any], Any]] = deque(
            maxlen=max((p.last for p in self.policies), default=0)
        )

    def observe(
        self, signals: Sequence[Signal], events: int | None, labels: int, time: int
    ) -> list[tuple[int, Signal | None]]:
        """Take what has happened; returns the policies to follow now, by index, each with its signal.

        Parameters
        ----------
        events, labels
            How many there were; schedules are looked at with events alone.
        time
            The watermark, milliseconds.
        """
        found: list[tuple[int, Signal | None]] = []
        for index, (policy, memory) in enumerate(zip(self.policies, self.memories, strict=True)):
            for signal in signals:
                if matches(policy, signal):
                    memory.signals = [*memory.signals, labels][-policy.times :]
                    if is_free(policy, memory, labels):
                        found.append((index, signal))
                        self.acted(index, labels)
            if policy.on != "schedule" or events is None or not self._is_time(policy, memory, events, time):
                continue
            if is_free(policy, memory, labels):
                found.append((index, None))
                self.acted(index, labels)
        return found

    def _is_time(self, policy: Policy, memory: Memory, events: int, time: int) -> bool:
        """Whether a schedule has come round; then it is set to its next time."""
        if isinstance(policy.every, str):
            step, now = parse_duration(policy.every, "policy.every"), time
        else:
            step, now = int(policy.every or 1), events
        if memory.next is None:
            memory.next = now + step
        if now < memory.next:
            return False
        memory.next = now + step
        return True

    def acted(self, index: int, labels: int) -> None:
        """Note that a policy acts."""
        memory = self.memories[index]
        memory.acted = [*(at for at in memory.acted if at > labels - BUDGET_SPAN), labels]
        memory.signals = []

    def state(self) -> Any:
        """Return everything remembered; policies by name."""
        named = {p.name: m for p, m in zip(self.policies, self.memories, strict=True)}
        return named, self.checks, list(self.recent)

    def resume(self, state: Any) -> None:
        """Continue from what `state` returned; policies that are new begin anew."""
        self.memories = [state[0].get(p.name, Memory()) for p in self.policies]
        self.checks = state[1]
        self.recent.extend(state[2])

    def take_over(self, old: "Automation") -> None:
        """Go on where the policies of another definition were; those that say otherwise wait anew."""
        self.resume(old.state())
        before = {policy.name: policy for policy in old.policies}
        for policy, memory in zip(self.policies, self.memories, strict=True):
            if before.get(policy.name, policy) != policy:
                memory.signals, memory.next = [], None


def matches(policy: Policy, signal: Signal) -> bool:
    """Whether a signal is of the kind, about the thing and of the size that a policy waits for.

    >>> policy = Policy(on="concept", of="lr", size=0.1, do="tell")
    >>> [matches(policy, Signal("bet", 0.1, 0.4, 500, member=member)) for member in ("lr", None)]
    [True, False]
    """
    if policy.on != signal.trigger or abs(signal.after - signal.before) < policy.size:
        return False
    about = (signal.member, signal.feature, signal.producer)
    return policy.of is None or policy.of in about or (policy.of == SERVED and not any(about))


def is_free(policy: Policy, memory: Memory, labels: int) -> bool:
    """Whether a policy's conditions hold: labels, cooldown, hysteresis, budget."""
    if labels < policy.labels:
        return False
    if memory.acted and labels - memory.acted[-1] < policy.cooldown:
        return False
    if policy.on not in ("schedule", "command"):
        near = [at for at in memory.signals if at > labels - policy.within]
        if len(near) < policy.times:
            return False
    spent = sum(at > labels - BUDGET_SPAN for at in memory.acted)
    return policy.budget is None or spent < policy.budget
