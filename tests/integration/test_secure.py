"""TLS, passwords and keys, on a real Kafka and a real Redis with certificates made here."""

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from learners.errors import MeanderError, StoreUnavailableError
from producers.connection import BrokerUnreachableError
from producers.scenarios import Scenario
from stream import toml
from stream.adapters.brokers import HOST, free_ports, java_kafka
from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import create_topics, list_topics
from stream.app import open_log
from stream.cli import main
from stream.replay import differences
from stream.settings import Settings, load_settings
from tests.certificates import Certificates, make_certificates
from tests.integration.test_restore import last_words, send_part
from tests.integration.test_worker import stop, wait_for_predictions, worker
from tests.redis_server import redis_server

pytestmark = pytest.mark.timeout(280)
USER, PASSWORD = "meander", "correct horse"
SASL = {
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "listener.name.sasl_ssl.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain."
    f'PlainLoginModule required user_{USER}="{PASSWORD}";',
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram."
    "ScramLoginModule required;",
}


class Secure(NamedTuple):
    sasl_ssl: str
    ssl: str
    redis: str
    certificates: Certificates
    folder: Path


@pytest.fixture(scope="module")
def secure(
    java_and_jars: None, redis_program: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secure]:
    """Yield a Kafka and a Redis that take encrypted connections, and one of them a password."""
    folder = tmp_path_factory.mktemp("secure")
    certificates = make_certificates(folder / "certificates")
    sasl_ssl, ssl, redis, clear = free_ports(4)
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        **SASL,
    }
    listeners = {"SASL_SSL": sasl_ssl, "SSL": ssl}
    tls = ["--tls-port", str(redis), "--tls-cert-file", str(certificates.certificate)]
    tls += ["--tls-key-file", str(certificates.key), "--tls-ca-cert-file", str(certificates.authority)]
    tls += ["--tls-auth-clients", "no", "--requirepass", PASSWORD]
    with (
        java_kafka(folder / "kafka", properties, secure=listeners) as broker,
        redis_server(folder / "redis", *tls, port=clear),
    ):
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        user = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, password=PASSWORD)
        admin.alter_user_scram_credentials([user])
        admin.close()
        url = f"rediss://:{PASSWORD.replace(' ', '%20')}@{HOST}:{redis}/0"
        yield Secure(f"{HOST}:{sasl_ssl}", f"{HOST}:{ssl}", url, certificates, folder)


def written(folder: Path, name: str, kafka: dict[str, Any], snapshots: dict[str, Any]) -> Settings:
    raw = {
        **Scenario.definition(name),
        "kafka": {"session_timeout": "6s", **kafka},
        "snapshots": {"every": "200ms", **snapshots},
        "web": {"port": 0},
    }
    file = folder / "deployment.toml"
    file.write_text("\n".join(toml.document(raw)), encoding="utf-8")
    return load_settings(file)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_everything_over_tls_with_passwords(
    secure: Secure, tmp_path: Path, deployment_name: str, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    """Topics, producer, worker, recovery and snapshots; secrets from the environment and from files."""
    secrets = {"MEANDER_KAFKA_PASSWORD": PASSWORD, "MEANDER_REDIS_URL": secure.redis}
    if mechanism == "PLAIN":
        for name, value in list(secrets.items()):
            (tmp_path / name).write_text(value + "\n")
            secrets[f"{name}_FILE"] = str(tmp_path / name)
            del secrets[name]
    for name, value in {**secrets, "MEANDER_SNAPSHOT_KEY": "a key for all workers"}.items():
        monkeypatch.setenv(name, value)
    authority = os.path.relpath(secure.certificates.authority, tmp_path)
    kafka = {"brokers": secure.sasl_ssl, "security": "SASL_SSL", "ca_file": authority}
    kafka.update(mechanism=mechanism, username=USER)
    settings = written(tmp_path, deployment_name, kafka, {"store": "redis", "ca_file": authority})
    create_topics(settings)
    with worker(settings) as child:
        send_part(settings, 0, 200)
        wait_for_predictions(settings, 200, child)
        stop(child)
        child.start()
        send_part(settings, 200, 300)
        wait_for_predictions(settings, 300, child)
        told = CliRunner().invoke(main, ["forget", str(settings.file), "--key", "row-7", "--json"])
        assert told.exit_code == 0, told.output
        stop(child)
        said = child.log.read_text(encoding="utf-8")
    assert json.loads(told.stdout)["forgotten"] == {"0": {"waiting": 0, "broken": 0, "settled": 0}}
    assert json.loads(told.stdout)["log"]["events"] == 0  # keys of the scenario are other ones
    assert "snapshots.advice" not in said
    assert PASSWORD not in said
    with open_log(settings) as log:
        assert differences(settings.definition, 0, log) == []
    store = RedisStore(secure.redis, deployment_name, ca_file=str(secure.certificates.authority))
    assert store.load(0)
    store.close()


def test_tls_without_a_password(secure: Secure, tmp_path: Path, deployment_name: str) -> None:
    """``security = "SSL"``."""
    kafka = {"brokers": secure.ssl, "security": "SSL", "ca_file": str(secure.certificates.authority)}
    assert create_topics(written(tmp_path, deployment_name, kafka, {}))


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_what_is_wrong_is_said(secure: Secure, tmp_path: Path, deployment_name: str) -> None:
    """A wrong password, an authority that is not theirs, a missing file: a sentence that names the remedy."""
    good = {"brokers": secure.sasl_ssl, "security": "SASL_SSL", "ca_file": str(secure.certificates.authority)}
    good.update(mechanism="PLAIN", username=USER, password=PASSWORD)
    other = str(make_certificates(tmp_path / "other").authority)
    for wrong, message in (
        ({"password": "battery staple"}, "MEANDER_KAFKA_PASSWORD"),
        ({"mechanism": "SCRAM-SHA-512", "password": "battery staple"}, "MEANDER_KAFKA_PASSWORD"),
        ({"ca_file": other}, "kafka.ca_file"),
        ({"ca_file": "none.pem"}, "none.pem"),
    ):
        settings = written(tmp_path, deployment_name, {**good, **wrong}, {})
        with pytest.raises(BrokerUnreachableError, match=message) as caught:
            list_topics(settings)
        assert "staple" not in str(caught.value)
    said = last_words(worker(settings))
    assert "none.pem" in said
    assert "Traceback" not in said

    with pytest.raises(StoreUnavailableError, match=r"snapshots.ca_file"):
        RedisStore(secure.redis, deployment_name, ca_file=other).advice()
    with pytest.raises(StoreUnavailableError, match=r"snapshots.ca_file"):
        RedisStore(secure.redis, deployment_name).advice()
    wrong_url = secure.redis.replace("correct", "wrong")
    with pytest.raises(StoreUnavailableError, match=r"does not let us in"):
        RedisStore(wrong_url, deployment_name, ca_file=str(secure.certificates.authority)).advice()
    with pytest.raises(MeanderError, match=r"none.pem"):
        RedisStore(secure.redis, deployment_name, ca_file="none.pem").advice()
    gc.collect()  # kafka-python leaves sockets that were refused open until then
