"""Bytewax: Kafka source, one map, Kafka sink, no recovery. Run by ``python -m bytewax.run bytewax_flow``."""

from collections import defaultdict
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from workload import Setup, Work, codec

setup = Setup.read()
decode, encode = codec("msgspec")
works: dict[int, Work] = defaultdict(Work)


def predict(message: Any) -> KafkaSinkMessage[bytes | None, bytes | None]:
    event = decode(message.value)
    probability = works[message.partition].step(event.features, event.label)
    return KafkaSinkMessage(message.key, encode(event.id, event.timestamp, probability))


brokers = setup.brokers.split(",")
flow = Dataflow("predict")
source = op.input("events", flow, KafkaSource(brokers, [setup.events]))
kop.output("predictions", op.map("predict", source, predict), brokers=brokers, topic=setup.predictions)
