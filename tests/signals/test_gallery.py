"""What is signalled, and what is not, on streams whose changes are known. The long form: ``make signals``."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from producers.scenarios import Scenario, Segment, alternating, scenario
from producers.truth import judge
from stream.cli import main
from tests.signals.gallery import run


@pytest.mark.parametrize("name", ["stagger", "sine", "inverted"])
def test_abrupt_changes_are_signalled(name: str) -> None:
    """Each one, within 40 rows on the mean, and nothing is cried before the first."""
    made = scenario(name)
    told = run(made)
    verdict = judge(made.changes, [(t.at, t.kind) for t in told], made.length)
    assert verdict.missed == ()
    assert verdict.mean_delay is not None
    assert verdict.mean_delay <= 40
    assert [t for t in told if t.at < made.changes[0].at] == []


def test_a_gradual_change_is_signalled_though_rules_take_over() -> None:
    """Rules answer while it goes on; the champion's loss is watched all the same."""
    made = scenario("gradual")
    told = run(made)
    assert judge(made.changes, [(t.at, t.kind) for t in told], made.length).missed == ()


def test_covariate_shift_is_no_concept_drift() -> None:
    """Features move and the relation holds: data signals that name the features, no concept signal."""
    told = run(Scenario((Segment(2500), Segment(1500, shift=1.5)), seed=5))
    features = {t.transition.evidence["feature"] for t in told if t.kind == "data"}
    assert features == {"amount", "delivery_days"}
    assert all(2500 <= t.at < 2700 for t in told if t.kind == "data")
    assert [t for t in told if t.kind in ("concept", "producer", "label_silence")] == []


@pytest.mark.parametrize(
    ("fault", "feature", "words"),
    [
        ({"stuck": "delivery_days"}, "delivery_days", "is constant"),
        ({"scaled": "amount"}, "amount", "is rescaled: about 100 times"),
    ],
)
def test_a_senders_fault_names_sender_and_feature(fault: dict, feature: str, words: str) -> None:
    """One shop of four errs: the signal says who, which feature, and how."""
    told = run(Scenario((Segment(4600), Segment(500, **fault)), seed=2, shops=True))
    (signal,) = [t for t in told if t.kind == "producer"]
    assert 4600 <= signal.at < 4900
    evidence = signal.transition.evidence
    assert (evidence["feature"], evidence["producer"]) == (feature, "shop-3")
    assert words in signal.transition.reason
    assert [t for t in told if t.kind == "data"] == []


@pytest.mark.parametrize("seed", [7, 8])
def test_a_steady_world_is_quiet(seed: int) -> None:
    """No signal of any kind."""
    assert run(replace(alternating(5000), seed=seed)) == []


def test_one_positive_in_a_hundred_is_quiet_under_the_loss_balanced() -> None:
    """Models find out that there are positives, and err more often on the others: no rise of the loss."""
    made = Scenario((Segment(6000, prior=0.01),), seed=1)
    assert [t for t in run(made, "fast", {"loss": "balanced"}) if t.kind == "concept"] == []


def test_a_scenario_is_replayed_by_its_name(tmp_path: Path) -> None:
    """As from a file of it: the report counts its rows, the transitions have its signals."""
    toml = tmp_path / "stagger.toml"
    made = CliRunner().invoke(main, ["scenario", "stagger", "--definition", str(toml)])
    assert made.exit_code == 0, made.output
    out = tmp_path / "out"
    replayed = CliRunner().invoke(main, ["replay", str(toml), "--scenario", "stagger", "--out", str(out)])
    assert replayed.exit_code == 0, replayed.output
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 9000
    assert '"signal":"concept"' in (out / "transitions.jsonl").read_text().replace(" ", "")
    both = CliRunner().invoke(main, ["replay", str(toml), "rows.csv", "--scenario", "stagger"])
    assert "Give one of" in both.output
