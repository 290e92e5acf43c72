"""A worker that was away: labels and events both have a backlog, and Kafka gives them unevenly."""

import itertools
import json

import pytest

from producers.scenarios import Scenario, Segment
from stream.app import open_log
from tests.integration.test_worker import dated, deploy, send, stop, wait_for_predictions, worker

__all__ = ["deploy"]  # the fixture

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]
EVENTS = 8_000


def test_no_label_of_a_backlog_is_lost(deploy):
    """Its event is read in time, and time does not pass without it: though memory and patience are short.

    A few hundred labels may wait for their event, and events for their label as long as 2,000 others take.
    """
    label = {"classes": ["kept", "returned"], "early_limit": 500, "ttl": "2s", "idle": "1s"}
    settings = deploy(label=label)
    send(settings, itertools.islice(dated(Scenario((Segment(EVENTS),))), EVENTS), delay=100)
    with worker(settings) as child:
        wait_for_predictions(settings, EVENTS, child)
        stop(child)
    with open_log(settings) as log:
        told = list(log.read("status", 0, *log.bounds("status", 0)))
    books = json.loads(told[-1].value or b"")["standing"]["books"]
    assert (books["learned"], books["late"], books["unmatched"]) == (EVENTS, 0, 0)
