"""What metrics add to an event: counts taken once a batch, and one record in some 250 that is timed."""

import time

import click
from stages import definition, records

from stream.messages import Output, Record
from stream.processing.probe import Probe
from stream.processing.processor import Processor
from stream.processing.tally import LATENCY_EDGES, Histogram, Tally

BATCH = 128  # records between two looks at the clock, as in the worker


def counts(processor: Processor, outputs: list[Output]) -> float:
    """Return what counting costs, in microseconds an answer."""
    tally, latency = Tally(processor), Histogram(LATENCY_EDGES)
    ages = [i / 7 for i in range(len(outputs))]
    began = time.process_time()
    processor.books.predicted += len(outputs)
    tally.take("events", outputs)
    latency.add_ages(200.0, ages)
    return (time.process_time() - began) / len(outputs) * 1e6


class Idle(Processor):
    """A processor that does nothing: what is left is the cost of looking."""

    def process(self, record: Record) -> list[Output]:
        """Give nothing."""
        return []


def looking(data: list[Record]) -> float:
    """Return what the probe adds, in microseconds an event."""
    idle, probe = Idle(definition()), Probe(time.perf_counter)
    spent = []
    for looks in (False, True):
        began = time.process_time()
        for start in range(0, len(data), BATCH):
            part, found = data[start : start + BATCH], list[Output]()
            if looks:
                found += probe.run(idle, part)
            else:
                for record in part:
                    found += idle.process(record)
        spent.append((time.process_time() - began) / len(data) * 1e6)
    return spent[1] - spent[0]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--events", default=10_000, show_default=True, help="Events a round.")
@click.option("--rounds", default=20, show_default=True, help="The least of so many rounds.")
def main(events: int, rounds: int) -> None:
    """Print microseconds of processor time that metrics add to an event.

    Example: python benchmarks/counting.py --rounds 20
    """
    data, processor = records(events), Processor(definition())
    outputs = [o for record in data for o in processor.process(record) if o.topic == "predictions"]
    click.echo(f"counts {min(counts(processor, outputs) for _ in range(rounds)):.2f}")
    click.echo(f"probe  {min(looking(data) for _ in range(rounds)):.2f}")


if __name__ == "__main__":
    main()
