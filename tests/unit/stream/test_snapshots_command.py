"""``meander snapshots``: what is kept, whether it can be used, and from one store to the other."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stream import toml
from stream.adapters.keys import load_keys
from stream.adapters.stores import open_store
from stream.cli import main
from stream.processing.processor import Processor
from stream.settings import Settings, load_settings
from tests.support import TINY, Inputs

Run = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path, deployment_name: str) -> Path:
    """Return a definition of two partitions, each with a snapshot or two."""
    file = tmp_path / "d.toml"
    raw = {**TINY, "name": deployment_name, "scope": "partition", "kafka": {"partitions": 2}}
    file.write_text("\n".join(toml.document(raw)))
    settings = load_settings(file, {})
    inputs = Inputs()
    with closing(open_store(settings)) as store:
        for number, events in ((0, 3), (0, 5), (1, 2)):
            processor = Processor(settings.definition, number, keys=load_keys(settings, {})[0])
            for n in range(events):
                processor.process(
                    inputs.add("events", {"id": f"e{n}", "timestamp": n, "features": {"x": n}, "label": "no"})
                )
            if number:  # as a worker does: beside the journal that it names
                data, appended = processor.checkpoint(generation=events, outputs={})
                for piece in appended:
                    store.append(number, piece.segment, piece.data)
            else:
                data = processor.snapshot(generation=events, outputs={})
            store.save(number, data, events)
        assert store.segments(1)
        store.append(1, "other", b"abc")
    return file


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return how to run ``meander snapshots WHAT file ...``."""
    for name in ("MEANDER_REDIS_URL", "MEANDER_SNAPSHOT_KEY"):
        monkeypatch.delenv(name, raising=False)

    def run(what: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["snapshots", what, str(file), *arguments])

    return run


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def kept(settings: Settings) -> list[list[tuple[bytes, int]]]:
    with closing(open_store(settings)) as store:
        return [[(s.read(), s.generation) for s in store.load(number)] for number in range(2)]


def test_list(run: Run) -> None:
    """A row for each, newest first, with where it stands."""
    rows = told(run("list", "--json"))
    assert [(row["partition"], row["generation"]) for row in rows] == [(0, 5), (0, 3), (1, 2)]
    assert set(rows[0]) == {"partition", "name", "generation", "bytes", "events", "labels", "control"}
    assert [row["partition"] for row in told(run("list", "--json", "--partition", "1"))] == [1]
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == list(rows[0])
    assert lines[1].split()[1] == rows[0]["name"]
    assert run("list", "--partition", "2").exit_code == 2


def test_show(run: Run) -> None:
    """The newest of each partition, or one by name; nothing of that name: exit code 1."""
    shown = told(run("show", "--json"))
    assert [(each["partition"], each["generation"], each["authentic"]) for each in shown] == [
        (0, 5, True),
        (1, 2, True),
    ]
    assert {"river", "numpy", "python"} == set(shown[0]["libraries"])
    assert {"serve", "learn"} < set(shown[0]["sections"])
    older = told(run("list", "--json"))[1]["name"]
    assert [each["generation"] for each in told(run("show", older, "--json"))] == [3]
    assert "authentic = true" in run("show").stdout
    assert run("show", "nothing").exit_code == 1


def test_verify(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All sound: 0. Damaged, renamed, or signed with another key: 1, with the reason."""
    assert [row["verdict"] for row in told(run("verify", "--json"))] == ["sound"] * 3
    first, second = sorted((file.parent / "snapshots" / "partition-0").glob("*.snapshot"))
    first.write_bytes(first.read_bytes()[:-1])
    second.rename(second.with_name("000000000002.g9.snapshot"))
    result = run("verify", "--json")
    assert result.exit_code == 1
    verdicts = [row["verdict"] for row in json.loads(result.stdout)]
    assert verdicts[0].startswith("wrong generation: it says 5, the store 9")
    assert verdicts[1].startswith("truncated")
    assert verdicts[2] == "sound"
    monkeypatch.setenv("MEANDER_SNAPSHOT_KEY", "some other key of ours")
    result = run("verify", "--partition", "1")
    assert result.exit_code == 1
    assert "which is not known here" in result.stdout


def test_move_there_and_back(run: Run, file: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte, every generation and every segment; the source keeps nothing that would be used."""
    monkeypatch.setenv("MEANDER_REDIS_URL", redis_url)
    files = load_settings(file)
    before = kept(files)
    moved = told(run("move", "--to", "redis", "--json"))
    assert [(row["snapshots"], row["segments"]) for row in moved] == [(2, 0), (1, 2)]
    assert kept(files) == [[], []]
    file.write_text(file.read_text() + '\n[snapshots]\nstore = "redis"\n')
    redis = load_settings(file)
    assert kept(redis) == before
    with closing(open_store(redis)) as store:
        assert store.read(1, "other") == b"abc"
    assert run("verify").exit_code == 0

    told(run("move", "--to", "files", "--json"))
    assert (kept(files), kept(redis)) == (before, [[], []])
    assert "already" in run("move", "--to", "redis").output


def test_move_refuses(run: Run, file: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address, while a worker holds a partition, onto other state: nothing is changed."""
    assert "Set MEANDER_REDIS_URL" in run("move", "--to", "redis").output
    monkeypatch.setenv("MEANDER_REDIS_URL", redis_url)
    files = load_settings(file)
    before = kept(files)
    with closing(open_store(files)) as worker:
        worker.lock(1)
        result = run("move", "--to", "redis")
        assert (result.exit_code, kept(files)) == (2, before)
        assert "holds the snapshots of partition 1" in result.output
    file.write_text(file.read_text() + '\n[snapshots]\nstore = "redis"\n')
    with closing(open_store(load_settings(file))) as other:
        other.save(0, b"other", 1)
    result = run("move", "--to", "files")
    assert "state of partition 0 in files already" in result.output
    assert kept(files) == before
