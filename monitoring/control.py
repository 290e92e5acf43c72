"""The operator's desk: a request becomes a command for each partition, followed until it took effect."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Annotated
from unicodedata import category

import msgspec
from msgspec import Meta, Struct

from learners.errors import MeanderError
from learners.lineage import Kind, named, short
from monitoring.board import Board
from producers.control import EXPIRY, SHORTEST_REASON
from stream.messages import Action, Command, Name, Sentence
from stream.processing.archive import AT

NEED_TARGET = {
    "promote": "member",
    "drop": "member",
    "approve": "advice",
    "apply": "policy",
    "install": "state",
}
ONE_PARTITION = {
    "approve": "Each partition counts its advice by itself: say which partition.",
    "install": "A state was learned from one partition: say which.",
}
REMEMBERED = 500  # actions
LONGEST_KEY = 255  # characters of an idempotency key
DAY = 86_400_000  # milliseconds


class ActionRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/v1/actions``.

    Attributes
    ----------
    action, target
        What to do, and to which slot or version (``promote`` and ``drop`` need one), advice (``approve``),
        policy (``apply``) or state (``install``: its digest). ``rollback``: to a version whose state is kept;
        left out: to the previous one.
    partition
        Where; left out: everywhere.
    reason
        Why, for the next person: eight characters at the least.
    operator
        Who asks, where no token says so.
    override
        Promote although the policy's conditions are not met.
    if_revision
        What the state's ``revision`` was when the decision was made.
    """

    action: Action
    target: Name | None = None
    partition: Annotated[int, Meta(ge=0)] | None = None
    reason: Sentence
    operator: Name | None = None
    override: bool = False
    if_revision: int | None = None


class ActionState(Struct, kw_only=True):
    """How far an action has come: ``GET /api/v1/actions/{id}``.

    Attributes
    ----------
    id, action, target, operator
        What was asked, by whom.
    status
        ``accepted``, then ``applied`` or ``rejected``; ``partly`` where some partitions rejected it.
    applied, total
        Partitions that carried it out, of how many.
    rejected
        By partition: why not.
    """

    id: str
    action: str
    target: str | None
    operator: str | None
    status: str
    applied: int
    total: int
    rejected: dict[int, str]


