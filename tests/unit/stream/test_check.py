"""`meander check`: what is built, what is said, what is warned of, and what a change costs."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from learners.snapshot import fingerprint
from stream import toml
from stream.cli import main
from stream.commands.check import changes, resolved, surprises, unbuildable
from stream.processing.processor import Processor
from stream.settings import parse_settings

BASE = {
    "name": "fraud",
    "task": "binary",
    "features": {
        "amount": {"min": 0, "max": 900},
        "a.b": {"type": "category", "missing": "constant", "fill": "x"},
    },
    "label": {"classes": ["fine", "fraud"], "positive": "fraud"},
    "rules": {"high": {"when": "amount > 800", "then": {"fraud": 0.9}}},
}


def settings(*changed, **more):
    """The base with keys replaced: ("label", {...}) pairs are merged into tables."""
    raw = {**BASE, **more}
    for section, table in changed:
        raw[section] = {**raw.get(section, {}), **table}
    return parse_settings(raw, "d.toml", {})


def test_what_is_printed_is_the_same_definition():
    """The settings in full are a definition file that loads as the same settings."""
    whole = settings(("kafka", {"brokers": "a:1,b:2"}), ("models", {"m": {"recipe": "naive_bayes"}}))
    again = parse_settings(tomllib.loads("\n".join(toml.document(resolved(whole)))), "d.toml", {})
    assert again == whole


@pytest.mark.parametrize(
    ("section", "table", "message"),
    [
        ("models", {"m": {"recipe": "logistic_regresion"}}, "models.m"),
        ("models", {"m": {"recipe": "additive_regression"}}, "models.m"),
        ("models", {"m": {"recipe": "logistic_regression", "parameters": {"rate": 1}}}, "models.m"),
        ("models", {"m": {"recipe": "nowhere.at.all:build"}}, "models.m"),
        ("rules", {"r": {"when": "amuont > 1", "then": "fraud"}}, "rules.r"),
        ("rules", {"r": {"when": "amount >", "then": "fraud"}}, "rules.r"),
        ("rules", {"r": {"when": "true", "then": "frod"}}, "rules.r"),
        ("rules", {"r": {"recipe": "mean"}}, "rules.r"),
        ("drift", {"detector": "ADWNI"}, "drift"),
        ("drift", {"detector": "ADWIN", "parameters": {"dleta": 1}}, "drift"),
    ],
)
def test_what_cannot_be_built_is_found(section, table, message):
    """Recipes, rules and detectors are built, not only read; what fails is named by its key."""
    (fault,) = unbuildable(settings((section, table)).definition)
    assert message in str(fault)


def test_a_sound_definition_has_no_faults_and_no_surprises():
    """Nothing is said where nothing is to be said."""
    assert list(unbuildable(settings().definition)) == []
    assert list(surprises(settings())) == []


@pytest.mark.parametrize(
    ("changed", "more", "message"),
    [
        (("label", {"positive": None}), {}, "label.positive is not given"),
        (("features", {"n": {}}), {}, "no range for n"),
        (
            ("rules", {"all": {"when": "true", "then": "fine"}, "late": {"when": "true", "then": "fine"}}),
            {},
            "late",
        ),
        (("models", {"m": {"recipe": "my.models:build"}}), {}, "must be importable"),
        (("drift", {"on_drift": "tell"}), {}, "nothing is done"),
        (("drift", {"patience": 50}), {}, "dropped too soon"),
        (("kafka", {"brokers": "kafka-1:9092"}), {}, "kafka.replication = 1"),
        (("kafka", {"password": "s3cret"}), {}, "MEANDER_KAFKA_PASSWORD"),
        (("kafka", {"security": "SASL_SSL"}), {}, "needs kafka.mechanism"),
        (("kafka", {"session_timeout": "2s"}), {}, "6s to 30m"),
        (("web", {"host": "10.0.0.1"}), {}, "can see everything"),
        (("label", {"pending_limit": 10**8}), {}, "GB"),
        (("kafka", {}), {"scope": "partition"}, "learner of its own"),
        (
            ("models", {"m": {"recipe": "linear_regression"}}),
            {"task": "regression", "label": {}, "rules": {}},
            "can diverge",
        ),
        (("models", {}), {"task": "regression", "label": {}, "rules": {}}, "label.min and label.max"),
    ],
)
def test_what_may_surprise_is_said(changed, more, message, monkeypatch):
    """Each setting that does something unexpected gets its sentence."""
    monkeypatch.delenv("MEANDER_KAFKA_PASSWORD", raising=False)
    assert any(message in said for said in surprises(settings(changed, **more)))


CHANGES = [
    (("features", {"amount": {"min": 0, "max": 1000}}), {}, "features.amount.max", False),
    (("features", {"age": {"max": 99}}), {}, "features.age", False),
    (
        ("features", {"a.b": {"type": "text", "missing": "constant", "fill": "x"}}),
        {},
        'features."a.b".type',
        False,
    ),
    (("label", {"classes": ["fine", "fraud", "x"]}), {"task": "multiclass"}, "label.classes", False),
    (("label", {"positive": "fine"}), {}, "label.positive", False),
    (("label", {"ttl": "1d"}), {}, "label.ttl", True),
    (("label", {"default": "fraud"}), {}, "label.default", True),
    (("label", {}), {"name": "other"}, "name", False),
    (("label", {}), {"scope": "partition"}, "scope", False),
    (("label", {}), {"warm_up": 5}, "warm_up", True),
    (("rules", {"low": {"when": "amount < 1", "then": "fine"}}), {}, "rules.low", True),
    (("models", {"m": {"recipe": "naive_bayes"}}), {}, "models.m", True),
    (("label", {}), {"seed": 2}, "seed", True),
    (("drift", {"detector": "DDM"}), {}, "drift.detector", True),
    (("drift", {"alpha": 0.01}), {}, "drift.alpha", True),
    (("kafka", {"replication": 3}), {}, "kafka.replication", True),
    (("snapshots", {"keep": 9}), {}, "snapshots.keep", True),
    (("web", {"port": 0}), {}, "web.port", True),
]


@pytest.mark.parametrize(("changed", "more", "key", "keeps"), CHANGES)
def test_a_change_keeps_state_or_not(changed, more, key, keeps):
    """Each change is named by its key, and what it costs is what a snapshot's fingerprint says."""
    if "task" in more:
        changed = (changed[0], {**changed[1], "positive": None})
    before, after = settings(), settings(changed, **more)
    found = {change["key"]: change["keeps_state"] for change in changes(before, after)}
    assert found[key] is keeps
    assert all(found.values()) == (fingerprint(before.definition) == fingerprint(after.definition))


