"""The short part of the harness, with every store: nothing lost, nothing doubled, nothing learned twice."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import play, table
from tests.chaos.scenarios import Store, short

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]
EVENTS = 24_000  # at full rate, for each scenario


@pytest.mark.parametrize("store", ["files", "redis"])
@pytest.mark.parametrize("number", range(len(short("files"))), ids=[s.name for s in short("files")])
def test_topics_and_snapshots_tell_one_story(
    request: pytest.FixtureRequest, kafka: str, tmp_path: Path, store: Store, number: int
) -> None:
    """Five kills; all failpoints, each proved; a pause past the session, a worker that joins, SIGTERM."""
    if store == "redis":
        request.getfixturevalue("redis_program")
    row = play(short(store)[number], tmp_path, kafka, 2000.0, most=EVENTS)
    print(table([row]))
    assert row.verdict.good, row.verdict
    points = sum(act.times for act in row.scenario.acts if act.what == "fail")
    assert row.story.failpoints == points
    assert row.verdict.events >= EVENTS
