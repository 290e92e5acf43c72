"""Whatever happens to the files of a partition, it comes back as it was: from what is sound, and the log."""

import random
import shutil
from pathlib import Path

import pytest

from learners.snapshot import Keys
from stream.adapters.file_store import FileStore
from stream.adapters.partition import recover
from stream.processing.processor import Processor
from tests.support import Inputs, MemoryLog, definition, published

DEFINITION = definition()
KEYS = Keys("known to everybody: for tests only")
SAVED_AT = (40, 80, 120, 130)  # records; of these four the first is not kept


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MemoryLog, Processor]:
    """Return a store with snapshots and segments, the topics, and the state at their end."""
    folder, made = tmp_path_factory.mktemp("worked") / "snapshots", Inputs()
    for n in range(120):
        event = {"id": f"e{n}", "timestamp": n, "features": {"x": n % 7, "y": 1.0}}
        if n % 3 == 0:
            event["label"] = "yes" if n % 2 else "no"
        made.add("events", event, n)
        if n > 20 and n % 3 == 1:
            made.add("labels", {"id": f"e{n - 18}", "label": "yes"}, n)
    log, processor, store = MemoryLog(made.all), Processor(DEFINITION, keys=KEYS), FileStore(folder)
    for number, record in enumerate(made.all):
        log.send(published(processor, output) for output in processor.process(record))
        if number in SAVED_AT:
            ends = {topic: len(sent) for topic, sent in log.outputs().items()}
            data, appended = processor.checkpoint(outputs=ends, generation=3, topics={})
            for piece in appended:
                store.append(0, piece.segment, piece.data)
            store.save(0, data, 3)
    return folder, log, processor


def damage(chance: random.Random, path: Path) -> None:
    """Do one thing to a file that disks, people and full disks do."""
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    how = chance.choice(("flip", "cut", "zero", "grow", "delete"))
    if how == "delete":
        path.unlink()
        return
    if how == "flip":
        data[at] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del data[at:]
    elif how == "zero":
        data[at : at + 64] = bytes(min(64, len(data) - at))
    else:
        data += bytes(chance.randrange(1, 100))
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_change_nothing(
    worked: tuple[Path, MemoryLog, Processor], tmp_path: Path, seed: int
) -> None:
    """Flipped bits, cut, zeroed, grown, deleted: the same state, and nothing is sent twice."""
    folder, log, before = worked
    chance = random.Random(seed)
    for trial in range(8):
        there = tmp_path / str(trial)
        shutil.copytree(folder, there)
        files = sorted(path for path in there.rglob("*") if path.is_file() and path.name != "lock")
        for path in chance.sample(files, chance.choice((1, 1, 2, len(files)))):
            damage(chance, path)
        restored = recover(DEFINITION, 0, FileStore(there), KEYS, log)
        assert restored.unsent == []
        assert restored.processor.books == before.books
        assert restored.processor.next == before.next
        x = {"x": 3.0, "y": 1.0}
        assert restored.processor.learn.roster.champion.ask(x) == before.learn.roster.champion.ask(x)
