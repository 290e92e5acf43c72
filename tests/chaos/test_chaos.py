"""The short part of the harness, with every store: nothing lost, nothing doubled, nothing learned twice."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import play, table
from tests.chaos.scenarios import Scenario, short

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]
EVENTS = 8_000  # at full rate, for each scenario


SCENARIOS = [*short("files"), *short("redis")]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[f"{s.store}: {s.name}" for s in SCENARIOS])
def test_topics_and_snapshots_tell_one_story(
    request: pytest.FixtureRequest, kafka: str, tmp_path: Path, scenario: Scenario
) -> None:
    """Five kills; all failpoints, each proved; a pause past the session, a worker that joins, SIGTERM."""
    if scenario.store == "redis":
        request.getfixturevalue("redis_program")
    row = play(scenario, tmp_path, kafka, 2000.0, most=EVENTS)
    print(table([row]))
    assert row.verdict.good, row.verdict
    points = sum(act.times for act in row.scenario.acts if act.what == "fail")
    assert row.story.failpoints == points
    assert row.verdict.events >= EVENTS
