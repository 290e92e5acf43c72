"""Faust as its user guide shows it: one agent, typed records, ``await topic.send()``.

Run by ``faust -A faust_agent worker -l info``.
"""

from collections import defaultdict

import faust
from workload import Setup, Work, answer

setup = Setup.read()
app = faust.App(
    setup.name, broker=f"kafka://{setup.brokers}", topic_partitions=setup.partitions, datadir=setup.folder
)


class Event(faust.Record, serializer="json"):
    id: str
    timestamp: int
    features: dict[str, float]
    label: bool


events = app.topic(setup.events, value_type=Event)
predictions = app.topic(setup.predictions, value_serializer="json")
works: dict[int, Work] = defaultdict(Work)


@app.agent(events)
async def predict(stream: faust.StreamT[Event]) -> None:
    async for record in stream.events():
        event = record.value
        probability = works[record.message.partition].step(event.features, event.label)
        await predictions.send(key=record.key, value=answer(event.id, event.timestamp, probability))
