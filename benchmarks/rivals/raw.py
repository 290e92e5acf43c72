"""The reference: librdkafka in a bare loop, nothing kept, nothing recovered. ``raw.py [msgspec|stdlib]``."""

import signal
import sys
from collections import defaultdict

from confluent_kafka import Consumer, Producer
from workload import Setup, Work, codec

setup = Setup.read()
decode, encode = codec(sys.argv[1] if len(sys.argv) > 1 else "msgspec")
running = True


def stop(*_: object) -> None:
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
consumer = Consumer(
    {"bootstrap.servers": setup.brokers, "group.id": setup.name, "auto.offset.reset": "earliest"}
)
producer = Producer({"bootstrap.servers": setup.brokers, "queue.buffering.max.messages": 1_000_000})
consumer.subscribe([setup.events])
works: dict[int, Work] = defaultdict(Work)
topic = setup.predictions
while running:
    for message in consumer.consume(1000, 0.005):
        if message.error():
            raise SystemExit(str(message.error()))
        event = decode(message.value())
        partition = message.partition()
        probability = works[partition].step(event.features, event.label)
        producer.produce(
            topic, encode(event.id, event.timestamp, probability), message.key(), partition=partition
        )
    producer.poll(0)
producer.flush()
consumer.close()
