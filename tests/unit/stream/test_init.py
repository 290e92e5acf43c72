"""`meander init`: from a data file to a definition that runs, whatever the file looks like."""

import csv
import gzip
import io
import json
import random
import tomllib
from itertools import islice

import pytest
from click.testing import CliRunner

from learners import catalogue, presets, rules
from learners.contract import Contract
from producers.files import label_of, rows, typed
from producers.survey import Survey, SurveyError, head_room
from stream.cli import main
from stream.init import Wishes, name_from, write_definition
from stream.settings import parse_settings

WORDS = ("red", "green", "blue", "mauve")


def survey(data, label="y"):
    found = Survey(label)
    for _ in found.over(data):
        pass
    return found


def definition(data, label="y", **wishes):
    text = write_definition(survey(data, label), Wishes(label, "d", "data.csv", **wishes))
    return parse_settings(tomllib.loads(text), "d.toml").definition, text


def exercise(definition, data, label="y"):
    """Let everything the definition names predict and learn; returns how many rows kept the contract."""
    contract = Contract(definition)
    members = [catalogue.build(m.recipe, definition, m.parameters) for m in definition.models.values()]
    members += [rules.build_rule(name, rule, definition) for name, rule in definition.rules.items()]
    kept = 0
    for row in islice(data, 200):
        x, y = typed(row, definition.features), label_of(row.get(label), definition)
        if y is None or contract.violations(x):
            continue
        kept += 1
        for member in members:
            answer = member.predict_one if definition.task == "regression" else member.predict_proba_one
            answer(x)
            member.learn_one(x, contract.internal(y))
    return kept


def as_csv(table):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def mixed(n=400, seed=1):
    """Rows of every kind of column, as a program would write them to CSV."""
    chance = random.Random(seed)
    return [
        {
            "at": f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00:00",
            "id": f"e{i:05d}",
            "row": i,
            "amount": "" if chance.random() < 0.1 else round(chance.lognormvariate(3, 1), 2),
            "age": chance.randint(18, 80),
            "colour": "NA" if chance.random() < 0.05 else chance.choice(WORDS),
            "day": chance.choice(("Mon", "Tue", "Wed", "Sat")),
            "city": f"city {chance.randrange(150)}",
            "member": chance.choice(("True", "False")),
            "constant": 7,
            "nothing": "?",
            "y": "fraud" if chance.random() < 0.2 else "fine",
        }
        for i in range(n)
    ]


def test_every_kind_of_column_is_found():
    """Each kind of column is declared as what it is; ids and empty columns are left out."""
    data = mixed()
    found, text = definition(data)
    kinds = {name: feature.type for name, feature in found.features.items()}
    assert kinds == {
        "at": "time",
        "amount": "number",
        "age": "integer",
        "colour": "category",
        "day": "category",
        "city": "text",
        "member": "boolean",
        "constant": "integer",
    }
    assert found.features["amount"].missing == "mean"
    assert found.features["day"].categories == ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    assert found.features["colour"].categories is None
    assert found.features["constant"].min is None
    assert "id: almost every row" in text
    assert "row: counts the rows" in text
    assert "nothing: holds nothing" in text
    assert "constant here" in text


def test_what_it_writes_runs(tmp_path):
    """All it names learns from the rows it was written for, and these keep the contract."""
    file = tmp_path / "mixed.csv"
    file.write_text(as_csv(mixed()))
    found, _ = definition(rows(file))
    assert exercise(found, rows(file)) == 200


@pytest.mark.parametrize(
    ("labels", "task", "classes", "positive"),
    [
        (["no"] * 90 + ["yes"] * 10, "binary", ("no", "yes"), "yes"),
        (["no"] * 10 + ["yes"] * 90, "binary", ("no", "yes"), "no"),
        (["a", "b"] * 50, "binary", ("a", "b"), "b"),
        (["0"] * 70 + ["1"] * 30, "binary", (0, 1), 1),
        (["1.0"] * 70 + ["2.0"] * 30, "binary", (1, 2), 2),
        (["True"] * 20 + ["False"] * 80, "binary", (False, True), True),
        ([True] * 20 + [False] * 80, "binary", (False, True), True),
        (["a", "b", "c"] * 40, "multiclass", ("a", "b", "c"), None),
        (["1", "2", "3", "10"] * 40, "multiclass", (1, 2, 3, 10), None),
        (["1", "x", "3"] * 40, "multiclass", ("1", "3", "x"), None),
        ([str(n) for n in range(100)], "regression", (), None),
        ([f"{n / 7}" for n in range(100)], "regression", (), None),
        (["0.5", "1.5"] * 50, "regression", (), None),
        ([n / 7 for n in range(100)], "regression", (), None),
    ],
)
def test_labels_tell_the_task(labels, task, classes, positive):
    """Text and few distinct integers are classes, the rarer of two is positive; other numbers are amounts."""
    data = [{"x": str(i % 17), "y": label} for i, label in enumerate(labels)]
    found, _ = definition(data)
    assert (found.task, found.classes, found.positive) == (task, classes, positive)
    assert [type(c) for c in found.classes] == [type(c) for c in classes]
    assert exercise(found, data) == len(data)


