"""What tests share: a real Kafka broker, names nobody else uses, the folder of real data."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stream.adapters.brokers import Broker, BrokerMissingError, answers, java_kafka, java_program
from tests.redis_server import redis_server

REPOSITORY = Path(__file__).resolve().parents[1]
IN_CI = bool(os.environ.get("CI"))

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if IN_CI else "local")


def missing(reason: str) -> None:
    """Skip the test for want of something outside; in CI, where everything must be there, fail it."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def tool(program: str, package: str) -> str:
    """Return the path of a program of the system; skips, in CI fails, where it is missing."""
    found = shutil.which(program) or shutil.which(program.removeprefix("prometheus-"))
    if found is None:
        missing(f"No {program} here: apt-get install {package}")
    return str(found)


@pytest.fixture(scope="session")
def java_and_jars() -> None:
    """What it takes to run an Apache Kafka of our own."""
    try:
        java_program()
    except BrokerMissingError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield ``host:port`` of a real Apache Kafka: the one named by ``MEANDER_TEST_BROKERS``, else our own."""
    given = os.environ.get("MEANDER_TEST_BROKERS")
    if given:
        if not answers(given):
            pytest.fail(f"No broker answers at MEANDER_TEST_BROKERS={given}", pytrace=False)
        yield given
        return
    request.getfixturevalue("java_and_jars")
    with java_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.address


@pytest.fixture
def own_kafka(tmp_path: Path, java_and_jars: None) -> Iterator[Broker]:
    """Yield an Apache Kafka for this test alone, to be stopped, killed, paused and started at will."""
    with java_kafka(tmp_path / "kafka") as broker:
        yield broker


@pytest.fixture(scope="session")
def redis_program() -> None:
    """What it takes to run a Redis of our own."""
    if shutil.which("redis-server") is None:
        missing("No redis-server on this machine. Install it, e.g. apt-get install redis-server")


@pytest.fixture(scope="session")
def redis_url(redis_program: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a real Redis that all tests share; keys carry the deployment's name."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def deployment_name(request: pytest.FixtureRequest) -> str:
    """Return a name for a deployment that no other test has used: letters, digits and dashes."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:24].strip("-")
    return f"{test}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def topic_name(deployment_name: str) -> str:
    """Return a name for a topic that no other test has used."""
    return f"{deployment_name}.events"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real data: ``MEANDER_DATA``, else ``../shared/data`` beside the repository."""
    folder = Path(os.environ.get("MEANDER_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        missing(f"No data in {folder}; set MEANDER_DATA to the folder of the data sets")
    return folder
