"""The reference of the second case: librdkafka, events and labels joined by a dictionary."""

import signal
from collections import defaultdict

import msgspec
from confluent_kafka import Consumer, Producer
from workload import Label, Setup, Work, codec

setup = Setup.read()
decode, encode = codec("msgspec")
decode_label = msgspec.json.Decoder(Label).decode
running = True


def stop(*_: object) -> None:
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
consumer = Consumer(
    {"bootstrap.servers": setup.brokers, "group.id": setup.name, "auto.offset.reset": "earliest"}
)
producer = Producer({"bootstrap.servers": setup.brokers, "queue.buffering.max.messages": 1_000_000})
consumer.subscribe([setup.events, setup.labels])
works: dict[int, Work] = defaultdict(Work)
waiting: dict[str, tuple[dict[str, float], float]] = {}  # predicted, the label not here yet
early: dict[str, bool] = {}  # the label here, not predicted yet
while running:
    for message in consumer.consume(1000, 0.005):
        if message.error():
            raise SystemExit(str(message.error()))
        partition = message.partition()
        work = works[partition]
        if message.topic() == setup.labels:
            label = decode_label(message.value())
            if label.id in waiting:
                work.learn(*waiting.pop(label.id), label.label)
            else:
                early[label.id] = label.label
            continue
        event = decode(message.value())
        probability = work.predict(event.features)
        value = encode(event.id, event.timestamp, probability)
        producer.produce(setup.predictions, value, message.key(), partition=partition)
        if event.id in early:
            work.learn(event.features, probability, early.pop(event.id))
        else:
            waiting[event.id] = event.features, probability
    producer.poll(0)
producer.flush()
consumer.close()