def test_a_wished_task_is_taken():
    """Ratings from 1 to 5 are classes unless the caller says that they are amounts."""
    data = [{"x": str(i % 17), "y": str(i % 5)} for i in range(100)]
    assert definition(data)[0].task == "multiclass"
    assert definition(data, task="regression")[0].task == "regression"


@pytest.mark.parametrize("labels", [["no", "yes", "no"], ["1.5", "2.75", "9.25"]])
def test_what_no_label_may_mean_is_a_line_that_holds(labels):
    """No click within an hour means no click: whoever wants that takes away a # sign."""
    data = [{"x": str(n % 7), "y": labels[n % 3]} for n in range(90)]
    _, text = definition(data)
    found = parse_settings(tomllib.loads(text.replace("# expire_as", "expire_as")), "d.toml").definition
    assert found.label.expire_as in ("no", 0.0)


def test_a_rare_class_is_spoken_of():
    """With 1% positives the definition says that accuracy tells little."""
    data = [{"x": str(i % 17), "y": "fraud" if i % 100 == 0 else "fine"} for i in range(1000)]
    found, text = definition(data)
    assert found.positive == "fraud"
    assert "right 99% of the time" in text
    assert exercise(found, data) == 200


def test_five_hundred_columns():
    """A wide file is one line a column, and its roster has no trees."""
    chance = random.Random(1)
    data = [{**{f"c{n}": f"{chance.random():.3f}" for n in range(500)}, "y": str(i % 3)} for i in range(60)]
    found, text = definition(data)
    assert len(found.features) == 500
    assert len(text.splitlines()) < 600
    assert "tree" not in found.models
    assert exercise(found, data) == 60


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_a_preset_is_written_with_what_it_costs(preset):
    """Each preset's roster is written whole, and a comment tells its cost and that of the others."""
    data = [{"a": str(i % 17), "b": str(i % 5), "y": "no" if i % 3 else "yes"} for i in range(300)]
    found, text = definition(data, preset=preset, rate=100.0)
    seats = presets.ROSTERS["binary"][preset]
    assert {slot: m.recipe for slot, m in found.models.items()} == {s.slot: s.recipe for s in seats}
    for named in presets.PRESETS:
        assert f"{named}" in text
        assert f" {presets.cost('binary', named, 2, 2)}" in text
    assert "100 events a second take about" in text
    assert exercise(found, data) == 200


def test_without_a_preset_the_rate_decides():
    """A slow stream gets the dearest roster, a quick one the cheapest, and the reason is written."""
    data = [{"a": str(i % 17), "y": "no" if i % 3 else "yes"} for i in range(300)]
    for rate, preset in ((1.0, "accurate"), (1e5, "fast"), (None, "balanced")):
        found, text = definition(data, rate=rate)
        assert len(found.models) == len(presets.ROSTERS["binary"][preset])
        assert f"Preset {preset}, " in text


def test_ugly_names_stay_what_they_are(tmp_path):
    """Blanks, dots, quotes, other scripts and an empty heading make keys that TOML reads back unchanged."""
    names = [
        "a b",
        "a.b",
        'say "x"',
        "it's",
        "größe",
        "日本",
        "tab\there",
        "# no",
        "[x]",
        "in",
        "back\\slash",
        "\x7f",
    ]
    data = [{**{name: str(i * k % 7) for k, name in enumerate(names, 1)}, "y": str(i % 2)} for i in range(50)]
    found, _ = definition(data)
    assert list(found.features) == names
    assert exercise(found, data) == 50
    file = tmp_path / "d.csv"
    file.write_text(",x,y\n" + "".join(f"{i * 3 % 7},{i % 5},{i % 2}\n" for i in range(50)))
    assert list(definition(rows(file))[0].features) == ["column_1", "x"]


