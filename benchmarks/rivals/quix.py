"""Quix Streams: a dataframe of one function, its defaults (at least once, commits every 5 s)."""

from collections import defaultdict
from typing import Any

from quixstreams import Application, message_context
from workload import Setup, Work, answer

setup = Setup.read()
app = Application(
    broker_address=setup.brokers,
    consumer_group=setup.name,
    auto_offset_reset="earliest",
    state_dir=setup.folder,
    loglevel="WARNING",
)
works: dict[int, Work] = defaultdict(Work)


def predict(event: dict[str, Any]) -> dict[str, Any]:
    probability = works[message_context().partition].step(event["features"], event["label"])
    return answer(event["id"], event["timestamp"], probability)


frame = app.dataframe(app.topic(setup.events, value_deserializer="json"))
frame = frame.apply(predict)
frame.to_topic(app.topic(setup.predictions, value_serializer="json"))
app.run()
