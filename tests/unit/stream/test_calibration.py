"""The calibration of a detector, and what it writes."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from learners.definition import Drift, parse_definition
from learners.detectors import DETECTORS
from learners.errors import MeanderError
from producers.load import Columns
from producers.orders import Change
from stream.calibration import (
    DIALS,
    CalibrationError,
    Errors,
    Point,
    calibrate,
    calm,
    errors_of,
    names,
    redrawn,
    risen,
)
from stream.calibration_page import page
from stream.cli import main
from stream.toml_edit import EditError, set_value

TEXT = """\
# mine
name = "x"  # the name

[drift]  # what to watch
detector = "ADWIN"
# parameters = {}
on_drift = "tell"

[columns]
label = "y"
"""


def coins(p: float, n: int = 3000, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < p).astype(float)


@pytest.mark.parametrize("detector", ["bet", "ADWIN"])
def test_the_chosen_setting_keeps_the_budget(detector: str) -> None:
    """Nervous settings cry too often, and of those that do not, the most nervous is chosen: the soonest."""
    curve = calibrate(coins(0.2), detector, Drift(detector=detector), 1000, 0.3, 1, lambda: None)
    assert curve.chosen is not None
    assert curve.chosen.between >= 1000
    kept = [point for point in curve.points if point.between >= 1000]
    assert curve.chosen is kept[-1]
    assert curve.chosen.delay == min(point.delay for point in kept if point.delay is not None)
    assert curve.points[0].missed >= curve.points[-1].missed


def test_the_dummies() -> None:
    """One that cries at random is late or never, whatever happens; none is never."""
    random = calibrate(coins(0.2), "random", Drift(), 10_000, 0.3, 1, lambda: None)
    none = calibrate(coins(0.2), "none", Drift(), 10_000, 0.3, 1, lambda: None)
    assert random.points[0].missed > 0.8
    assert (none.points[0].alarms, none.points[0].delay, none.points[0].missed) == (0, None, 1.0)


def test_one_sided() -> None:
    """No false alarm seen is no proof that there is none: 10,000 quiet losses vouch for 4,343."""
    assert Point(0.0, 0, 10_000, None, 1.0).between == pytest.approx(4343, rel=1e-3)
    assert Point(0.0, 40, 10_000, None, 1.0).between < 250


def test_what_is_drawn_again_keeps_neighbours() -> None:
    """Errors that come in runs still do; the mean is about what it was."""
    losses = np.repeat(coins(0.3, 400), 10)
    drawn = redrawn(losses, 20_000, np.random.default_rng(1))
    assert len(drawn) == 20_000
    assert abs(drawn.mean() - losses.mean()) < 0.05
    assert np.corrcoef(drawn[1:], drawn[:-1])[0, 1] > 0.7
    assert abs(risen(drawn, 0.2, np.random.default_rng(1)).mean() - drawn.mean() - 0.2) < 0.02


def test_changes_are_left_out() -> None:
    """What is about a change in the truth file is no calm world."""
    losses = np.concatenate([np.zeros(2000), np.ones(500), np.zeros(1500)])
    errors = Errors(losses, np.arange(4000), [], 4000)
    change = Change(at=2000, until=2000, kind="noise", expects=("concept",))
    assert calm(errors, [change]).sum() == 0
    assert calm(errors, []).sum() == 500
    with pytest.raises(CalibrationError, match="too little"):
        calm(errors, [Change(at=0, until=4000, kind="gradual")])


def test_every_detector_has_a_dial() -> None:
    """A detector there is can be calibrated; an unknown one is answered with those there are."""
    assert set(DIALS) == set(DETECTORS)
    assert "KSWIN" not in names([])
    with pytest.raises(CalibrationError, match="One of: bet, ADWIN"):
        names(["nothing"])


@pytest.mark.parametrize("key", ["parameters", "detector", "alpha"])
def test_an_edit_changes_one_line(key: str) -> None:
    """Comments, order and all other lines stay."""
    value = {"parameters": {"delta": 0.01}, "detector": "bet", "alpha": 0.1}[key]
    new = set_value(TEXT, "drift", key, value, "why")
    assert tomllib.loads(new)["drift"] == {**tomllib.loads(TEXT)["drift"], key: value}
    gone = [line for line in TEXT.splitlines() if line not in new.splitlines()]
    come = [line for line in new.splitlines() if line not in TEXT.splitlines()]
    assert (len(gone), len(come)) == (1 if key == "detector" else 0, 1)
    assert come[0].endswith("# why")


def test_a_section_is_added_at_the_end() -> None:
    """Where there was none."""
    assert set_value('name = "x"\n', "drift", "alpha", 0.1) == 'name = "x"\n\n[drift]\nalpha = 0.1\n'


@pytest.mark.parametrize("text", ["drift = { alpha = 1 }\n", "[drift]\nalpha = [\n1,\n]\n"])
def test_what_cannot_be_edited_is_told(text: str) -> None:
    """The line to write is named; nothing is guessed."""
    with pytest.raises(EditError, match=r"write there: alpha = 0\.1"):
        set_value(text, "drift", "alpha", 0.1)
    assert issubclass(EditError, MeanderError)


def test_from_file_to_definition(tmp_path: Path) -> None:
    """A stream and its truth on the command line: a table, curves, and one line in the definition."""
    run = CliRunner().invoke
    data, truth, file = (str(tmp_path / name) for name in ("d.jsonl", "truth", "d.toml"))
    assert (
        run(main, ["scenario", "stagger", "--out", data, "--truth", truth, "--definition", file]).exit_code
        == 0
    )
    before = Path(file).read_text()
    curves = str(tmp_path / "curves.html")
    options = ["--truth", truth, "--budget", "500", "--detector", "bet", "--out", curves, "--write"]
    result = run(main, ["calibrate", file, data, *options])
    assert result.exit_code == 0, result.output
    assert "2 of 2 changes signalled" in result.output
    assert "random" in result.output
    assert "none" in result.output
    after = Path(file).read_text()
    assert after.startswith(before.rstrip())
    assert list(tomllib.loads(after)["drift"]["parameters"]) == ["budget"]
    html = Path(curves).read_text()
    assert html.count("<circle") >= 5
    assert "http" not in html.replace("http-equiv", "")
    assert json.loads(Path(truth).read_text().splitlines()[0])["at"] == 3000


def test_names_are_escaped_in_the_page() -> None:
    """Whatever a deployment is called, the page holds no markup of it."""
    curve = calibrate(coins(0.2, 1000), "bet", Drift(), 200, 0.3, 1, lambda: None)
    html = page("<script>", [curve], 200, 0.3, [{"detector": "<b>"}])
    assert "<script" not in html
    assert "<b>" not in html


def test_event_times_of_a_file_are_compared_with_nothing() -> None:
    """A file has no record times: whatever its rows say, their labels are scored."""
    definition = parse_definition(
        {
            "name": "x",
            "task": "binary",
            "features": {"a": {}},
            "label": {"classes": ["n", "y"]},
            "models": {"lr": {"recipe": "logistic_regression"}},
        }
    )
    rows = [
        {"a": i % 7, "y": "ny"[i % 2], "at": f"2026-01-{1 + i // 20:02}T10:{i % 20:02}:00"}
        for i in range(400)
    ]
    found = errors_of(definition, rows, Columns(label="y", timestamp="at"), None, lambda _: None)
    assert len(found.losses) == 400
