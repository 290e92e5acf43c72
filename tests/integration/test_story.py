"""A day in small on a real Kafka and a real worker: page, metrics, topic and `meander why` tell it alike."""

import io

import pytest
from rich.console import Console

from stream.commands.why import timeline
from stream.story import DAY, tell

pytestmark = pytest.mark.timeout(290)


def test_everybody_tells_the_same_day(kafka: str) -> None:
    """Each chapter comes about in its order, and its end is told alike by all four."""
    said = io.StringIO()
    told = tell(timeline, Console(file=said, width=200), kafka)
    assert len(told) == len(DAY)
    for chapter, accounts in zip(DAY, told, strict=True):
        assert accounts.agree(), chapter.title
        assert accounts.serving == (chapter.serving, chapter.serving), chapter.title
        assert accounts.frozen == (chapter.frozen, chapter.frozen), chapter.title
        assert accounts.sentence in said.getvalue()
    assert told[-1].sentence.startswith("Champion v")
    assert told[-1].topic.count("rolled_back") == 2