def test_json_lines_keep_their_types(tmp_path):
    """Booleans, numbers, texts, nulls and absent keys are told apart; nested values are left out."""
    file = tmp_path / "d.jsonl.gz"
    data = [
        {"b": i % 3 == 0, "n": i / 3, "t": WORDS[i % 4], "deep": {"a": 1}, "y": i % 2 == 0}
        | ({"m": None} if i % 2 else {"m": i % 5})
        | ({"rare": 1.5} if i % 10 == 0 else {})
        for i in range(200)
    ]
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, data)).encode()))
    found, text = definition(rows(file))
    kinds = {name: feature.type for name, feature in found.features.items()}
    assert kinds == {"b": "boolean", "n": "number", "t": "category", "m": "integer", "rare": "number"}
    assert found.features["m"].missing == "mean"
    assert "90% missing" in text
    assert "deep: holds objects or lists" in text
    assert exercise(found, rows(file)) == 200


def test_a_copy_of_the_label_is_left_out():
    """A column that always equals the label would give the answer away."""
    data = [{"x": str(i % 7), "same": str(i % 2), "y": str(i % 2)} for i in range(50)]
    found, text = definition(data)
    assert list(found.features) == ["x"]
    assert "same: always equals the label" in text


def test_time_and_key_are_no_features():
    """The columns of event time and entity are named at the top and left out below."""
    found, text = definition(mixed(), timestamp="at", key="city")
    assert not {"at", "city"} & set(found.features)
    assert tomllib.loads(text)["columns"] == {"timestamp": "at", "key": "city", "label": "y"}
    assert '# id = "id"' in text


def test_large_numbers_keep_the_contract():
    """A large constant gets a range that takes it; what a float cannot tell apart is left out."""
    data = [
        {"big": "1700000000000", "id": str(2**60 + i % 3), "n": str(i % 9), "y": str(i % 2)}
        for i in range(50)
    ]
    found, text = definition(data)
    assert list(found.features) == ["big", "n"]
    assert "too large for numbers" in text
    assert exercise(found, data) == 50


def test_an_epoch_is_a_time():
    """Growing epoch seconds are a time, random integers of that size are not."""
    data = [{"when": str(1_700_000_000 + 60 * i), "n": str(i % 9), "y": str(i % 2)} for i in range(50)]
    assert definition(data)[0].features["when"].type == "time"


def test_ambiguous_dates_are_left_out():
    """Dates that may start with the day or with the month are not guessed at."""
    data = [{"seen": f"{1 + i % 12}/{1 + i % 9}/2024", "n": str(i % 9), "y": str(i % 2)} for i in range(50)]
    found, text = definition(data)
    assert "seen" not in found.features
    assert "the day or the month" in text


def test_codes_with_leading_zeros_are_text():
    """007 is a code: as a number it would lose what it says."""
    data = [{"zip": f"0{i % 7}00", "n": str(i % 9), "y": str(i % 2)} for i in range(50)]
    assert definition(data)[0].features["zip"].type == "category"


def test_a_few_words_among_numbers_are_told():
    """A column that is nearly all numbers is one; the rest breaks the contract, and the comment says so."""
    data = [{"n": "broken" if i % 50 == 0 else str(i % 9), "y": str(i % 2)} for i in range(200)]
    found, text = definition(data)
    assert found.features["n"].type == "integer"
    assert "4 values are no integer" in text
    assert exercise(found, data) == 196


def test_regression_has_a_rule_by_the_hour():
    """Where a column tells the hour, the mean of such hours stands before the mean."""
    data = [{"hr": str(i % 24), "x": str(i % 7), "y": str(i * 37 % 101)} for i in range(200)]
    found, _ = definition(data)
    assert [rule.recipe for rule in found.rules.values()] == ["mean_by", "mean"]
    data = [
        {"at": f"2024-01-01T{i % 24:02d}:00", "x": str(i % 7), "y": str(i * 37 % 101)} for i in range(200)
    ]
    found, _ = definition(data)
    assert found.rules["usual"].parameters == {"hour_of": "at"}
    assert exercise(found, data) == 200


