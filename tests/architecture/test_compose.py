"""docker-compose.yml and Dockerfile, as far as they can be checked without Docker."""

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from stream.cli import main
from stream.settings import load_settings

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
OURS = ("topics", "worker", "producer", "page")


def environment() -> dict[str, str]:
    """Return the variables of .env."""
    lines = (REPOSITORY / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str, variables: dict[str, str]) -> str:
    """Put variables, or the defaults beside them, where Compose would: ``${NAME:-default}``."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: variables.get(m[1]) or m[2], text)


def compose(variables: dict[str, str] | None = None) -> dict[str, Any]:
    """Read docker-compose.yml."""
    text = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(
        interpolated(text, environment() if variables is None else variables)
    )
    return content


def specification() -> dict[str, Any]:
    """Read the JSON Schema of the Compose Specification, which the wheel of check-jsonschema brings along."""
    file = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    path = Path(str(distribution("check-jsonschema").locate_file(file)))
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


def test_compose_file_meets_the_specification() -> None:
    """The file is valid by the JSON Schema of the Compose Specification."""
    jsonschema.validate(compose(), specification())


def test_the_schema_refuses() -> None:
    """The schema used above is not an empty one: a misspelt key is found."""
    broken = compose()
    broken["services"]["worker"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        jsonschema.validate(broken, specification())


def test_environment_file_says_what_the_defaults_say() -> None:
    """Without .env everything is the same: it is where to change things, not where they are hidden."""
    assert compose({}) == compose()


@pytest.mark.parametrize("name", OURS)
def test_command_is_one_of_ours(name: str) -> None:
    """The command of a service of ours is a real command of `meander`, with arguments that it takes."""
    assert 'ENTRYPOINT ["meander"]' in DOCKERFILE
    arguments = [str(argument) for argument in SERVICES[name]["command"]]
    command: click.Command | None = main
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), arguments.pop(0))
    assert command is not None
    command.make_context(command.name, arguments)


@pytest.mark.parametrize("name", OURS)
def test_definition_is_there(name: str) -> None:
    """What a service of ours reads is mounted, exists and is valid; what it writes is on a volume."""
    mounts = [volume.split(":") for volume in SERVICES[name]["volumes"]]
    folder = re.findall(r"^WORKDIR (\S+)", DOCKERFILE, re.MULTILINE)[-1]
    (source,) = (mount[0] for mount in mounts if mount[1] == f"{folder}/deployment.toml")
    assert "deployment.toml" in SERVICES[name]["command"]
    settings = load_settings(REPOSITORY / source, SERVICES[name]["environment"])
    assert settings.kafka.brokers.split(":")[0] in SERVICES
    assert any(
        str(settings.folder).startswith(f"{mount[1]}/")
        for mount in mounts
        if mount[0] in compose()["volumes"]
    )


def test_health_is_asked_where_the_worker_answers() -> None:
    """The worker's health check asks the port of its definition."""
    asked = re.search(r"http://127\.0\.0\.1:(\d+)/readyz", SERVICES["worker"]["healthcheck"]["test"][-1])
    assert asked is not None
    settings = load_settings(REPOSITORY / environment()["MEANDER_DEFINITION"], {})
    assert int(asked[1]) == settings.web.port


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_pinned_and_limited(name: str) -> None:
    """Each service has an exact version, limits of its resources, and a health check if it stays."""
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+", service["image"])
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert "healthcheck" in service or name in ("topics", "producer")


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    """Ours run as an ordinary user on a read-only image, without capabilities."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] not in ("root", "0")


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "grafana"])
def test_observers_can_do_little_and_find_their_files(name: str) -> None:
    """They run as nobody in particular on a read-only image; what is mounted exists."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["user"] not in ("root", "0")
    mounts = [volume.split(":") for volume in service["volumes"]]
    assert all((REPOSITORY / mount[0]).exists() for mount in mounts if mount[0].startswith("./"))
    assert all(mount[0] in compose()["volumes"] for mount in mounts if not mount[0].startswith("./"))


def test_prometheus_asks_the_workers_where_they_listen() -> None:
    """Names, ports and paths in the configuration of Prometheus are those of the services."""
    config = yaml.safe_load((REPOSITORY / "monitoring" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    settings = load_settings(REPOSITORY / environment()["MEANDER_DEFINITION"], {})
    assert (found["names"], found["port"]) == (["worker"], settings.web.port)
    assert job["job_name"] == "meander"  # the rules ask for it
    (target,) = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert target.split(":")[0] in SERVICES


def test_ports_are_local() -> None:
    """No port is open to other machines."""
    ports = [str(port) for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_image_copies_what_exists() -> None:
    """The image is built of files that exist, and that .dockerignore lets through, on a pinned Python."""
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)]
    for path in (path for paths in copied for path in paths):
        assert (REPOSITORY / path).exists(), path
        assert f"!{path}" in ignored, path
    assert all(
        re.search(r":\d+\.\d+\.\d+", image) for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    )
