"""Settings: one file, the environment over it, mistakes explained, secrets hidden."""

from pathlib import Path

import pytest

from learners.errors import DefinitionError
from stream.settings import load_settings, masked

HEAD = 'name = "shop"\ntask = "binary"\n'
TAIL = '[features.x]\n[label]\nclasses = ["no", "yes"]\n'


def written(folder: Path, middle: str = "", head: str = HEAD) -> Path:
    file = folder / "shop.toml"
    file.write_text(head + TAIL + middle, encoding="utf-8")
    return file


def test_defaults(tmp_path: Path) -> None:
    """Without a word about where it runs: a local broker, one partition, snapshots beside the file."""
    settings = load_settings(written(tmp_path), {})
    assert settings.kafka.brokers == "localhost:9092"
    assert settings.partitions == 1
    assert settings.folder == tmp_path / "snapshots"
    assert settings.topic("events") == "shop.events"


def test_a_learner_for_each_partition_means_four(tmp_path: Path) -> None:
    """Unless another number is given; one learner on several partitions is refused."""
    file = written(tmp_path, head=HEAD + 'scope = "partition"\n')
    assert load_settings(file, {}).partitions == 4
    file = written(tmp_path, "[kafka]\npartitions = 2\n", head=HEAD + 'scope = "partition"\n')
    assert load_settings(file, {}).partitions == 2
    with pytest.raises(DefinitionError, match=r"kafka.partitions: .*one partition, not 2"):
        load_settings(written(tmp_path, "[kafka]\npartitions = 2\n"), {})


def test_the_environment_comes_first(tmp_path: Path) -> None:
    """Broker and password; an empty variable is none."""
    file = written(tmp_path, '[kafka]\nbrokers = "a:1"\npassword = "old"\n')
    environment = {"MEANDER_BROKERS": "b:2", "MEANDER_KAFKA_PASSWORD": "new"}
    kafka = load_settings(file, environment).kafka
    assert (kafka.brokers, kafka.password) == ("b:2", "new")
    assert load_settings(file, {"MEANDER_BROKERS": ""}).kafka.brokers == "a:1"


def test_secrets_are_masked(tmp_path: Path) -> None:
    """The password is not printed; everything else is."""
    settings = load_settings(written(tmp_path, '[kafka]\nusername = "u"\npassword = "hush"\n'), {})
    assert "hush" not in str(masked(settings))
    assert masked(settings)["kafka"]["username"] == "u"
    assert settings.kafka.password == "hush"  # noqa: S105


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    """``<NAME>_FILE`` names a file with the secret; the plain variable comes first; unreadable: an error."""
    file = written(tmp_path, '[snapshots]\nstore = "redis"\nca_file = "ca.pem"\n')
    (tmp_path / "password").write_text("hush\n")
    (tmp_path / "url").write_text("rediss://u:hush@r:1/2?password=hush\n")
    names = {"MEANDER_KAFKA_PASSWORD_FILE": "password", "MEANDER_REDIS_URL_FILE": "url"}
    environment = {key: str(tmp_path / name) for key, name in names.items()}
    settings = load_settings(file, environment)
    assert settings.kafka.password == "hush"  # noqa: S105
    assert settings.snapshots.url == "rediss://u:hush@r:1/2?password=hush"
    assert masked(settings)["snapshots"]["url"] == "rediss://********@r:1/2?password=********"
    assert settings.beside(settings.snapshots.ca_file) == str(tmp_path / "ca.pem")
    environment["MEANDER_REDIS_URL"] = "redis://other"
    assert load_settings(file, environment).snapshots.url == "redis://other"
    with pytest.raises(DefinitionError, match=r"MEANDER_KAFKA_PASSWORD_FILE: .*cannot be read"):
        load_settings(file, {"MEANDER_KAFKA_PASSWORD_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("middle", "message"),
    [
        ("[snapshots]\nstore = 'redis'\n", r"snapshots.url: .*MEANDER_REDIS_URL"),
        ("[kafka]\nbroker = 1\n", r"kafka.broker: unknown key. Did you mean `brokers`"),
        ("[kafka]\nsecurity = 'SSH'\n", r'kafka.security: .*Did you mean "SSL"|One of: "PLAINTEXT"'),
        ("[kafka]\nsession_timeout = '20'\n", r"kafka.session_timeout: '20' is no duration"),
        ("[snapshots]\nevery = 'often'\n", r"snapshots.every: 'often' is no duration"),
        ("[web]\nport = 'high'\n", r"web.port: Expected `int`"),
        ("[columns]\nlable = 'y'\n", r"columns.lable: unknown key. Did you mean `label`"),
        ("[kafka\n", r"file: is not TOML"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, middle: str, message: str) -> None:
    """File, key, problem, remedy."""
    with pytest.raises(DefinitionError, match=message) as caught:
        load_settings(written(tmp_path, middle), {})
    assert str(caught.value).startswith(str(tmp_path / "shop.toml"))


def test_no_file(tmp_path: Path) -> None:
    """The error says how to write one."""
    with pytest.raises(DefinitionError, match="meander init"):
        load_settings(tmp_path / "none.toml", {})
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DefinitionError, match="is not TOML"):
        load_settings(tmp_path / "bad.toml", {})
