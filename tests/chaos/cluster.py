"""Three nodes of Kafka that keep each other's copies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stream.adapters.brokers import HOST, Broker, free_ports, java_kafka


@contextmanager
def three_brokers(folder: Path) -> Iterator[list[Broker]]:
    """Run three nodes, each broker and controller; yields them once all answer."""
    ports = free_ports(6)
    voters = ",".join(f"{number}@{HOST}:{ports[2 + number]}" for number in (1, 2, 3))

    def node(number: int) -> Broker:
        properties = {
            "node.id": str(number),
            "controller.quorum.voters": voters,
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
            "min.insync.replicas": "2",
        }
        pair = (ports[number - 1], ports[2 + number])
        return stack.enter_context(java_kafka(folder / str(number), properties, ports=pair))

    with ExitStack() as stack, ThreadPoolExecutor(3) as together:  # the first is ready with the second
        yield list(together.map(node, (1, 2, 3)))
