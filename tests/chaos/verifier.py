"""The judge: knows topics and snapshots, and nothing of what was done."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct, field

from stream.adapters.kafka_log import KafkaLog
from stream.app import open_log
from stream.messages import Record
from stream.processing.journal import SOURCES
from stream.processing.processor import Processor
from stream.processing.recovery import begin
from stream.replay import FILES, journal
from stream.settings import Settings
from tests.chaos.snapshots import newest
from tests.golden.reference import relearn

PROBES = 100
REFUSALS = ("undecodable", "envelope", "schema_version", "too_large")


class Verdict(Struct):
    """Counts over all partitions; everything but the first four is to be 0.

    Attributes
    ----------
    events, predictions, transitions, letters
        Records on the topics.
    missing, doubled, out_of_order
        Of predictions, transitions and dead letters.
    different
        Outputs that are not, byte for byte, what a replay of the topics gives.
    learned_twice, not_learned
        Examples, by the restored members' own count beside that of the plain loop.
    wrong_probes
        Of the restored members' answers to 100 probe events, those that are not the plain loop's.
    off_the_books
        Sum of all differences between the books in the snapshots and what stands on the topics.
    remarks
        The first of each kind, in words.
    """

    events: int = 0
    predictions: int = 0
    transitions: int = 0
    letters: int = 0
    missing: int = 0
    doubled: int = 0
    out_of_order: int = 0
    different: int = 0
    learned_twice: int = 0
    not_learned: int = 0
    wrong_probes: int = 0
    off_the_books: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (
            self.missing
            or self.doubled
            or self.out_of_order
            or self.different
            or self.learned_twice
            or self.not_learned
            or self.wrong_probes
            or self.off_the_books
        )

    def note(self, what: str) -> None:
        """Keep a remark, of the first few."""
        if len(self.remarks) < 12:
            self.remarks.append(what)


def judge(settings: Settings) -> Verdict:
    """Read everything there is of a deployment and say what is wrong with it."""
    verdict = Verdict()
    with open_log(settings) as log:
        for partition in range(settings.partitions):
            topics = {
                topic: list(log.read(topic, partition, *log.bounds(topic, partition)))
                for topic in (*SOURCES, *FILES)
            }
            verdict.events += len(topics["events"])
            verdict.predictions += len(topics["predictions"])
            verdict.transitions += len(topics["transitions"])
            verdict.letters += len(topics["dead-letters"])
            _answers(topics, partition, verdict)
            _replayed(settings, topics, partition, log, verdict)
            _learned(settings, topics, partition, verdict)
    return verdict


def source_of(record: Record) -> str:
    """Return the journal header that says which input caused an output."""
    return dict(reversed(record.headers))["meander-source"].decode()


def _answers(topics: dict[str, list[Record]], partition: int, verdict: Verdict) -> None:
    """Every event that deserves an answer has one, in the order of the events: by JSON and headers alone."""
    expected: dict[str, str] = {}
    seen: set[str] = set()
    for record in topics["events"]:
        try:
            event = json.loads(record.value or b"")
            identifier, features = event["id"], event["features"]
        except (ValueError, KeyError):
            continue
        if isinstance(identifier, str) and isinstance(features, dict) and identifier not in seen:
            seen.add(identifier)
            expected[f"events:{partition}:{record.offset}"] = identifier
    found = [(source_of(r), json.loads(r.value or b"")["id"]) for r in topics["predictions"]]
    count = Counter(source for source, _ in found)
    for source, identifier in expected.items():
        if source not in count:
            verdict.missing += 1
            verdict.note(f"no answer to {source} ({identifier})")
    for source, number in count.items():
        if source not in expected:
            verdict.different += 1
            verdict.note(f"an answer to {source}, which deserves none")
        elif number > 1:
            verdict.doubled += number - 1
            verdict.note(f"{number} answers to {source}")
    verdict.different += sum(expected.get(source, identifier) != identifier for source, identifier in found)
    offsets = [int(source.split(":")[2]) for source, _ in found]
    wrong = sum(b <= a for a, b in pairwise(offsets))
    if wrong:
        verdict.out_of_order += wrong
        verdict.note(f"predictions[{partition}]: {wrong} steps back")


def _replayed(
    settings: Settings, topics: dict[str, list[Record]], partition: int, log: KafkaLog, verdict: Verdict
) -> None:
    """What went out is what `meander replay --topic` gives: value, key, headers, order."""
    processor = Processor(settings.definition, partition)
    begin(processor, log)
    replayed: dict[str, list[tuple[str, Any]]] = {topic: [] for topic in FILES}
    for record in journal(log, partition):
        for output in processor.process(record):
            value, headers = processor.codec.encode(output)
            replayed[output.topic].append((output.source, (output.key, value, headers)))
    for topic, outputs in replayed.items():
        there = [(source_of(r), (r.key, r.value, list(r.headers))) for r in topics[topic]]
        count, wanted = Counter(source for source, _ in there), dict(outputs)
        if topic != "predictions":  # those were counted from the events
            missing = [source for source in wanted if source not in count]
            verdict.missing += len(missing)
            doubled = [source for source, number in count.items() if number > 1]
            verdict.doubled += sum(count[source] - 1 for source in doubled)
            order = {source: i for i, (source, _) in enumerate(outputs)}
            places = [order[source] for source, _ in there if source in order]
            wrong = sum(b < a for a, b in pairwise(places))
            verdict.out_of_order += wrong
            if missing or doubled or wrong:
                verdict.note(
                    f"{topic}[{partition}]: missing {missing[:3]} doubled {doubled[:3]} back {wrong}"
                )
        different = [source for source, content in there if wanted.get(source) != content]
        verdict.different += len(different)
        if different:
            verdict.note(f"{topic}[{partition}]: other than replayed: {different[:3]}")


def _learned(settings: Settings, topics: dict[str, list[Record]], partition: int, verdict: Verdict) -> None:
    """The restored members are what a plain loop learns from the topics; the books add up."""
    restored = newest(settings, partition)
    if restored is None:
        verdict.off_the_books += 1
        verdict.note(f"partition {partition} has no sound snapshot")
        return
    processor, _ = restored
    names, classes = list(settings.definition.features), list(settings.definition.classes)
    model, learned = relearn(
        ((r.offset, r.value or b"") for r in topics["events"]),
        ((r.offset, r.value or b"") for r in topics["labels"]),
        known(topics["predictions"]),
        names,
        classes,
        {"x": (-100.0, 100.0)},
    )
    member = next(m for m in processor.learn.roster.members if m.slot == "lr")
    verdict.learned_twice += max(0, member.learned - learned)
    verdict.not_learned += max(0, learned - member.learned)
    if member.learned != learned:
        verdict.note(f"partition {partition}: learned {member.learned}, the plain loop {learned}")
    chance = random.Random(partition)
    for _ in range(PROBES):
        x = {name: chance.gauss(0, 2) for name in names}
        verdict.wrong_probes += member.ask(dict(x)) != model.predict_proba_one(x)[True]
    _books(topics, partition, processor, verdict)


def known(predictions: Iterable[Record]) -> list[tuple[int, int]]:
    """Return, for each prediction, the offset of its event and the next offset of labels applied before."""
    known = []
    for record in predictions:
        headers = dict(record.headers)
        before = [part.split("=") for part in headers["meander-inputs"].decode().split(",")]
        labels = [int(n) for name, n in before if name == "labels"]
        known.append((int(headers["meander-source"].decode().split(":")[2]), labels[-1]))
    return known


def _books(topics: dict[str, list[Record]], partition: int, processor: Processor, verdict: Verdict) -> None:
    """What the books in the snapshot say is what the topics hold."""
    books = processor.books

    def letters(source: str, *reasons: str) -> int:
        return sum(
            source_of(r).startswith(source) and dict(r.headers)["meander-reason"].decode() in reasons
            for r in topics["dead-letters"]
        )

    pairs: Sequence[tuple[str, int, int]] = [
        ("events", books.events, len(topics["events"])),
        ("predicted", books.predicted, len(topics["predictions"])),
        ("control", books.control, len(topics["control"])),
        (
            "refused",
            books.refused,
            letters("events", *REFUSALS),
        ),
        ("labels", books.labels, len(topics["labels"]) + _inside(topics)),
        ("unaccounted", books.unaccounted, 0),
        *((f"next {s}", processor.next[s], topics[s][-1].offset + 1 if topics[s] else 0) for s in SOURCES),
    ]
    for name, said, there in pairs:
        if said != there:
            verdict.off_the_books += abs(said - there)
            verdict.note(f"partition {partition}: the books say {name} {said}, the topics {there}")


def _inside(topics: dict[str, list[Record]]) -> int:
    """Return how many events carry a label, each record counted, whatever became of it."""
    count = 0
    for record in topics["events"]:
        try:
            event = json.loads(record.value or b"")
        except ValueError:
            continue
        count += "label" in event and "features" in event
    return count
