"""The pages tell the truth: generated ones are fresh, commands parse and run, snippets load, links hold."""

import ast
import importlib
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from click.testing import CliRunner
from river import datasets

from learners.errors import MeanderError
from stream.cli import COMMANDS, main
from stream.commands.check import unbuildable
from stream.settings import parse_settings
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), REPOSITORY / "benchmarks" / "README.md"],
    key=lambda page: page.relative_to(REPOSITORY).as_posix(),
)
NEEDS_BROKER = {"topics", "worker", "produce", "demo", "status", "fallback", "resume"}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def blocks() -> Iterator[Block]:
    """Yield every fenced block of every page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 2
            yield Block(page.relative_to(REPOSITORY).as_posix(), line, found[1], found[2])


def shell_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield (place, words) of every command in a block without language, or of the shell."""
    for block in blocks():
        if block.language in ("", "sh", "shell", "bash", "console"):
            for number, line in enumerate(block.text.splitlines(), block.line):
                if re.match(r"(\S+=\S+ )?(meander|make) ", line):
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    words = [word for word in words if word != "&" and not re.match(r"[A-Z_]+=", word)]
                    yield f"{block.page}:{number}", words


def snippets(language: str) -> list[Any]:
    """Return the blocks of a language as parameters of a test, named by their place."""
    return [pytest.param(b.text, id=f"{b.page}:{b.line}") for b in blocks() if b.language == language]


COMMAND_LINES = [pytest.param(words, id=place) for place, words in shell_lines()]


def parsed(words: list[str]) -> click.Context:
    """Parse a command line of `meander` without running it."""
    command: click.Command = main
    context: click.Context | None = None
    rest = words[1:]
    while isinstance(command, click.Group) and not rest[0].startswith("-"):
        context = command.make_context(words[0], [], parent=context, resilient_parsing=True)
        found = command.get_command(context, rest[0])
        assert found is not None, f"no command {rest[0]!r}"
        command, rest = found, rest[1:]
    return command.make_context(words[-len(rest) - 1], rest, parent=context)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder after the steps of getting-started.md that need no broker, in their order."""
    folder = tmp_path_factory.mktemp("tour")
    shutil.copy(datasets.Phishing().path, folder / "phishing.csv.gz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MEANDER_BROKERS", raising=False)
        for place, words in shell_lines():
            if not place.startswith("docs/getting-started.md") or words[0] != "meander":
                continue
            if words[1] in (*NEEDS_BROKER, "--help") or "--topic" in words:
                continue
            if "--against" in words:
                shutil.copy("deployment.toml", "running.toml")
            result = CliRunner().invoke(main, words[1:])
            assert result.exit_code == 0, f"{place}: {result.output}"
    return folder


def test_generated_files_are_fresh(tmp_path: Path) -> None:
    """What `meander schema --out docs --docs` writes is what is there; nothing else is in docs/schema."""
    result = CliRunner().invoke(main, ["schema", "--out", str(tmp_path), "--docs"])
    assert result.exit_code == 0, result.output
    written = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*") if path.is_file()}
    for name, path in written.items():
        there = DOCS / name
        fresh = there.exists() and there.read_text("utf-8") == path.read_text("utf-8")
        assert fresh, f"docs/{name} is stale: run meander schema --out docs --docs"
    assert {path.relative_to(DOCS) for path in (DOCS / "schema").iterdir()} <= written.keys()


def test_the_tour_works(tour: Path) -> None:
    """The steps of getting-started.md that need no broker leave what the page says they leave."""
    for name in ("deployment.toml", "report/report.html", "report/report.json", "contract/asyncapi.json"):
        assert (tour / name).stat().st_size > 0


@pytest.mark.parametrize("words", COMMAND_LINES)
def test_commands_exist(words: list[str]) -> None:
    """Every command on a page parses as it stands, arguments and options too; every make target is there."""
    if words[0] == "make":
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        for target in words[1:]:
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
        return
    try:
        parsed(words)
    except click.exceptions.Exit as stop:  # --help ends there
        assert stop.exit_code == 0  # noqa: PT017
    except click.UsageError as error:
        pytest.fail(f"{' '.join(words)}: {error.format_message()}")


def test_the_readme_lists_every_command() -> None:
    """The table in README.md has a line for each command, and for nothing else."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `meander ([\w-]+)` \|", readme, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("text", snippets("toml"))
def test_definitions_load(text: str, tour: Path) -> None:
    """A whole definition loads and can be built; a part does on top of the one that the tour wrote."""
    raw = tomllib.loads(text)
    if "name" not in raw:
        whole = tomllib.loads((tour / "deployment.toml").read_text(encoding="utf-8"))
        for section, keys in raw.items():
            whole[section] = keys if isinstance(keys, list) else {**whole.get(section, {}), **keys}
        raw = whole
    try:
        settings = parse_settings(raw, environ={})
    except MeanderError as error:
        pytest.fail(str(error))
    assert list(unbuildable(settings.definition)) == []


@pytest.mark.parametrize("text", snippets("python"))
def test_programs_use_names_that_exist(text: str) -> None:
    """Every Python snippet compiles, and what it imports is there."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("text", snippets("json"))
def test_messages_are_json(text: str) -> None:
    """Every JSON snippet is one message a line."""
    for line in text.splitlines():
        assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file or folder that exists."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    missing = [t for t in targets if not re.match(r"[a-z]+:", t) and not (page.parent / t).exists()]
    assert missing == []


def test_every_decision_is_listed() -> None:
    """The index of decisions names each file once, and each has the three sections."""
    folder = DOCS / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in folder.glob("0*.md"))
    assert re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", index) == files
    for name in files:
        text = (folder / name).read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], name
