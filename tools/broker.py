"""Runs Apache Kafka on localhost:9092, in the foreground, for trying things: ``make broker``.

One node from the jars of ``make kafka``; what it held is there again at its next start.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from learners.errors import MeanderError
from stream.adapters.brokers import HOST, BrokerError, answers, free_ports, java_kafka

DATA = Path(__file__).resolve().parents[1] / ".kafka" / "broker"


def main(port: int, folder: Path) -> None:
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    if answers(f"{HOST}:{port}"):
        raise BrokerError(f"A broker answers at {HOST}:{port} already. Use it, or choose another: --port")
    with java_kafka(folder, ports=(port, free_ports(1)[0])) as broker:
        print(
            f"Apache Kafka answers at localhost:{port}; its data is in {folder}. Ctrl-C stops it.", flush=True
        )
        while not over.wait(timeout=0.5):
            if broker.status is not None:
                raise BrokerError(f"Kafka has ended. {broker.last_words()}")
        broker.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--folder", type=Path, default=DATA)
    chosen = parser.parse_args()
    try:
        main(chosen.port, chosen.folder)
    except MeanderError as error:
        sys.exit(str(error))
