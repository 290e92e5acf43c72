"""A snapshot written by a release before goes on in this one, with the same answers."""

from pathlib import Path

import pytest

from learners.errors import IncompatibleSnapshotError
from learners.snapshot import Keys, libraries, read_header
from stream.processing.processor import Processor
from tests.golden.keep_snapshot import FOLDER, KEYS, answers, definition

KEPT = sorted(FOLDER.glob("*.snapshot"))


def test_there_is_one() -> None:
    """At least that of the release that began to keep them."""
    assert KEPT


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_snapshot_of_a_release_goes_on(path: Path) -> None:
    """Read, authenticated, and continued: the next predictions are what that release gave, byte for byte.

    Under another Python, it is refused in a sentence that names the way on.
    """
    processor = Processor(definition(), keys=KEYS)
    if read_header(path.read_bytes())[0].libraries["python"] != libraries()["python"]:
        with pytest.raises(IncompatibleSnapshotError, match="meander rebuild"):
            processor.restore(path.read_bytes(), generation=1)
        return
    processor.restore(path.read_bytes(), generation=1)
    assert len(processor.serve.pending) > 0
    assert processor.books.learned > 300
    assert answers(processor) == path.with_suffix(".answers").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_its_key_is_asked_for(path: Path) -> None:
    """Without the key it was signed with nothing of it is opened."""
    with pytest.raises(IncompatibleSnapshotError, match="not known here"):
        Processor(definition(), keys=Keys("some other key of ours")).restore(path.read_bytes())
