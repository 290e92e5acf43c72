"""What scripts branch on: exit statuses of commands that need workers, where some are missing."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from producers.publisher import Publisher
from stream.adapters.brokers import free_ports
from stream.cli import main
from stream.processing.processor import Processor
from stream.processing.standing import Status
from stream.processing.tally import DELAY_EDGES, LATENCY_EDGES
from stream.settings import Settings
from tests.integration.deployed import deployed_in

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
PARTITIONS = 2


@pytest.fixture(scope="module")
def deployed(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    definition = {
        "name": f"exit-{time.time_ns():x}",
        "task": "binary",
        "scope": "partition",
        "features": {"x": {}},
        "label": {"classes": ["no", "yes"]},
        "kafka": {"brokers": kafka, "partitions": PARTITIONS},
        "web": {"port": 0},
    }
    with deployed_in(tmp_path_factory.mktemp("exit"), definition) as settings:
        yield settings


def shell(settings: Settings, command: str, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, [*command.split(), str(settings.file), *words])
    return done.exit_code, done.output


def say(settings: Settings, age: float, *partitions: int) -> None:
    """Tell how partitions stand, as the worker does that holds them, so many seconds ago."""
    with Publisher(settings.kafka, [settings.topic("status")]) as publisher:
        for number in partitions:
            status = Status(
                at=round(1000 * (time.time() - age)),
                worker="here:6066",
                expected=PARTITIONS,
                standing=Processor(settings.definition, number).standing(),
                lag={},
                latency=[0] * (len(LATENCY_EDGES) + 1),
                delay=[0] * (len(DELAY_EDGES) + 1),
                snapshot_at=None,
                snapshot_failures=0,
            )
            publisher.publish(settings.topic("status"), str(number).encode(), msgspec.json.encode(status))


def test_status_tells_who_has_a_worker(deployed: Settings) -> None:
    """1 where nobody serves, or has for long; 4 where some partitions have no worker; 0 once all have one."""
    assert shell(deployed, "status")[0] == 1
    say(deployed, 60.0, 0, 1)
    status, said = shell(deployed, "status", "--json")
    assert (status, [p["serving"] for p in msgspec.json.decode(said)["partitions"]]) == (1, ["nobody"] * 2)
    say(deployed, 0.0, 1)
    status, said = shell(deployed, "status")
    assert (status, "nobody" in said) == (4, True), said
    say(deployed, 0.0, 0, 1)
    assert shell(deployed, "status", "--partition", "0")[0] == 0
    assert shell(deployed, "status")[0] == 0


def test_a_command_that_nobody_carries_out_says_so(deployed: Settings) -> None:
    """3 where no worker answers in time; 2 where it was never sent."""
    why = ("--reason", "labels of today are wrong", "--wait", "0.3")
    status, said = shell(deployed, "freeze", *why)
    assert (status, "0 of 2 partitions answered" in said) == (3, True), said
    status, said = shell(deployed, "forget", "--key", "ann", *why)
    assert (status, "waits in the control topic" in said) == (3, True), said
    status, said = shell(deployed, "freeze", "--reason", "short")
    assert (status, "8 characters" in said) == (2, True), said
    status, said = shell(deployed, "install", "abcdef", *why)
    assert (status, "no states are called abcdef" in said) == (2, True), said


def run(folder: Path, *words: str) -> tuple[int, str]:
    """Run a command that serves, in a process of its own, to its end."""
    command = [sys.executable, "-m", "stream", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stderr


def test_what_cannot_serve_ends_with_a_sentence(deployed: Settings, tmp_path: Path) -> None:
    """2, as for every mistake: a worker whose topics nobody made, a page whose port is taken."""
    file = Path(str(deployed.file))
    other = tmp_path / "other.toml"
    text = file.read_text(encoding="utf-8").replace(deployed.definition.name, "nobody-made-it")
    other.write_text(text, encoding="utf-8")
    status, said = run(tmp_path, "worker", other.name)
    assert (status, "meander: There is no topic nobody-made-it.events" in said) == (2, True), said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = run(file.parent, "ops", file.name, "--port", str(port))
    assert (status, f"127.0.0.1:{port} cannot be listened on" in said) == (2, True), said


def test_where_no_broker_is_one_sentence_says_so(deployed: Settings, tmp_path: Path) -> None:
    """2, the address that was tried and what to do; nothing of what the library tells."""
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    text = Path(str(deployed.file)).read_text(encoding="utf-8").replace(deployed.kafka.brokers, nowhere)
    (tmp_path / "away.toml").write_text(text, encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        commands = (("worker",), ("why",), ("forget", "--key", "ann", "--reason", "asked us to"))
        told = list(pool.map(lambda words: run(tmp_path, words[0], "away.toml", *words[1:]), commands))
    for status, said in told:
        assert (status, said.count("\n")) == (2, 1), said
        assert said.startswith(f"meander: {nowhere}: ")
        assert "Is a broker there" in said


def test_foreign_transitions_are_named(deployed: Settings) -> None:
    """2: what somebody else has written there is no history, and the place is told."""
    topic = deployed.topic("transitions")
    with Publisher(deployed.kafka, [topic]) as publisher:
        publisher.publish(topic, b"ann", b"not ours")
    found = [shell(deployed, *words) for words in (("why",), ("why", "--partition", "1"))]
    assert sorted(status for status, _ in found) == [0, 2]
    number = [status for status, _ in found].index(2)
    status, said = shell(deployed, "versions list", "--partition", str(number))
    assert (status, f"transitions[{number}] offset 0 was not written by Meander" in said) == (2, True), said
