"""A partition as a worker holds it, and how it comes back: the newest sound snapshot, then the log."""

import logging
from collections import deque
from functools import partial
from typing import NamedTuple

from learners.definition import Definition
from learners.errors import SnapshotError
from learners.snapshot import Keys, of_another_release
from stream.adapters.lane import Row
from stream.adapters.latest import Latest
from stream.adapters.outbox import Outbox
from stream.messages import Output
from stream.ports import Log, StateStore
from stream.processing.processor import Processor
from stream.processing.recovery import Tail, catch_up, check_identities, first_definition, identities
from stream.processing.states import JournaledStates, StoredStates
from stream.processing.tally import Tally

log = logging.getLogger("meander.worker")


class Partition:
    """One partition's processor, and where its outputs go."""

    def __init__(
        self,
        processor: Processor,
        ends: dict[str, int],
        outbox: Outbox,
        generation: int,
        topics: dict[str, str],
        keep: int,
    ) -> None:
        self.processor, self.outbox = processor, outbox
        self.named: deque[frozenset[str]] = deque(maxlen=keep)  # segments of the snapshots kept in the store
        self.generation = generation  # of its snapshots
        self.topics = topics  # what tells them from others of the same names
        self.ends = ends  # next offset of each output topic, as far as acknowledged
        self.saved: dict[str, int] = {}  # positions in the last snapshot
        self.saved_at: float | None = None  # seconds since 1970
        self.saved_bytes, self.failures, self.failing = 0, 0, False
        self.due = 0.0  # when the next one may be taken
        self.encoding = 0.0  # seconds of processor time that encoding the last one took
        self.tally = Tally(processor)
        self.reached: dict[str, int] = {}  # by topic: time of the last record processed, milliseconds


class Restored(NamedTuple):
    """What a partition goes on from.

    Attributes
    ----------
    processor
        At the end of what the log had.
    ends
        Next offsets of the output topics.
    unsent
        Outputs that the log lacks.
    latest
        What the topic of latest answers has to say of the time since the snapshot.
    saved
        Generation of the newest snapshot; -1: there was none.
    topics
        What tells the topics from others of the same names.
    """

    processor: Processor
    ends: dict[str, int]
    unsent: list[Output]
    latest: list[Row]
    saved: int
    topics: dict[str, str]


def recover(
    definition: Definition,
    number: int,
    store: StateStore,
    keys: Keys,
    history: Log,
    *,
    latest: bool = False,
) -> Restored:
    """Load the newest snapshot that is sound, and run again what the log has since, in journal order.

    Snapshots that are not sound are set aside with their reason.

    Parameters
    ----------
    latest
        Whether there is a topic of latest answers.

    Raises
    ------
    SnapshotError
        One of its kinds: sound, but not for this definition, these libraries or these keys.
    LostStateError
        When the log has lost what follows the snapshot.
    """
    processor = Processor(definition, number, keys=keys)
    starts: dict[str, int] = {}
    known: dict[str, str] = {}
    kept = store.load(number)
    for stored in kept:
        try:
            read = partial(store.read, number)
            facts = processor.restore(stored.read(), stored.generation, read)
            if "outputs" not in facts:
                raise of_another_release("no ends of outputs")
            starts, known = facts["outputs"], facts.get("topics", {})
            break
        except SnapshotError as error:
            if type(error) is not SnapshotError:
                raise  # sound, but not for this definition or these libraries: a person decides
            log.warning("snapshot.refused partition=%d reason=%s", number, error)
            store.set_aside(number, stored.name, str(error))
            processor = Processor(definition, number, keys=keys)
    check_identities(history, number, known)
    tail = Tail(history, number, starts)
    if not starts:
        processor = Processor(first_definition(definition, tail), number, keys=keys)
    before = dict(processor.next)

    def progress(count: int) -> None:
        if count % 50_000 == 0:
            log.info("catching.up partition=%d records=%d", number, count)

    states = StoredStates(partial(store.get, number), lambda: keys)
    processor.states = JournaledStates(states, tail.installed, tail.refused)
    told = Latest(processor.codec) if latest else None
    unsent = list(catch_up(processor, history, tail, progress, told.take if told else None))
    processor.states = states
    processor.forget_counts()  # what is run again was counted before
    if processor.redefine(definition):
        log.info("definition.changed partition=%d reason=%s", number, processor.untold[-1].reason)
    processor.keep_clear_of(store.segments(number))
    again = sum(processor.next.values()) - sum(before.values())
    log.info("partition.ready partition=%d from=%s again=%d unsent=%d", number, before, again, len(unsent))
    saved = max((stored.generation for stored in kept), default=-1)
    rows = told.rows() if told else []
    return Restored(processor, tail.ends, unsent, rows, saved, identities(history))
