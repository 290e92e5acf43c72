"""From a snapshot to the present: inputs run again in journal order, and nothing goes out twice.

The same code serves the worker after a crash and ``meander replay --topic``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from learners.definition import Definition, parse_definition
from learners.errors import LostStateError
from learners.lineage import Kind, Transition
from stream.messages import Output, Record
from stream.ports import Log
from stream.processing.journal import SOURCES, Mark, in_order, parse_mark
from stream.processing.processor import Processor
from stream.processing.states import REFUSED_INSTALL

Change = tuple[dict[str, Any], dict[str, Any]]
_TELLING = (b'"redefined"', b'"installed"', REFUSED_INSTALL.encode())
OUTPUTS = ("predictions", "transitions", "dead-letters")
REMEDY = (
    "Restore the records, or go on without them: stop all workers, then run "
    "meander rebuild DEFINITION --accept-loss"
)


def identities(log: Log) -> dict[str, str]:
    """Return what tells each topic from another of its name, where the broker can tell."""
    found = {topic: log.identity(topic) for topic in (*SOURCES, *OUTPUTS)}
    return {topic: identity for topic, identity in found.items() if identity}


def check_identities(log: Log, partition: int, known: Mapping[str, str]) -> None:
    """Make sure that the topics are those that a snapshot stands on.

    Raises
    ------
    LostStateError
        When one was deleted and made anew, however many records it holds by now.
    """
    for topic, identity in identities(log).items():
        if known.get(topic, identity) != identity:
            raise LostStateError(
                f"{topic}[{partition}] is another topic than the one the state stands on: it was deleted and "
                f"made anew. {REMEDY}"
            )


class Tail:
    """What the output topics hold from some offsets on.

    Attributes
    ----------
    marks
        One for each output: the journal.
    emitted
        Topic and source of every output that went out.
    ends
        Next offset of each output topic when it was read.
    redefined
        By source and offset of the first input they hold for: definitions, before and after each change.
    installed
        By position of the command: the transition that says that a rebuilt state was installed.
    refused
        By position of the command: why one was not.
    """

    def __init__(self, log: Log, partition: int, starts: Mapping[str, int]) -> None:
        self.marks: list[Mark] = []
        self.emitted: set[tuple[str, str]] = set()
        self.ends: dict[str, int] = {}
        self.redefined: dict[tuple[str, int], list[Change]] = {}
        self.installed: dict[str, Transition] = {}
        self.refused: dict[str, str] = {}
        for topic in OUTPUTS:
            first, end = log.bounds(topic, partition)
            self.ends[topic] = end
            start = starts.get(topic, first)
            if start > end:
                raise LostStateError(
                    f"{topic}[{partition}] ends at {end}, but the snapshot knows records up to {start}: "
                    f"the topic was made anew. {REMEDY}"
                )
            for record in log.read(topic, partition, max(start, first), end):
                # our own come first: a dead letter may carry others of the same names, from its input
                headers = dict(reversed(record.headers))
                if "meander-source" not in headers:
                    raise LostStateError(
                        f"{topic}[{partition}] offset {record.offset} was not written by Meander. "
                        "Only workers may write to output topics."
                    )
                source = headers["meander-source"].decode()
                self.emitted.add((topic, source))
                mark = parse_mark(source, headers["meander-inputs"].decode())
                self.marks.append(mark)
                if topic == "transitions":
                    self._note_change(mark, record.value or b"")

    def _note_change(self, mark: Mark, value: bytes) -> None:
        if not any(word in value for word in _TELLING):
            return
        transition = msgspec.json.decode(value, type=Transition)
        if transition.kind is Kind.REDEFINED and transition.definitions is not None:
            self.redefined.setdefault((mark.source, mark.offset), []).append(transition.definitions)
        elif transition.kind is Kind.INSTALLED:
            self.installed[transition.position] = transition
        elif transition.kind is Kind.REJECTED and transition.reason.startswith(REFUSED_INSTALL):
            self.refused[transition.position] = transition.reason[len(REFUSED_INSTALL) : -1]

    def changes(self) -> list[Change]:
        """Return all changes of the definition, in order."""
        return [change for changes in self.redefined.values() for change in changes]

    def redefine(self, processor: Processor, record: Record) -> None:
        """Let another definition hold from this record on, where it did."""
        changes = self.redefined.get((record.source, record.offset), ())
        for _, after in changes[len(processor.untold) :]:  # what a snapshot knows already is told by itself
            processor.redefine(parse_definition(after))


def first_definition(definition: Definition, tail: Tail) -> Definition:
    """Return what the deployment began with, where the definition is another by now and the outputs tell."""
    changes = tail.changes()
    return parse_definition(changes[0][0]) if changes else definition


def begin(processor: Processor, log: Log) -> None:
    """Let a new processor begin where the inputs begin: retention may have taken some before it was born."""
    for source in SOURCES:
        processor.next[source] = log.bounds(source, processor.partition)[0]


def catch_up(
    processor: Processor,
    log: Log,
    tail: Tail,
    progress: Callable[[int], None] | None = None,
    told: Callable[[Record, list[Output]], None] | None = None,
) -> Iterator[Output]:
    """Run inputs again up to the last output; yield outputs that had not gone out.

    Parameters
    ----------
    processor
        Restored, or new.
    log, tail
        The topics.
    progress
        Called with each number of records done.
    told
        Called with each record and all that came of it, whether it had gone out or not.

    Raises
    ------
    LostStateError
        When the log no longer holds what follows the snapshot.
    """
    partition = processor.partition
    inputs: dict[str, Iterator[Record]] = {}
    if not tail.marks and not any(processor.next.values()):
        begin(processor, log)
    for source in SOURCES:
        first, end = log.bounds(source, partition)
        start = processor.next[source]
        if start < first:
            raise LostStateError(
                f"{source}[{partition}] begins at {first}, but the state stands at {start}: retention took "
                f"what is between. {REMEDY}"
            )
        if start > end:
            raise LostStateError(
                f"{source}[{partition}] ends at {end}, but the state stands at {start}: the topic was made "
                f"anew. {REMEDY}"
            )
        inputs[source] = log.read(source, partition, start, end)
    for count, record in enumerate(in_order(tail.marks, inputs), 1):
        tail.redefine(processor, record)
        outputs = processor.process(record)
        if told is not None:
            told(record, outputs)
        for output in outputs:
            if (output.topic, output.source) not in tail.emitted:
                yield output
        if progress is not None:
            progress(count)
