"""Outputs in transactions: who was replaced cannot write any more, whenever it was stopped."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from kafka import KafkaConsumer, TopicPartition

from stream.adapters.lane import Lease, Row, Transactions
from tests.integration.test_brokers import create_topic


async def sender(kafka: str, identifier: str) -> Transactions:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=identifier)
    await producer.start()
    return Transactions(producer)


def committed(kafka: str, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=kafka, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    end, found = consumer.end_offsets([tp])[tp], []
    while consumer.position(tp) < end:
        found += [record.value for record in consumer.poll(timeout_ms=500).get(tp, [])]
    consumer.close()
    return found


def test_who_was_replaced_writes_nothing_any_more(kafka: str, deployment_name: str) -> None:
    """Stopped before its write, or between write and commit: what it had is written once, by the next."""
    topic = f"{deployment_name}.predictions"
    create_topic(kafka, topic)
    lease = Lease(600.0)
    lease.renew(lease.clock())

    async def written(by: Transactions, *values: bytes) -> None:
        rows: list[Row] = [(0, None, value, []) for value in values]
        await by.send_rows(topic, 0, rows, lease)

    async def story() -> None:
        first = await sender(kafka, deployment_name)
        await first.begin()
        await written(first, b"one")
        await first.commit()
        await first.begin()
        await written(first, b"two")  # it is stopped here
        second = await sender(kafka, deployment_name)
        assert await asyncio.to_thread(committed, kafka, topic) == [b"one"]
        await second.begin()
        await written(second, b"two")
        await second.commit()
        with pytest.raises(KafkaError):  # it goes on
            await first.commit()

        await second.begin()  # it is stopped here
        third = await sender(kafka, deployment_name)
        with pytest.raises(KafkaError):  # it goes on
            await asyncio.wait_for(written(second, b"three"), 30)
        await third.begin()
        await written(third, b"three")
        await third.commit()
        for one in (first, second, third):
            one.let_go()
        await asyncio.sleep(1.0)

    asyncio.run(story())
    assert committed(kafka, topic) == [b"one", b"two", b"three"]