def test_a_new_password_is_told_without_telling_it():
    """A changed secret is a change, though both sides are masked."""
    (change,) = changes(settings(("kafka", {"password": "a"})), settings(("kafka", {"password": "b"})))
    assert (change["key"], change["from"], change["to"]) == ("kafka.password", "********", "********")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEANDER_BROKERS", raising=False)
    monkeypatch.delenv("MEANDER_KAFKA_PASSWORD", raising=False)
    for name, whole in (
        ("good", settings(("kafka", {"password": "s3cret"}))),
        ("other", settings(("drift", {"alpha": 0.01}), scope="partition")),
        ("bad", settings(("rules", {"r": {"when": "amuont > 1", "then": "fraud"}}))),
    ):
        text = "\n".join(toml.document(resolved(whole)))
        (tmp_path / f"{name}.toml").write_text(text.replace("********", "s3cret"))
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_prints_what_holds_without_secrets(run):
    """The settings come out as TOML or JSON, the password masked, warnings beside them."""
    done = run("check", "good.toml")
    assert done.exit_code == 0, done.output
    assert tomllib.loads(done.stdout)["drift"]["alpha"] == 0.05
    assert "s3cret" not in done.output
    assert "warning: kafka.password stands in the file" in done.stderr
    shown = json.loads(run("check", "good.toml", "--json").stdout)
    assert set(shown["settings"]["kafka"]["password"]) == {"*"}
    assert len(shown["warnings"]) == 2


def test_the_command_fails_with_a_sentence(run):
    """What cannot run exits with 2 and names file and key."""
    done = run("check", "bad.toml")
    assert done.exit_code == 2
    assert "meander: bad.toml: rules.r" in done.stderr
    assert run("check", "nowhere.toml").exit_code == 2


def test_the_command_compares(run):
    """`--against` tells what a change costs, in words or as JSON, without secrets."""
    done = run("check", "other.toml", "--against", "good.toml")
    assert done.exit_code == 0, done.output
    rebuild, _, keeps = done.stdout.partition("Keeps what was learned")
    assert 'scope: "deployment" -> "partition"' in rebuild
    assert "drift.alpha: 0.05 -> 0.01" in keeps
    assert "s3cret" not in done.output
    assert "says the same" in run("check", "good.toml", "--against", "good.toml").stdout
    found = json.loads(run("check", "other.toml", "--against", "good.toml", "--json").stdout)["changes"]
    assert {"key": "scope", "from": "deployment", "to": "partition", "keeps_state": False} in found


def test_the_command_compares_with_a_snapshot(run):
    """A snapshot tells which definition it was made with; it need not be opened for that."""
    data = Processor(settings(("models", {"m": {"recipe": "naive_bayes"}})).definition).snapshot()
    Path("a.snapshot").write_bytes(data)
    done = run("check", "good.toml", "--against", "a.snapshot")
    assert done.exit_code == 0, done.output
    assert "models.m" in done.stdout
    assert "Needs a rebuild" not in done.stdout