class Problem(Struct, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 has it (``application/problem+json``).

    Attributes
    ----------
    type, title, status
        What kind; a sentence; the HTTP status.
    field
        Which field is wrong.
    unmet
        Conditions of the policy that are not met, in words.
    revision
        What the revision is now.
    """

    type: str
    title: str
    status: int
    field: str | None = None
    unmet: list[str] | None = None
    revision: int | None = None


class RefusedError(MeanderError):
    """A request that is not taken: the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


class Desk:
    """Checks requests, sends commands, follows them.

    Parameters
    ----------
    board
        What is known.
    send
        Sends to each partition its command, and returns once that is safe.
    """

    def __init__(self, board: Board, send: Callable[[Mapping[int, Command]], None]) -> None:
        self._board, self._send = board, send
        self._actions: dict[str, tuple[ActionRequest, str | None, list[int]]] = {}

    def plan(
        self, request: ActionRequest, operator: str | None, key: str | None, now: int
    ) -> tuple[str, dict[int, Command]]:
        """Check a request; return the action's id and the commands, none where the key was seen before.

        Parameters
        ----------
        operator
            Whom the token names; None: nobody proved who they are.
        key
            The idempotency key.
        now
            Milliseconds since 1970.

        Raises
        ------
        RefusedError
            With the problem.
        """
        who = operator or request.operator
        identifier = secrets.token_hex(8) if key is None else self._identifier(request, who, key, now)
        if identifier in self._actions:
            return identifier, {}
        partitions = self._partitions(request)
        if (
            identifier in self._board.commands
        ):  # sent by another server, or by this one before it was restarted
            self._remember(identifier, request, who, partitions)
            return identifier, {}
        self._check(request, partitions)
        commands = {
            number: Command(
                id=identifier,
                action=request.action,
                target=request.target,
                operator=who,
                verified=operator is not None,
                reason=request.reason,
                override=request.override,
                if_revision=self._revision(request, number),
                issued_at=now,
                expires_at=now + EXPIRY,
            )
            for number in partitions
        }
        self._remember(identifier, request, who, partitions)
        return identifier, commands

    def _identifier(self, request: ActionRequest, who: str | None, key: str, now: int) -> str:
        """Return the id of the command that an operator's key stands for, the same on every server for a day.

        Partitions carry out an id once, so neither another worker nor a restart makes a second command of it.
        It begins with what the key makes, and ends with what the request makes: that a key came with another
        request is seen wherever the transitions are.
        """
        if not (0 < len(key.strip()) <= LONGEST_KEY and key.isprintable()):
            sentence = (
                f"An Idempotency-Key has 1 to {LONGEST_KEY} printable characters. Make one up, or send none."
            )
            raise _refused(422, "invalid_key", sentence, "Idempotency-Key")
        asked = hashlib.sha256(msgspec.json.encode(request)).hexdigest()[:8]
        today, yesterday = (
            hashlib.sha256(f"{who or ''}\0{key}\0{day}".encode()).hexdigest()[:16]
            for day in (now // DAY, now // DAY - 1)
        )
        for known in (*self._actions, *self._board.commands):
            if known.startswith((today, yesterday)):
                if not known.endswith(asked):
                    sentence = "This Idempotency-Key came with another action before. Use a new one."
                    raise _refused(422, "key_reused", sentence, "Idempotency-Key")
                return known
        return today + asked

    def _remember(
        self, identifier: str, request: ActionRequest, who: str | None, partitions: list[int]
    ) -> None:
        self._actions[identifier] = request, who, partitions
        if len(self._actions) > REMEMBERED:
            del self._actions[next(iter(self._actions))]

    def forget(self, identifier: str) -> None:
        """Forget an action that was not sent."""
        self._actions.pop(identifier, None)

    def send(self, commands: Mapping[int, Command]) -> None:
        """Send commands; returns once they are acknowledged."""
        if commands:
            self._send(commands)

    def state(self, identifier: str) -> ActionState | None:
        """Return how far an action has come; None: it is not known here."""
        if identifier not in self._actions:
            return None
        request, operator, partitions = self._actions[identifier]
        outcomes = self._board.commands.get(identifier, {})
        rejected = {n: t.reason for n, t in sorted(outcomes.items()) if t.kind is Kind.REJECTED}
        applied = len(outcomes) - len(rejected)
        status = "accepted"
        if len(outcomes) >= len(partitions):
            status = "applied" if not rejected else "partly" if applied else "rejected"
        return ActionState(
            id=identifier,
            action=request.action,
            target=request.target,
            operator=operator,
            status=status,
            applied=applied,
            total=len(partitions),
            rejected=rejected,
        )

    def _partitions(self, request: ActionRequest) -> list[int]:
        numbers = self._board.numbers()
        if request.partition is None:
            return numbers
        if request.partition not in numbers:
            raise _refused(
                422, "unknown_partition", f"There is no partition {request.partition}.", "partition"
            )
        return [request.partition]

    def _check(self, request: ActionRequest, partitions: list[int]) -> None:
        for field in ("reason", "operator", "target"):
            if any(category(c) == "Cc" and c not in "\n\r\t" for c in getattr(request, field) or ""):
                raise _refused(422, "unprintable", f"Leave control characters out of the {field}.", field)
        if len("".join(filter(str.isprintable, request.reason)).strip()) < SHORTEST_REASON:
            sentence = f"Say why in {SHORTEST_REASON} characters or more: the next person wants to know."
            raise _refused(422, "reason_too_short", sentence, "reason")
        if request.action in NEED_TARGET and not request.target:
            sentence = f"Say which {NEED_TARGET[request.action]} to {request.action}."
            raise _refused(422, "target_missing", sentence, "target")
        if request.action in ONE_PARTITION and request.partition is None and len(partitions) > 1:
            raise _refused(422, "partition_missing", ONE_PARTITION[request.action], "partition")
        revision = self._board.revision(request.partition)
        if request.if_revision is not None and request.if_revision != revision:
            raise RefusedError(
                Problem(
                    type="changed_meanwhile",
                    title="Something has changed since you looked. Look again, then decide.",
                    status=409,
                    revision=revision,
                )
            )
        if request.action in ("promote", "drop"):
            self._check_target(request, partitions)
        elif request.action in ("approve", "apply"):
            self._check_name(request, partitions)
        elif request.action == "rollback" and request.target and not request.target.startswith(AT):
            self._check_kept(request.target, partitions)

    def _check_target(self, request: ActionRequest, partitions: list[int]) -> None:
        """Refuse a target that no partition has, and a promotion that the policy would not make."""
        statuses = [self._board.statuses[n] for n in partitions if n in self._board.statuses]
        found = [
            member
            for status in statuses
            for member in status.standing.members
            if member.role in ("challenger", "previous")
            and request.target in (member.slot, f"v{member.number}", member.version)
        ]
        if statuses and not found:
            known = sorted({m.slot for s in statuses for m in s.standing.members if m.role == "challenger"})
            sentence = f"No challenger is called {request.target}. There are: {', '.join(known) or 'none'}."
            raise _refused(422, "unknown_target", sentence, "target")
        unmet = sorted({c.name for member in found for c in member.conditions if not c.met})
        if request.action == "promote" and unmet and not request.override:
            raise RefusedError(
                Problem(
                    type="policy_not_met",
                    title="The policy would not promote it yet. Say that you override it, or wait.",
                    status=409,
                    unmet=unmet,
                )
            )

    def _check_kept(self, target: str, partitions: list[int]) -> None:
        """Refuse a version whose state no partition keeps."""
        standings = [self._board.statuses[n].standing for n in partitions if n in self._board.statuses]
        kept = sorted({k.name for s in standings for k in s.kept})
        if standings and not named(short(target), kept):
            sentence = f"No state of {target} is kept. There are: {', '.join(kept) or 'none'}."
            raise _refused(422, "unknown_target", sentence, "target")

    def _check_name(self, request: ActionRequest, partitions: list[int]) -> None:
        """Refuse advice that nobody gave, and a policy that is not for people."""
        standings = [self._board.statuses[n].standing for n in partitions if n in self._board.statuses]
        approve = request.action == "approve"
        known = (
            {a.id for s in standings for a in s.advice}
            if approve
            else {n for s in standings for n in s.policies}
        )
        if standings and request.target not in known:
            what = "No advice that waits" if approve else "No policy for people"
            sentence = f"{what} is called {request.target}. There are: {', '.join(sorted(known)) or 'none'}."
            raise _refused(422, "unknown_target", sentence, "target")

    def _revision(self, request: ActionRequest, partition: int) -> int | None:
        """Name each partition's own revision: what changes between here and there counts too."""
        status = self._board.statuses.get(partition)
        if request.if_revision is None or status is None:
            return None
        return status.standing.revision


def _refused(status: int, kind: str, title: str, field: str | None = None) -> RefusedError:
    return RefusedError(Problem(type=kind, title=title, status=status, field=field))
