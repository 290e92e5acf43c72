"""What the harness reads of a store, with nothing of a worker running."""

from functools import partial

from learners.errors import SnapshotError
from learners.snapshot import read_header
from stream.adapters.keys import load_keys
from stream.adapters.stores import open_store
from stream.processing.processor import Processor
from stream.settings import Settings


def newest(settings: Settings, partition: int) -> tuple[Processor, dict[str, int]] | None:
    """Return the newest sound snapshot, as a Processor, and the ends of the outputs it knows."""
    store = open_store(settings)
    for stored in store.load(partition):
        processor = Processor(settings.definition, partition, keys=load_keys(settings)[0])
        try:
            read = partial(store.read, partition)
            return processor, processor.restore(stored.read(), stored.generation, read)["outputs"]
        except SnapshotError:
            continue
    return None


def positions(settings: Settings, partition: int) -> dict[str, int]:
    """Return the input positions of the newest snapshot, without opening it."""
    for stored in open_store(settings).load(partition):
        try:
            return dict(read_header(stored.read())[0].facts["next"])
        except SnapshotError:
            continue
    return {}


def unfinished(settings: Settings) -> int:
    """Return whether a write into the file store was under way (1 or 0)."""
    return int(any(settings.folder.rglob("*.writing")))
