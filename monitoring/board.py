"""The projection of ``status`` and ``transitions`` that everybody looks at: fed records, asked for views."""

from bisect import insort
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from learners.lineage import Kind, Transition
from monitoring.sentences import TITLES, sentence_of, short
from monitoring.view import (
    AdviceRow,
    Estimate,
    Figures,
    Happening,
    History,
    KeptRow,
    MemberRow,
    PartitionRow,
    Point,
    Question,
    SignalRow,
    View,
)
from stream.processing.standing import BLIND, CHANGES, MemberStanding, Status
from stream.processing.tally import DELAY_EDGES, LATENCY_EDGES

WINDOW = 10_000  # milliseconds that rates look back
SILENT = 5000  # milliseconds after which a partition that says nothing has no worker
STEP = 2000  # milliseconds between two points of a curve
POINTS = 900
HAPPENINGS = 400
COVERS = 0.9  # share of the events that a rule must answer to stand for the rules
TOGETHER = 60_000  # milliseconds within which the same in several partitions counts as one
UNCHANGED = frozenset({Kind.SIGNAL_ENDED, Kind.ARCHIVED})  # they raise the revision, but nobody else answers
QUIET = frozenset({Kind.ORDERED, Kind.EXPIRED})


class Board:
    """What is known of all partitions, whoever holds them.

    Parameters
    ----------
    deployment, task
        Of what.
    expected
        How many partitions there should be.
    show_values
        Whether values of features are told.

    Attributes
    ----------
    commands
        By command id, what each partition made of it: a transition.
    """

    def __init__(self, deployment: str, task: str, expected: int, show_values: bool = False) -> None:
        self.deployment, self.task, self.expected = deployment, task, expected
        self._show_values = show_values
        self.statuses: dict[int, Status] = {}
        self.commands: dict[str, dict[int, Transition]] = {}
        self._before: dict[int, deque[Status]] = {}
        self._points: dict[int, deque[Point]] = {}
        self._log: list[tuple[int, int, int, int, Transition]] = []  # order of the first three; record's time
        self._happenings: list[Happening] | None = None
        self._arrived = 0
        self._reached: dict[int, int] = {}  # by partition: latest record time

    def take_status(self, status: Status) -> None:
        """Take one record of the status topic."""
        number = status.standing.partition
        known = self.statuses.get(number)
        if known is not None and known.at > status.at:
            return  # a worker that was replaced and has not noticed
        before = self._before.setdefault(number, deque())
        if before and before[-1].worker != status.worker:
            before.clear()  # its histograms begin anew
        before.append(status)
        while before[0].at < status.at - WINDOW:
            before.popleft()
        self.statuses[number] = status
        points = self._points.setdefault(number, deque(maxlen=POINTS))
        if not points or status.at - points[-1].at >= STEP:
            points.append(_point([status], status.at))

    def take_transition(self, partition: int, at: int, transition: Transition) -> None:
        """Take one record of the transitions topic; ``at`` is the record's time."""
        if transition.command is not None:
            # the first counts: where a command comes again, that it is refused is no news of it
            self.commands.setdefault(transition.command, {}).setdefault(partition, transition)
            if len(self.commands) > HAPPENINGS:
                del self.commands[next(iter(self.commands))]
        if transition.kind in QUIET:
            return
        self._arrived += 1  # within a partition the order of arrival is that of the log
        # and a command is carried out before events that were written earlier, so that times may go back
        reached = self._reached[partition] = max(at, self._reached.get(partition, at))
        insort(self._log, (reached, partition, self._arrived, at, transition), key=lambda entry: entry[:3])
        del self._log[:-HAPPENINGS]
        self._happenings = None

    def _told(self) -> list[Happening]:
        """Return what happened, oldest first, the same in several partitions as one.

        It follows from the records alone, in whatever order the partitions were read.
        """
        if self._happenings is None:
            found: list[Happening] = []
            for _, partition, _, at, transition in self._log:
                known = next(
                    (
                        h
                        for h in reversed(found)
                        if abs(at - h.at) <= TOGETHER
                        and partition not in h.partitions
                        and _same(h, transition)
                    ),
                    None,
                )
                if known is None:
                    new = _happening(len(found) + 1, at, partition, transition)
                    if self._show_values:
                        new.detail = _detail(transition)
                    found.append(new)
                else:
                    known.partitions = sorted((*known.partitions, partition))
            self._happenings = found
        return self._happenings

    def revision(self, partition: int | None) -> int:
        """Return the summed revision of the partitions shown."""
        return sum(status.standing.revision for status in self._shown(partition))

    def numbers(self) -> list[int]:
        """Return every partition there should be."""
        return sorted({*range(self.expected), *self.statuses})

    def _shown(self, partition: int | None) -> list[Status]:
        if partition is None:
            return [self.statuses[number] for number in sorted(self.statuses)]
        return [self.statuses[partition]] if partition in self.statuses else []

    # -- views -------------------------------------------------------------------------------------

    def view(self, partition: int | None, now: int) -> View:
        """Return what the page shows of one partition, or of all (None), at a time in milliseconds."""
        shown = self._shown(partition)
        numbers = self.numbers() if partition is None else [partition]
        rows = [self._row(number, now) for number in numbers]
        alive = [s for s in shown if now - s.at <= SILENT]
        happenings = [h for h in reversed(self._told()) if partition is None or partition in h.partitions]
        serving, sentence, why = sentence_of(rows, self.deployment)
        changes = [h for h in happenings if h.kind in CHANGES and h.kind not in UNCHANGED]
        change = next(iter(changes), None)
        if any(row.serving == "fallback" for row in rows):  # whatever challengers did since
            change = next((h for h in changes if h.kind == Kind.FELL_BACK), change)
        if change is not None:
            title = TITLES.get(change.kind, change.kind.replace("_", " "))
            why = f"{why} Last change: {title}{f' ({change.slot})' if change.slot else ''}.".strip()
        dead: Counter[str] = Counter()
        for status in shown:
            dead.update(status.standing.books.dead_letters)
        return View(
            deployment=self.deployment,
            task=self.task,
            scope="all" if partition is None else str(partition),
            at=now,
            expected=self.expected,
            serving=serving,
            sentence=sentence,
            why=why,
            revision=self.revision(partition),
            frozen=sum(row.frozen for row in rows),
            fallback=sum(row.serving == "fallback" for row in rows),
            figures=self._figures(shown, sum(dead.values())),
            estimate=_estimate(shown),
            question=_question(alive or shown),
            signals=self._signals(partition),
            happenings=happenings[:40],
            dead_letters=dict(dead.most_common()),
            partitions=rows,
            members=_members(shown),
            advice=[
                AdviceRow(
                    partition=s.standing.partition,
                    id=a.id,
                    would=a.would,
                    slot=a.slot,
                    version=short(a.version) or None,
                    reason=a.reason,
                )
                for s in shown
                for a in s.standing.advice
            ],
            policies=sorted({name for s in shown for name in s.standing.policies}),
            kept=[
                KeptRow(partition=s.standing.partition, name=k.name, since=k.since)
                for s in shown
                for k in s.standing.kept
            ],
            point=_point(alive or shown, now),
        )

    def history(self, partition: int | None) -> History:
        """Return the curves of one partition, or the mean over all."""
        if partition is not None:
            return History(list(self._points.get(partition, ())))
        together: dict[int, list[Point]] = {}
        for points in self._points.values():
            for point in points:
                together.setdefault(point.at // STEP, []).append(point)
        return History([_mean_point(together[slot], slot * STEP) for slot in sorted(together)][-POINTS:])

    def _row(self, number: int, now: int) -> PartitionRow:
        status = self.statuses.get(number)
        if status is None:
            return PartitionRow(
                number=number,
                worker=None,
                serving="nobody",
                frozen=False,
                held=False,
                champion=None,
                error=None,
                lag_records=0,
                events_per_second=0.0,
                pending=0,
                snapshot_age=None,
                revision=0,
            )
        standing, silent = status.standing, now - status.at > SILENT
        age = None if status.snapshot_at is None else max(0.0, now / 1000 - status.snapshot_at)
        return PartitionRow(
            number=number,
            worker=None if silent else status.worker,
            serving="nobody" if silent else standing.mode,
            frozen=standing.frozen,
            held=standing.held,
            champion=standing.champion,
            error=standing.served_recent,
            lag_records=sum(lag[0] for lag in status.lag.values()),
            events_per_second=0.0 if silent else self._rate(number, "events"),
            pending=standing.pending,
            snapshot_age=age,
            revision=standing.revision,
        )

    def _rate(self, number: int, field: str) -> float:
        """Return how fast a count of the books grew lately, per second."""
        before = self._before[number]
        seconds = (before[-1].at - before[0].at) / 1000
        if seconds <= 0:
            return 0.0
        grown = getattr(before[-1].standing.books, field) - getattr(before[0].standing.books, field)
        return max(0.0, float(grown) / seconds)

    def _figures(self, shown: Sequence[Status], dead: int) -> Figures:
        numbers = [s.standing.partition for s in shown]
        worst = max(
            ((lag[1], lag[0], s.standing.partition) for s in shown for lag in s.lag.values()),
            default=(0.0, 0, None),
        )
        workers = {s.worker: s.standing.partition for s in shown}
        latency = self._grown(workers.values(), "latency", len(LATENCY_EDGES) + 1)
        delay = self._grown(workers.values(), "delay", len(DELAY_EDGES) + 1)
        per_second = sum(self._rate_of_dead(number) for number in numbers)
        return Figures(
            error_served=_mean(s.standing.served_recent for s in shown),
            error_rules=_mean(_best_rule(s) for s in shown),
            events_per_second=sum(self._rate(number, "events") for number in numbers),
            labels_per_second=sum(self._rate(number, "labels") for number in numbers),
            latency_median=_quantile(latency, LATENCY_EDGES, 0.5),
            latency_99=_quantile(latency, LATENCY_EDGES, 0.99),
            lag_records=sum(lag[0] for s in shown for lag in s.lag.values()),
            lag_seconds=worst[0],
            lag_partition=worst[2] if worst[1] else None,
            delay_median=_quantile(delay, DELAY_EDGES, 0.5),
            delay_95=_quantile(delay, DELAY_EDGES, 0.95),
            pending=sum(s.standing.pending for s in shown),
            pending_share=max((s.standing.pending / s.standing.pending_limit for s in shown), default=0.0),
            dead_letters=dead,
            dead_letters_per_minute=60 * per_second,
            unaccounted=sum(abs(s.standing.unaccounted) for s in shown),
        )

    def _signals(self, partition: int | None) -> list[SignalRow]:
        """Return what was signalled, the newest first, as far as it is remembered."""
        rows: dict[tuple[str, str | None], SignalRow] = {}
        for _, number, _, at, transition in self._log:
            if transition.kind not in (Kind.SIGNAL, Kind.SIGNAL_ENDED) or partition not in (None, number):
                continue
            evidence = transition.evidence
            feature = str(evidence["feature"]) if evidence.get("feature") else None
            key = kind, feature = str(evidence.get("signal", "concept")), feature
            over = transition.kind is Kind.SIGNAL_ENDED
            row = rows.pop(key, None)  # put back at the end: in order of the last one
            if row is None:
                row = SignalRow(
                    kind=kind, feature=feature, count=0, partitions=[], at=at, over=over, about=""
                )
            row.count += not over
            detail = _detail(transition) if self._show_values else None
            row.at, row.over = at, over
            row.about = f"{transition.reason} {detail}" if detail else transition.reason
            row.partitions = sorted({*row.partitions, number})
            rows[key] = row
        return list(reversed(rows.values()))

    def _rate_of_dead(self, number: int) -> float:
        before = self._before[number]
        seconds = (before[-1].at - before[0].at) / 1000
        old, new = (sum(s.standing.books.dead_letters.values()) for s in (before[0], before[-1]))
        return max(0.0, (new - old) / seconds) if seconds > 0 else 0.0

    def _grown(self, numbers: Iterable[int], field: str, length: int) -> list[int]:
        """Return what a histogram gained lately, over the workers; else, where nothing came, all it has."""
        gained, whole = [0] * length, [0] * length
        for number in numbers:
            before = self._before[number]
            old, new = getattr(before[0], field), getattr(before[-1], field)
            for i, (a, b) in enumerate(zip(old, new, strict=True)):
                gained[i] += b - a
                whole[i] += b
        return gained if any(gained) else whole


def _estimate(shown: Sequence[Status]) -> Estimate:
    standings = [s.standing for s in shown]
    waits = [s.labels.oldest for s in standings if s.labels.oldest is not None]
    return Estimate(
        error=_mean(s.foreseen.loss for s in standings),
        deviation=_mean(s.foreseen.deviation for s in standings),
        absolute=_mean(s.foreseen.absolute for s in standings),
        answers=sum(s.foreseen.answers for s in standings),
        immature=sum(s.foreseen.immature for s in standings),
        coverage=_mean(s.labels.coverage for s in standings),
        oldest=max(waits, default=None),
        intervals={s.partition: i for s in standings if (i := s.foreseen.interval) is not None},
        blind=BLIND,
    )


def _happening(number: int, at: int, partition: int, transition: Transition) -> Happening:
    evidence = transition.evidence
    is_signal = transition.kind is Kind.SIGNAL
    return Happening(
        number=number,
        at=at,
        kind=str(transition.kind),
        slot=transition.slot,
        before=transition.from_version,
        after=transition.to_version,
        reason=transition.reason,
        operator=transition.requested_by,
        command=transition.command,
        signal=str(evidence.get("signal", "concept")) if is_signal else None,
        feature=str(evidence["feature"]) if evidence.get("feature") else None,
        detail=None,
        partitions=[partition],
    )


def _detail(transition: Transition) -> str | None:
    """Return what a transition says of features' values; kept from its sentence."""
    found = transition.evidence.get("where") or transition.evidence.get("error")
    return None if found is None else str(found)


def _same(known: Happening, transition: Transition) -> bool:
    """Whether this is what another partition went through a moment ago, whatever its own numbers were."""
    if transition.command is not None or known.command is not None:
        return known.command == transition.command and known.kind == str(transition.kind)
    versions = short(transition.from_version), short(transition.to_version)
    return (known.kind, known.slot, short(known.before), short(known.after)) == (
        str(transition.kind),
        transition.slot,
        *versions,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _best_rule(status: Status) -> float | None:
    """Return the lowest error among rules that answer about everything: others are right about less."""
    members = status.standing.members
    rules = [m for m in members if m.role == "fallback" and m.recent is not None and m.coverage > COVERS]
    return min((m.recent for m in rules if m.recent is not None), default=None)


def _quantile(counts: Sequence[int], edges: Sequence[float], share: float) -> float | None:
    """Return the upper edge, in seconds, of the bucket that a quantile falls in."""
    total = sum(counts)
    if not total:
        return None
    upto = 0
    for count, edge in zip(counts, edges, strict=False):
        upto += count
        if upto >= share * total:
            return edge / 1000
    return edges[-1] / 1000


def _point(shown: Sequence[Status], at: int) -> Point:
    def mean(role: str) -> float | None:
        return _mean(m.recent for s in shown for m in s.standing.members if m.role == role)

    slots = sorted({m.slot for s in shown for m in s.standing.members if m.role == "challenger"})
    challengers = {
        slot: error
        for slot in slots
        if (
            error := _mean(
                m.recent
                for s in shown
                for m in s.standing.members
                if m.slot == slot and m.role == "challenger"
            )
        )
        is not None
    }
    serving = sum(s.standing.mode == "champion" for s in shown)
    return Point(
        at=at,
        served=_mean(s.standing.served_recent for s in shown),
        rules=_mean(_best_rule(s) for s in shown),
        champion=mean("champion"),
        previous=mean("previous"),
        challengers=challengers,
        share=serving / len(shown) if shown else 0.0,
    )


def _mean_point(points: Sequence[Point], at: int) -> Point:
    slots = sorted({slot for point in points for slot in point.challengers})
    means = {slot: _mean(point.challengers.get(slot) for point in points) for slot in slots}
    return Point(
        at=at,
        served=_mean(p.served for p in points),
        rules=_mean(p.rules for p in points),
        champion=_mean(p.champion for p in points),
        previous=_mean(p.previous for p in points),
        challengers={slot: mean for slot, mean in means.items() if mean is not None},
        share=sum(p.share for p in points) / len(points),
    )


def _question(shown: Sequence[Status]) -> Question | None:
    """Choose what is most worth asking: why rules still answer, or why the best challenger does not."""
    for status in shown:
        if status.standing.resume:
            standing = status.standing
            return Question(
                title="Why the champion does not answer yet",
                about="Rules answer until each of these holds.",
                slot=None,
                partition=standing.partition,
                conditions=standing.resume,
            )
    best: tuple[float, Status, MemberStanding] | None = None
    for status in shown:
        for member in status.standing.members:
            if member.conditions and (best is None or (member.wealth or 0.0) > best[0]):
                best = member.wealth or 0.0, status, member
    if best is None:
        return None
    _, status, member = best
    missing = [c.name.lower() for c in member.conditions if not c.met]
    about = f"Waiting for: {', '.join(missing)}." if missing else "Everything holds: the next label decides."
    return Question(
        title=f"Why {member.slot} ({short(member.version)}) is not promoted yet",
        about=f"{about} Compared with champion {short(status.standing.champion)} on the same events.",
        slot=member.slot,
        partition=status.standing.partition,
        conditions=member.conditions,
    )


_ORDER = {"champion": 0, "challenger": 1, "previous": 2, "fallback": 3}


def _members(shown: Sequence[Status]) -> list[MemberRow]:
    groups: dict[tuple[str, str], list[MemberStanding]] = {}
    costs: dict[str, list[float]] = {}
    for status in shown:
        for member in status.standing.members:
            groups.setdefault((member.role, member.slot), []).append(member)
        for slot, seconds in status.costs.items():
            costs.setdefault(slot, []).append(seconds)
    rows = []
    for (role, slot), members in groups.items():
        versions = {short(m.version) for m in members if m.version}
        sizes = [m.size for m in members if m.size is not None]
        wealth = [m.wealth for m in members if m.wealth is not None]
        rows.append(
            MemberRow(
                slot=slot,
                role=role,
                version=versions.pop() if len(versions) == 1 else None,
                recipe=members[0].recipe,
                partitions=len(members),
                error=_mean(m.recent for m in members),
                scored=sum(m.scored for m in members),
                coverage=_mean(m.coverage for m in members if m.scored),
                learned=sum(m.learned for m in members),
                weight=_mean(m.weight for m in members),
                size=sum(sizes) if sizes else None,
                evidence=max(wealth, default=None),
                cost=_mean(costs.get(slot, ())),
            )
        )
    return sorted(rows, key=lambda row: (_ORDER.get(row.role, 9), row.error is None, row.error or 0.0))
