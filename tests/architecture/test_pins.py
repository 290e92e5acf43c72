"""Versions: every one is pinned, once, and to what the declared ranges allow."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("demo", "test", "lint")
LINES = [
    line
    for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[-1] for line in LINES}


def needed(requirement: Requirement, extra: str = "") -> bool:
    """Whether a requirement counts on this machine."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def declared() -> list[Requirement]:
    """Return what pyproject.toml asks for on this machine."""
    texts = [
        *PROJECT["dependencies"],
        *(text for e in EXTRAS for text in PROJECT["optional-dependencies"][e]),
    ]
    return [requirement for requirement in map(Requirement, texts) if needed(requirement)]


def closure() -> set[str]:
    """Return the names of all distributions that an installation with `EXTRAS` brings."""
    found: set[str] = set()
    waiting = [(canonicalize_name(r.name), frozenset(r.extras)) for r in declared()]
    while waiting:
        name, extras = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            texts = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for r in map(Requirement, texts):
            if any(needed(r, extra) for extra in ("", *extras)):
                waiting.append((canonicalize_name(r.name), frozenset(r.extras)))
    return found


def test_constraints_are_exact() -> None:
    """Each line of constraints.txt is one name and one version: no range, address or path; in order, once."""
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)] == []
    names = [canonicalize_name(line.split("==")[0]) for line in LINES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_pin_is_in_the_declared_range(requirement: Requirement) -> None:
    """What pyproject.toml asks for is pinned, to a version that it allows."""
    pin = PINS.get(canonicalize_name(requirement.name))
    assert pin is not None
    assert requirement.specifier.contains(pin)


def test_everything_installed_is_pinned() -> None:
    """Dependencies of dependencies are pinned too."""
    assert sorted(closure() - PINS.keys()) == []


def test_kafka_is_one_version() -> None:
    """Tests and Docker Compose run the same Apache Kafka."""
    pom = (REPOSITORY / "tools/kafka/pom.xml").read_text(encoding="utf-8")
    tested = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)</version>", pom)
    assert tested is not None
    for file in ("docker-compose.yml", ".env"):
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert set(re.findall(r"apache/kafka:([\w.-]+)", text)) == {tested[1]}
