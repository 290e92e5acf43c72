"""``python -m tests.chaos.takeover``: from the kill of a worker until all its partitions are at the head."""

import statistics
import tempfile
import time
import uuid
from pathlib import Path

import click
from kafka import KafkaConsumer, TopicPartition

from producers.connection import kafka_options
from stream.adapters.brokers import java_kafka
from tests.chaos.scenarios import Scenario
from tests.chaos.soak import FAST
from tests.chaos.stage import PARTITIONS, SESSION, Stage, Watch
from tests.chaos.verifier import source_of

HEAD = 0.5  # seconds of events that may be on their way


class Heads:
    """How many events of each partition there are, and how far the answers have come."""

    def __init__(self, stage: Stage) -> None:
        topic, options = stage.settings.topic, kafka_options(stage.settings.kafka)
        self._events = [TopicPartition(topic("events"), p) for p in range(PARTITIONS)]
        self._answers = [TopicPartition(topic("predictions"), p) for p in range(PARTITIONS)]
        self._consumer = KafkaConsumer(**options, group_id=None)
        self._consumer.assign(self._answers)

    def behind(self) -> int:
        """Return the events that come after the last one answered, in the partition where these are most."""
        ends, answers = self._consumer.end_offsets(self._events), self._consumer.end_offsets(self._answers)
        for tp, end in answers.items():
            self._consumer.seek(tp, max(0, end - 1))
        newest: dict[int, int] = {}
        while len(newest) < PARTITIONS:
            for tp, records in self._consumer.poll(200).items():
                newest[tp.partition] = int(source_of(records[-1]).split(":")[2])
        return max(end - 1 - newest[tp.partition] for tp, end in ends.items())


@click.command()
@click.option("--kills", default=5, show_default=True)
@click.option("--rate", default=1000.0, show_default=True, help="Events a second.")
def main(kills: int, rate: float) -> None:
    """Kill one of two workers, again and again, and time how long the other takes to answer for both."""
    with tempfile.TemporaryDirectory() as name, java_kafka(Path(name) / "kafka") as broker:
        scenario = Scenario("takeover", (), definition={"models": FAST})
        folder, deployment = Path(name) / "stage", f"takeover-{uuid.uuid4().hex[:8]}"
        stage = Stage(scenario, folder, deployment, broker.address, [broker], None, rate, 1, 1 << 40)
        stage.watch, heads, taken = Watch(stage.settings), Heads(stage), []

        def at_head() -> bool:
            return heads.behind() < HEAD * rate / PARTITIONS

        try:
            for child in stage.workers.values():
                child.start()
            stage.wait(lambda: len(stage.held()) == PARTITIONS, "the workers do not share the partitions")
            stage.flood.start()
            stage.wait_for_answers(list(stage.watch.ends))
            for number in range(kills):
                time.sleep(5)  # so that whoever came back holds its share again
                stage.wait(at_head, "the head is not reached")
                victim = 1 + number % 2
                stage.workers[victim].kill()
                began = time.monotonic()
                time.sleep(HEAD + 0.5)  # what it held has fallen behind by more than is allowed
                stage.wait(at_head, "the head is not reached")
                taken.append(time.monotonic() - began)
                click.echo(
                    f"kill {number + 1}: {taken[-1]:.1f} s until the head, of these {SESSION:g} s session"
                )
                before = stage.workers[victim].log.read_text().count("partitions.restored")
                child = stage.workers[victim]
                child.start()
                stage.wait(
                    lambda child=child, before=before: (  # type: ignore[misc]
                        child.log.read_text().count("partitions.restored") > before
                    ),
                    "the one that was killed does not come back",
                )
            stage.flood.stop()
        finally:
            for child in stage.workers.values():
                child.kill()
            stage.watch.stop()
        click.echo(f"median {statistics.median(taken):.1f} s, worst {max(taken):.1f} s")


if __name__ == "__main__":
    main()