@pytest.mark.parametrize(
    ("data", "label", "wishes", "message"),
    [
        ([], "y", {}, "has a header but no rows"),
        ([{"x": "1", "y": "2"}], "z", {}, "There are: x, y"),
        ([{"x": "1", "target": "2"}], "tagret", {}, "Did you mean 'target'"),
        ([{"x": "1", "y": "2"}] * 9, "y", {}, "is always 2"),
        ([{"x": str(i), "y": (True, "no")[i % 2]} for i in range(9)], "y", {}, "write its classes one way"),
        ([{"x": "1", "y": ""}] * 9, "y", {}, "holds nothing"),
        ([{"x": "1", "y": [1]}] * 9, "y", {}, "objects or lists"),
        ([{"x": "1", "y": f"word {i}"} for i in range(200)], "y", {}, "200 distinct values"),
        ([{"x": "1", "y": f"word {i}"} for i in range(2000)], "y", {}, "more than 1,000 distinct values"),
        ([{"y": str(i % 2)} for i in range(9)], "y", {}, "no column is left"),
        ([{"x": "1", "y": "2"}], "y", {"timestamp": "y"}, "that is the label"),
        ([{"x": "1", "y": "2"}], "y", {"key": "k"}, "--key k: data.csv has no such column"),
        (
            [{"x": str(i), "y": WORDS[i % 4]} for i in range(9)],
            "y",
            {"task": "binary"},
            "a binary task has two",
        ),
        ([{"x": str(i), "y": WORDS[i % 4]} for i in range(9)], "y", {"task": "regression"}, "needs numbers"),
    ],
)
def test_what_cannot_be_learned_is_refused(data, label, wishes, message):
    """A file that makes no definition says why, and what to do."""
    with pytest.raises(SurveyError) as caught:
        definition(data, label, **wishes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (-1, 2)),
        (5.0, 5.0, None),
        (0.0, 0.85, (-0.9, 1.7)),
        (-1e308, 1e308, None),
        (0.0, 1e-9, (-1e-9, 2e-9)),
    ],
)
def test_head_room(low, high, expected):
    """Ranges grow by their own width and are rounded outwards; a point, or all numbers, have none."""
    assert head_room(low, high) == (pytest.approx(expected) if expected else None)


@pytest.mark.parametrize(
    ("file", "name"), [("a/b/Café Sales.csv", "caf-sales"), ("-.csv", "deployment"), ("x" * 99, "x" * 63)]
)
def test_a_name_for_topics(file, name):
    """A file's name becomes one that Kafka takes."""
    assert name_from(file) == name


def test_a_million_distinct_values_take_bounded_memory():
    """A column remembers a thousand values, however many there are."""
    found = survey({"x": str(n), "w": f"w{n}", "y": str(n % 2)} for n in range(20_000))
    assert found.columns["x"].distinct == found.columns["w"].distinct == 1000
    assert found.columns["x"].highest == 19_999


SHARED = [
    ("elec2", "binary", "logistic_regression", 8, "UP"),
    ("noaa_weather", "binary", "logistic_regression", 8, 1),
    ("stagger_abrupt", "binary", "logistic_regression", 3, None),
    ("insects_gradual_balanced", "multiclass", "one_vs_rest", 33, None),
    ("bike_sharing_hourly", "regression", "additive_regression", 13, None),
]


@pytest.mark.parametrize(("name", "task", "recipe", "width", "positive"), SHARED)
def test_real_streams(data_folder, name, task, recipe, width, positive):
    """On each real stream the blend serves; the first recipe of its roster is the one with known scores."""
    file = data_folder / f"{name}.csv.gz"
    found, _ = definition(rows(file, 5000), "target")
    assert (found.task, len(found.features)) == (task, width)
    assert found.champion == "blend"
    assert next(iter(found.models.values())).recipe == recipe
    assert positive is None or found.positive == positive
    assert exercise(found, rows(file), "target") == 200


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_writes_a_definition_that_checks(run, tmp_path):
    """`init` then `check` work, `init` does not overwrite unless forced, and `-o -` prints."""
    (tmp_path / "Some Data.csv").write_text(as_csv(mixed()))
    done = run("init", "Some Data.csv", "--label", "y", "--timestamp", "at")
    assert done.exit_code == 0, done.output
    assert "meander replay deployment.toml" in done.output
    assert run("check", "deployment.toml").exit_code == 0
    again = run("init", "Some Data.csv", "--label", "y")
    assert again.exit_code == 2
    assert "--force" in again.output
    assert run("init", "Some Data.csv", "--label", "y", "--force", "--name", "other").exit_code == 0
    printed = run("init", "Some Data.csv", "--label", "y", "-o", "-")
    assert tomllib.loads(printed.output)["name"] == "some-data"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("x,y\n", "no rows"),
        ("x,y\n1\n", "line 2"),
        ("x,y,x\n1,2,3\n", "both named"),
        ("x,y\n1,2\n", "always 2"),
    ],
)
def test_the_command_refuses_in_a_sentence(run, tmp_path, content, message):
    """A file that cannot be used ends with a message and exit code 2, and writes nothing."""
    (tmp_path / "d.csv").write_text(content)
    done = run("init", "d.csv", "--label", "y")
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "deployment.toml").exists()
