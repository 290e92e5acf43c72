"""Sends the events of a latency run at a steady rate; a process of its own, so that nothing holds it up.

``pace.py RATE FIRST COUNT START``: events FIRST to FIRST + COUNT of the workload that begins at START
(milliseconds). Prints how late events were sent, in milliseconds: the 99th percentile.
"""

import sys
import time

from confluent_kafka import Producer
from report import percentile
from workload import Setup, rows

BURST = 0.002  # seconds: what is due within it is sent together


def main(rate: float, first: int, count: int, start: int) -> None:
    setup = Setup.read()
    data = list(rows(first + count, setup.partitions, start=start, step=1000 / rate))[first:]
    producer = Producer({"bootstrap.servers": setup.brokers, "linger.ms": 2})
    late: list[float] = []
    begin = time.monotonic() + 0.5
    for i, row in enumerate(data):
        due = begin + i / rate
        ahead = due - time.monotonic()
        if ahead > 0:
            producer.poll(0)
            time.sleep(ahead + BURST)
        late.append(max(0.0, time.monotonic() - due))
        producer.produce(setup.events, row.event, row.key, partition=row.partition)
    if producer.flush(60):
        raise SystemExit("The broker did not take all events within 60 s")
    sys.stdout.write(f"{1000 * percentile(late, 0.99):.1f}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), *(int(value) for value in sys.argv[2:5]))
