"""The page of quality says what is true: one of its streams is measured again."""

import re
from pathlib import Path
from typing import Any

import pytest

from learners import catalogue

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "quality.md").read_text(encoding="utf-8")
NEAR = 0.005  # six rows of Phishing: sums of float32 differ between processors


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The benchmark, with an empty cache."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    main = __import__("quality.__main__", fromlist=["measure"])
    monkeypatch.setattr("quality.answers.CACHE", tmp_path)
    return main


def tables(text: str, stream: str) -> list[dict[str, str]]:
    """Return the rows of a stream in all tables, by heading."""
    found, head = [], list[str]()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ("stream", "preset"):
            head = cells
        elif cells[0] == stream:
            found.append(dict(zip(head, cells, strict=True)))
    return found


def number(cell: str) -> float:
    """Return the first number of a cell."""
    match = re.search(r"[-+]?\d*\.?\d+", cell)
    assert match, cell
    return float(match.group())


def test_one_stream_measured_anew_is_as_the_page_has_it(quality: Any) -> None:
    """Phishing: every member, preset and rival gives the committed figures, computed from nothing."""
    result = quality.measure(quality.STREAMS["Phishing"], cached_only=False)
    fresh, kept = tables(quality.write([result]), "Phishing"), tables(PAGE, "Phishing")
    compared = 0
    for now, then in zip(fresh, kept, strict=True):
        for head, cell in then.items():
            if head in now and re.match(r"[-+.\d]", cell) and len(cell) > 1:
                near = 100 * NEAR if cell[0] in "+-" else NEAR if cell[0] == "." else 0.05
                assert number(now[head]) == pytest.approx(number(cell), abs=near), head
                compared += 1

    assert compared > 20
    assert result.points(result.runs["balanced"].score) > 1.0


def test_the_harness_scores_as_a_plain_loop(quality: Any) -> None:
    """An answer from the cache through a Processor with one model is that model's own answer."""
    stream = quality.STREAMS["Phishing"]
    roster = {"m": {"recipe": "logistic_regression"}}
    alone = quality.runs.score(stream, quality.answers(stream, "logistic_regression", {}))
    served = quality.runs.run(stream, roster, warm_up=0, champion="m", drift={"on_drift": "tell"})

    assert served.score.value == pytest.approx(alone.value, abs=0.002)


def test_answers_depend_on_the_code_the_member_is_made_of_alone(quality: Any) -> None:
    """A change of another recipe leaves a tree's answers; one of what a member's class names does not."""
    from quality.answers import sources

    stream = quality.STREAMS["Phishing"]
    definition = stream.definition({"m": {"recipe": "near_rows"}})
    tree = "".join(sources(catalogue.build("hoeffding_adaptive_tree", definition, {})))
    near = "".join(sources(catalogue.build("near_rows", definition, {})))

    assert "class _AdaptiveTree" in tree
    assert "class _InOrder" in tree
    assert "NearRows" not in tree
    assert "class NearRowsClassifier" in near
    assert "class Vectors" in near
    assert "_AdaptiveTree" not in near


def test_what_was_measured_is_kept_until_the_code_changes(
    quality: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted run goes on; figures of other code are taken only when asked for, and say so."""
    from quality import kept, page

    stream = quality.STREAMS["Phishing"]
    kept.keep(page.Result(stream), ("waves",))

    assert kept.find(stream, ("waves",), older=False) is not None
    assert kept.find(stream, (), older=False) is None
    monkeypatch.setattr(kept, "_digest", lambda: "changed")
    assert kept.find(stream, ("waves",), older=False) is None
    older = kept.find(stream, ("waves",), older=True)
    assert older is not None
    assert older.older


def test_decisions_are_rarely_wrong(quality: Any) -> None:
    """A small part of that table: equal members are not promoted, a fallen champion is demoted."""
    from quality import promotions

    rows = list(promotions.rows(pairs=20))

    assert all(row.holds for row in rows if row.what.startswith("equal"))
    assert any(row.holds for row in rows if "turns to .30:" in row.what)
