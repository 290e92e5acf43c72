"""Imports go down only, and only to what is declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("learners", "stream", "producers", "monitoring", "meander")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))

# Parts of the standard library that reach outside: files, network, clock, threads, chance.
IMPURE = {
    "asyncio",
    "http",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}


def imports(package: str) -> Iterator[tuple[str, str]]:
    """Yield file and top-level name of every import of a package, those for type checkers included."""
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                yield str(file.relative_to(REPOSITORY)), name.split(".")[0]


def test_import_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contracts of pyproject.toml hold: layers, and a core that knows no Kafka, clock or I/O."""
    monkeypatch.chdir(REPOSITORY)
    assert lint_imports(no_cache=True) == 0


def test_learners_import_little() -> None:
    """The learners need River, numpy and msgspec, and what is pure of the standard library."""
    allowed = {"learners", "river", "numpy", "msgspec", *sys.stdlib_module_names} - IMPURE
    assert [(file, name) for file, name in imports("learners") if name not in allowed] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_only_one_module_unpickles(package: str) -> None:
    """Whatever is unpickled goes through the allow-list."""
    found = [file for file, name in imports(package) if name in ("pickle", "marshal", "shelve", "dill")]
    assert found == (["learners/pickling.py"] if package == "learners" else [])


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_declared(package: str) -> None:
    """Whatever a package imports is a dependency by its own name, not by way of another one's."""
    requirements = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["demo"]]
    declared = {_normal(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements}
    distributions = packages_distributions()
    strangers = [
        (file, name)
        for file, name in imports(package)
        if name not in sys.stdlib_module_names
        and name not in PACKAGES
        and not declared & {_normal(d) for d in distributions.get(name, [name.replace("_", "-")])}
    ]
    assert strangers == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
