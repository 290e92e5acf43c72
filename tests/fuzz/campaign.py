"""Good events among mutants, through one Processor: ``python -m tests.fuzz.campaign --mutants 200000``.

Checked: nothing raises; the books add up and equal what was counted from outside; no member is ever shown
anything bad (`tests.fuzz.watchful`); and the answers to the good events are, byte for byte, those of a run
that never saw what was refused.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from learners.definition import Definition, parse_definition
from stream.messages import DeadLetter, Output, Prediction, Record
from stream.processing.processor import Processor
from tests.fuzz.mutations import Mutator, encoded

NOW = 1_700_000_000_000
SPAN = 500  # good events until a label is sent, at most


RAW: dict[str, Any] = {
    "name": "fuzz",
    "task": "binary",
    "label": {"classes": ["legit", "fraud"], "ttl": "2h"},
    "features": {
        "amount": {"min": 0, "max": 1000},
        "steady": {"spreads": 50},
        "count": {"type": "integer", "min": -1, "max": 50, "missing": "last", "outliers": "clip"},
        "age": {"min": 0, "max": 120, "missing": "mean", "outliers": "clip"},
        "new": {"type": "boolean"},
        "country": {"type": "category", "categories": ["CH", "DE", "FR"]},
        "shop": {"type": "category", "missing": "constant", "fill": "none"},
        "note": {"type": "text", "missing": "flag"},
        "at": {"type": "time", "missing": "flag"},
    },
    "models": {
        "watchful": {"recipe": "tests.fuzz.watchful:Watchful"},
        "nb": {"recipe": "naive_bayes"},
    },
    "rules": {"large": {"when": "amount > 900 and country != 'CH'", "then": {"fraud": 0.9}}},
    "drift": {"detector": "ADWIN"},
}


def definition() -> Definition:
    """Return a deployment with every type of feature and every policy."""
    return parse_definition(RAW)


class Sent(NamedTuple):
    """A record of a campaign; ``how`` is empty for a good one."""

    record: Record
    how: str


def good_event(rng: random.Random, number: int, now: int) -> dict[str, Any]:
    """Return an event that keeps the contract."""
    features: dict[str, Any] = {
        "amount": round(rng.expovariate(1 / 200) % 1000, 2),
        "steady": rng.gauss(0, 1),
        "count": rng.randrange(10),
        "age": rng.uniform(18, 90),
        "new": rng.random() < 0.3,
        "country": rng.choice(("CH", "DE", "FR")),
        "shop": f"shop-{rng.randrange(50)}",
        "note": "pay now",
        "at": now,
    }
    for name in ("count", "age", "shop", "note", "at"):
        if rng.random() < 0.05:
            features[name] = None
    return {"id": f"good-event-{number}", "timestamp": now, "features": features}


def truth(event: dict[str, Any], rng: random.Random) -> str:
    """Return the label of a good event; it hangs on the amount, with some noise."""
    return "fraud" if (event["features"]["amount"] > 300) != (rng.random() < 0.1) else "legit"


def campaign(seed: int, mutants: int, share: float = 5 / 6, start: int = NOW) -> Iterator[Sent]:
    """Yield good events, half of them labelled late, with mutants of events, labels and commands between."""
    rng, offsets = random.Random(seed), Counter[str]()
    mutator = Mutator(definition(), random.Random(seed + 1))
    late: list[tuple[int, dict[str, Any]]] = []
    good = made = 0

    def sent(source: str, value: bytes | None, how: str = "", now: int = 0, **more: Any) -> Sent:
        offsets[source] += 1
        record = Record(source, 0, offsets[source] - 1, now, more.pop("key", b"k"), value, **more)
        return Sent(record, how)

    while made < mutants:
        now = start + 1000 * good
        if rng.random() < share:
            made += 1
            source = rng.choices(("events", "labels", "control"), (6, 3, 1))[0]
            message = _seedling(rng, source, made, good, now)
            mutant = mutator.mutant(source, message)
            yield sent(
                source, mutant.value, mutant.how or "unchanged", now, key=mutant.key, headers=mutant.headers
            )
            continue
        event = good_event(rng, good, now)
        label = truth(event, rng)
        if good % 2:
            event["label"] = label
        else:
            late.append((good + rng.randrange(SPAN), {"id": event["id"], "label": label, "timestamp": now}))
        yield sent("events", encoded(event), now=now)
        good += 1
        if good % 50 == 0:
            for when, message in [pair for pair in late if pair[0] <= good]:
                late.remove((when, message))
                yield sent("labels", encoded(message), now=now)
            yield sent("control", encoded({"type": "tick", "timestamp": now}), now=now)
            for action in ("unfreeze", "resume"):  # a mutant may have been a command in order
                command = {"type": "command", "id": f"good-{action}-{good}", "action": action}
                yield sent("control", encoded(command), now=now)


def _seedling(rng: random.Random, source: str, number: int, good: int, now: int) -> dict[str, Any]:
    """Return a good message to make a mutant of; its id is its own, a label's may be a good event's."""
    if source == "events":
        event = good_event(rng, number, now)
        more = {"label": truth(event, rng)} if number % 3 else {}
        return {**event, "id": f"mutant-{number:09d}", **more}
    if source == "labels":
        target = (
            f"good-event-{max(0, good - rng.randrange(60))}"
            if number % 2
            else f"mutant-{rng.randrange(number + 1):09d}"
        )
        return {"id": target, "label": rng.choice(("legit", "fraud", "Fraud")), "timestamp": now}
    if number % 2:
        return {"type": "tick", "timestamp": now}
    return {"type": "command", "id": f"c{number}", "action": "promote", "operator": "o", "target": "nobody"}


def is_refused(record: Record, outputs: list[Output]) -> bool:
    """Whether an input was kept from the model: a dead letter, other than for a label inside an event."""
    reasons = [o.message.reason for o in outputs if isinstance(o.message, DeadLetter)]
    return bool(reasons) and (record.source != "events" or any(reason != "label" for reason in reasons))


class Named(msgspec.Struct):
    """What every event has."""

    id: str


class Result(NamedTuple):
    """What came of a campaign."""

    counts: Counter[str]
    answers: int


def run(seed: int, mutants: int) -> Result:
    """Run a campaign and check everything; raises AssertionError, naming the seed."""
    return check(lambda: campaign(seed, mutants), f"seed {seed}, {mutants} mutants")


def check(stream: Callable[[], Iterable[Sent]], where: str) -> Result:
    """Run a stream, and again without what was refused; check everything.

    Raises
    ------
    AssertionError
        Beginning with ``where``.
    """
    processor, counts, kept = Processor(definition()), Counter[str](), set[int]()
    refused: dict[int, str] = {}  # by number, the id where it was answered
    corrected = 0
    answers: dict[str, bytes] = {}
    for number, (record, how) in enumerate(stream(), 1):
        at = f"{where}: {record.source}:{record.offset} ({how})"
        try:
            outputs = processor.process(record)
            encoded_outputs = [(o.message, processor.codec.encode(o)[0]) for o in outputs]
        except Exception as error:
            raise AssertionError(f"{at}: {record.value!r:.300}") from error
        for message, value in encoded_outputs:
            if isinstance(message, Prediction):
                counts["predictions"] += 1
                if not how:
                    answers[message.id] = value or b""
            elif isinstance(message, DeadLetter):
                counts["dead letters"] += 1
                counts[f"dead letter: {message.reason}"] += 1
                assert how, f"{at}: good {record.value!r} was refused: {message.sentence}"
            else:
                counts[f"transition: {message.kind}"] += 1
                assert message.kind != "failed", f"{at}: a model has seen something bad: {message.reason}"
        counts[record.source] += 1
        counts["mutants"] += bool(how)
        if processor.books.corrected > corrected:  # what an event put right had said before counts
            corrected = processor.books.corrected
            identifier = msgspec.json.decode(record.value or b"", type=Named).id
            kept |= {n for n, name in refused.items() if name == identifier}
        if is_refused(record, outputs):
            refused[number] = next((o.message.id for o in outputs if isinstance(o.message, Prediction)), "")
            counts["refused"] += 1
        else:
            kept.add(number)
        if number % 5000 == 0:
            again = Processor(definition())
            again.restore(processor.snapshot())
            processor = again
    books = processor.books
    assert books.unaccounted == 0, f"{where}: {books}"
    assert (books.events, books.control) == (counts["events"], counts["control"]), where
    assert books.predicted == counts["predictions"], where
    assert sum(books.dead_letters.values()) == counts["dead letters"], where

    reference = Processor(definition())
    for number, (record, how) in enumerate(stream(), 1):
        if number not in kept:
            continue
        for output in reference.process(record):
            if isinstance(output.message, Prediction) and not how:
                value, _ = reference.codec.encode(output)
                answer = answers.pop(output.message.id)
                assert answer == value, f"{where}: answered {answer!r}, without what was refused {value!r}"
                counts["good"] += 1
    assert not answers, f"{where}: {len(answers)} good events were answered in one run only"
    return Result(counts, counts["good"])


def main() -> None:
    """Run one campaign and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="Default: the time.")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.mutants} mutants", flush=True)
    begin = time.perf_counter()
    result = run(chosen.seed, chosen.mutants)
    for name, count in sorted(result.counts.items()):
        print(f"{count:9,}  {name}")
    print(
        f"{result.answers:9,}  answers to good events, all equal to those of a run without what was refused"
    )
    print(f"{time.perf_counter() - begin:9.0f}  seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
