"""Writes a deployment's first definition from what a data file holds. Pure: a survey in, text out."""

import difflib
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from learners import presets
from learners.definition import TEXT_LIMIT, ClassName, Definition, Drift, Label, Task
from learners.presets import Preset
from producers.survey import MOSTLY, Column, Survey, SurveyError, percent, quoted, shown
from stream import toml
from stream.settings import Kafka, Snapshots, Web

CLASS_LIMIT = 100  # more classes than that are no classes
NUMBER_CLASS_LIMIT = 20  # more distinct integers than that are amounts
CATEGORY_LIMIT = 100  # more distinct values than that are hashed
RARE = 0.05  # a class with a smaller share deserves a word
LABEL_ROOM = 10  # widths of the observed range by which a label may leave it

_CLOSED = (
    "monday tuesday wednesday thursday friday saturday sunday",
    "mon tue wed thu fri sat sun",
    "january february march april may june july august september october november december",
    "jan feb mar apr may jun jul aug sep oct nov dec",
)
AN_ID = "almost every row has its own: an id"
_ID = re.compile(r"(^|[_\s.-])(id|uuid|guid|index|row|column_1)$|[a-z]I[dD]$", re.IGNORECASE)
_CYCLE = re.compile(r"(^|_)(hr|hour|weekday|dow|day_of_week)($|_)", re.IGNORECASE)


@dataclass(frozen=True)
class Wishes:
    """What the caller said.

    Attributes
    ----------
    label
        The column of the truth.
    name
        The deployment's.
    source
        The data file, as named in comments.
    timestamp, key
        The columns of event time and of the entity, where there are such.
    task
        Instead of the one the labels suggest.
    preset
        The roster, instead of the one that `learners.presets.choose` takes.
    rate
        Events a second that are expected, where said.
    """

    label: str
    name: str
    source: str
    timestamp: str | None = None
    key: str | None = None
    task: Task | None = None
    preset: Preset | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Truth:
    """What the label column says: the task, and the lines of ``[label]``."""

    task: Task
    classes: dict[ClassName, int]
    lines: list[str]
    summary: str


def name_from(file: str) -> str:
    """Return a deployment name for a data file.

    >>> name_from("Elec2 (2).csv.gz")
    'elec2-2'
    """
    stem = file.replace("\\", "/").rsplit("/", 1)[-1].split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63]
    return name.strip("-") or "deployment"


def write_definition(survey: Survey, wishes: Wishes) -> str:
    """Return the text of a definition file, in TOML.

    Parameters
    ----------
    survey
        Of the data file, complete.
    wishes
        What the caller said.

    Raises
    ------
    SurveyError
        When the file holds no rows, not the columns named, or no label that could be learned.

    Examples
    --------
    >>> survey = Survey("sold")
    >>> for _ in survey.over({"price": str(n % 9), "sold": str(n % 2)} for n in range(90)): pass
    >>> import tomllib
    >>> written = tomllib.loads(write_definition(survey, Wishes("sold", "shop", "shop.csv")))
    >>> written["task"], written["features"], written["label"]["classes"]
    ('binary', {'price': {'type': 'integer', 'min': 0, 'max': 16}}, [0, 1])
    """
    _check(survey, wishes)
    truth = _truth(survey, wishes)
    features, left_out = _features(survey, wishes)
    if not features:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out) or "there are no other columns"
        raise SurveyError(f"no column is left to predict {wishes.label!r} from ({reasons})")
    columns = [survey.columns[name] for name, _, _ in features]
    return "\n".join(
        [
            *_head(survey, wishes, truth),
            "",
            *truth.lines,
            "",
            *_feature_lines(features, left_out, truth.task),
            "",
            *_models(truth, len(features), wishes),
            "",
            *_rules(truth, columns),
            "",
            *_drift(),
            *_surroundings(),
            "",
            *_columns(wishes, left_out),
            "",
        ]
    )


def _check(survey: Survey, wishes: Wishes) -> None:
    if not survey.rows:
        raise SurveyError(f"{wishes.source} has a header but no rows: nothing to learn the columns from")
    for option, column in (("timestamp", wishes.timestamp), ("key", wishes.key)):
        if column == wishes.label:
            raise SurveyError(f"--{option} {column}: that is the label, which events do not have")
    for option, column in (("label", wishes.label), ("timestamp", wishes.timestamp), ("key", wishes.key)):
        if column is None or column in survey.columns:
            continue
        names = list(survey.columns)
        near = difflib.get_close_matches(column, names, n=1)
        some = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        advice = f"Did you mean {near[0]!r}?" if near else f"There are: {some}"
        raise SurveyError(f"--{option} {column}: {wishes.source} has no such column. {advice}")


def _truth(survey: Survey, wishes: Wishes) -> Truth:
    column = survey.columns[wishes.label]
    name = wishes.label
    if not column.present:
        raise SurveyError(f"column {name!r} holds nothing: no label to learn")
    if column["nested"]:
        raise SurveyError(f"column {name!r} holds objects or lists: a label is a class or a number")
    numeric = column["integer"] + column["number"] >= MOSTLY * column.present
    classes = column.classes()
    if len(classes) < 2 and not column.many:
        only = next(iter(classes))
        raise SurveyError(f"column {name!r} is always {only!r}: there is nothing to tell apart")
    task = wishes.task or _task(column, classes, numeric)
    if task == "regression":
        if not numeric:
            raise SurveyError(f"column {name!r} holds text: regression needs numbers")
        return _amount(survey, column)
    if column.many or len(classes) > CLASS_LIMIT:
        seen = f"more than {len(classes):,}" if column.many else f"{len(classes):,}"
        raise SurveyError(
            f"column {name!r} has {seen} distinct values: no classes, and no numbers. Is it the label?"
        )
    if all(isinstance(c, str) for c in classes) and not all(isinstance(v, str) for v, _ in column.values):
        raise SurveyError(f"column {name!r} mixes text with numbers or booleans: write its classes one way")
    if task == "binary" and len(classes) != 2:
        raise SurveyError(f"column {name!r} has {len(classes)} values: a binary task has two")
    return _classes(survey, column, task, classes)


def _task(column: Column, classes: Mapping[ClassName, int], numeric: bool) -> Task:
    whole = all(isinstance(c, int) for c in classes)
    few = not column.many and len(classes) <= NUMBER_CLASS_LIMIT
    repeated = len(classes) == 2 or len(classes) <= column.present / 10
    if numeric and not (whole and few and repeated):
        return "regression"
    return "binary" if len(classes) == 2 else "multiclass"


def _amount(survey: Survey, column: Column) -> Truth:
    room = column.room(LABEL_ROOM)
    lines = ["[label]"]
    if room:
        said = f"seen: {column.span}; a label far outside is refused, and answers stay inside"
        lines += [f"min = {room[0]}  # {said}", f"max = {room[1]}"]
    lines += _odd(survey, column, column.present - column["integer"] - column["number"], "no numbers")
    summary = f"predicts a number: {column.span}"
    lines += [*toml.defaults(Label, skip=("classes", "min", "max")), _assumed(0.0)]
    return Truth("regression", {}, lines, summary)


def _classes(survey: Survey, column: Column, task: Task, classes: dict[ClassName, int]) -> Truth:
    total = column.present
    most = max(classes, key=lambda c: classes[c])
    lines = ["[label]", f"classes = {toml.value(list(classes))}"]
    shares = [f"{_name(c)} {percent(n / total)}" for c, n in classes.items()]
    if task == "binary":
        positive = min(reversed(classes), key=lambda c: classes[c])
        share = classes[positive] / total
        why = "the rarer one" if share < 0.5 else "both are as frequent"
        lines.append(f"positive = {toml.value(positive)}  # {why}: {percent(share)} of the labels")
        if share < RARE:
            lines.append(
                f"# Answering {_name(most)} always is right {percent(1 - share)} of the time: accuracy says"
            )
            lines.append(f"# little here; look at how many of the {_name(positive)} are found.")
    lines.append(f"default = {toml.value(most)}  # the most frequent; answered when nobody else can")
    rare = [_name(c) for c, n in classes.items() if n < 30]
    if rare:
        lines.append(f"# Seen fewer than 30 times: {', '.join(rare)}.")
    if all(isinstance(c, int) and not isinstance(c, bool) for c in classes) and len(classes) > 2:
        lines.append(
            '# Were these amounts, not names, it would be task = "regression": meander init --task regression'
        )
    lines += _odd(survey, column, 0, "")
    some = ", ".join(shares[:8]) + (", ..." if len(shares) > 8 else "")
    skip = ("classes", "positive", "default", "min", "max")
    lines += [*toml.defaults(Label, skip), _assumed(most)]
    return Truth(task, classes, lines, f"{len(classes)} classes: {some}")


def _assumed(label: Any) -> str:
    """Return the line that says how to learn from a label that never comes."""
    line = f"# expire_as = {toml.value(label)}"
    return (
        f"{line:<26}  # No label within ttl means this one, which is learned; without it that is only counted"
    )


def _odd(survey: Survey, column: Column, strangers: int, what: str) -> list[str]:
    lines = []
    if survey.missing(column):
        lines.append(
            f"# {percent(survey.missing(column))} of the rows have no label: predicted, never learned."
        )
    if strangers:
        lines.append(f"# {strangers:,} labels are {what}: they will be refused.")
    return lines


Entry = tuple[str, dict[str, Any], str]  # name, table, comment


def _features(survey: Survey, wishes: Wishes) -> tuple[list[Entry], list[tuple[str, str]]]:
    features: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    for name, column in survey.columns.items():
        if name == wishes.label:
            continue
        if name == wishes.timestamp:
            left_out.append((name, "the event's time"))
        elif name == wishes.key:
            left_out.append((name, "the key, which names the entity"))
        elif why := _useless(survey, column):
            left_out.append((name, why))
        else:
            table, comment = _feature(survey, column)
            features.append((name, table, comment))
    return features, left_out


def _useless(survey: Survey, column: Column) -> str | None:
    kind = column.kind
    if column.name in survey.copies:
        return "always equals the label: it would give the answer away"
    if kind == "nothing":
        return "holds nothing"
    if kind == "nested":
        return "holds objects or lists: flatten it to make features of it"
    if column.is_counter:
        return "counts the rows"
    if column.is_inexact:
        return "too large for numbers to tell apart: send it as text if it means something"
    if kind == "integer" and column.is_unique and _ID.search(column.name):
        return AN_ID
    if kind == "text" and column.is_ambiguous_date:
        return "dates that may start with the day or the month: write them as ISO 8601 to use them"
    if kind == "text" and column.is_unique and not column.is_prose:
        return AN_ID
    return None


def _feature(survey: Survey, column: Column) -> tuple[dict[str, Any], str]:
    kind, missing = column.kind, survey.missing(column)
    seen = [column.seen]
    table: dict[str, Any] = {"type": kind}
    match kind:
        case "integer" | "number":
            room = column.room()
            if room:
                table |= {"min": room[0], "max": room[1]}
            policy: dict[str, Any] = {"missing": "mean"}
        case "boolean":
            policy = {"missing": "constant", "fill": False}
        case "time":
            seen.append("may be the event's time: --timestamp")
            policy = {"missing": "last"}
        case _:
            if column.longest > TEXT_LIMIT:
                seen.append(f"longer than {TEXT_LIMIT:,} characters at times, which breaks the contract")
            few = not column.many and column.distinct <= CATEGORY_LIMIT
            table["type"] = "category" if few else "text"
            closed = _closed(column) if few else None
            if closed:
                table["categories"] = closed
            policy = {"missing": "mean"}
    if missing:
        table |= policy
        seen.append(f"{percent(missing)} missing")
    if column.distinct == 1 and not column.many:
        seen.append("constant here, it may move one day")
    if column.exceptions:
        seen.append(f"{column.exceptions:,} values are no {kind} and break the contract")
    return table, "; ".join(seen)


def _closed(column: Column) -> list[str] | None:
    """Return all values of a set that everybody knows, when the column's are among them."""
    values = {str(value) for value, _ in column.values}
    for words in _CLOSED:
        for form in (str.lower, str.title, str.upper):
            known = [form(word) for word in words.split()]
            if len(values) > 2 and values <= set(known):
                return known
    return None


def _head(survey: Survey, wishes: Wishes, truth: Truth) -> list[str]:
    return [
        f"# Written by `meander init` from {survey.rows:,} rows of {quoted(wishes.source)}.",
        "# Lines that start with # show a default, or an example. `meander check` tells what holds.",
        "",
        f"name = {toml.value(wishes.name)}  # names the topics: {wishes.name}.events and so on",
        f"task = {toml.value(truth.task)}  # column {quoted(wishes.label)}, {truth.summary}",
        *toml.defaults(Definition, skip=("champion",)),
    ]


def _feature_lines(features: list[Entry], left_out: list[tuple[str, str]], task: Task) -> list[str]:
    lines = [
        "[features]",
        "# What lies outside a range, or is no declared value, breaks the contract: that event is answered",
        "# by a rule and not learned. Ranges are those seen, widened by their own width.",
    ]
    names = [toml.key(name) for name, _, _ in features]
    tables = [toml.inline(table) for _, table, _ in features]
    broad = max(len(name) for name in names if len(name) <= 24 or name == min(names, key=len))
    long = max(len(table) for table in tables if len(table) <= 64 or table == min(tables, key=len))
    for name, table, (_, _, comment) in zip(names, tables, features, strict=True):
        lines.append(f"{name:<{broad}} = {table:<{long}}  # {comment}")
    if left_out:
        lines.append("# Left out:")
        lines += [f"#   {quoted(name)}: {why}" for name, why in left_out]
    return lines


def _models(truth: Truth, width: int, wishes: Wishes) -> list[str]:
    task, classes = truth.task, len(truth.classes)
    if wishes.preset is None:
        preset, why = presets.choose(task, width, classes, wishes.rate)
    else:
        preset, why = wishes.preset, "as asked for"
    cost = presets.cost(task, preset, width, classes)
    others = ", ".join(
        f"{other} {presets.cost(task, other, width, classes)}" for other in presets.PRESETS if other != preset
    )
    lines = [
        "# The roster: all learn from every label, and answer together at the weight each has earned.",
        f"# Preset {preset}, {why}: about {cost} microseconds an event on one core with {width} features,",
        f"# all included (`python benchmarks/presets.py` measures it). With --preset: {others}.",
    ]
    if wishes.rate is not None:
        part = presets.share(task, preset, width, classes, wishes.rate)
        lines.append(f"# {wishes.rate:,.0f} events a second take about {part}; partitions share them.")
    for slot, recipe, said in presets.ROSTERS[task][preset]:
        lines += [f"[models.{slot}]", f"recipe = {toml.value(recipe)}  # {said}"]
    return lines


def _rules(truth: Truth, columns: list[Column]) -> list[str]:
    then: Any = min(truth.classes, key=lambda c: truth.classes[c]) if truth.classes else 0.0
    lines = [
        "# Rules answer until the models are warm, when these fail, and in fallback: the first that holds.",
        "# [rules.example]",
        f"# when = {toml.value(_example(columns))}",
        f"# then = {toml.value(then)}",
        "",
    ]
    if truth.task != "regression":
        return [*lines, "[rules.prior]", 'recipe = "class_frequencies"  # how often each class came lately']
    for column in columns:
        if column.kind == "time" and column.has_clock:
            by: dict[str, Any] = {"hour_of": column.name}
        elif column.kind in ("integer", "text") and _CYCLE.search(column.name):
            by = {"by": [column.name]}
        else:
            continue
        lines += ["[rules.usual]", 'recipe = "mean_by"  # the mean label of such hours or days']
        lines += [f"parameters = {toml.inline(by)}", ""]
        break
    return [*lines, "[rules.prior]", 'recipe = "mean"  # the mean of the labels']


def _example(columns: list[Column]) -> str:
    for column in columns:
        if column.kind in ("integer", "number") and column.highest > column.lowest:
            return f"{_operand(column.name)} > {shown(column.highest)}"
    column = columns[0]
    if column.kind == "text":
        return f"{_operand(column.name)} == {quoted(column.values[0][0])}"
    return _operand(column.name) if column.kind == "boolean" else "true"


def _operand(name: str) -> str:
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"`{name}`"


def _drift() -> list[str]:
    return [
        "[drift]",
        "# challenge: a fresh challenger learns in shadow, and takes over once it has proved better.",
        "# fallback: rules answer until the model has proved better than they. tell: only record it.",
        'on_drift = "challenge"',
        *toml.defaults(Drift, skip=("on_drift",)),
    ]


def _columns(wishes: Wishes, left_out: list[tuple[str, str]]) -> list[str]:
    own = {"label": wishes.label, "timestamp": wishes.timestamp, "key": wishes.key}
    lines = ["[columns]", "# Of data files, for `meander replay` and `meander produce`."]
    lines += [f"{name} = {toml.value(column)}" for name, column in own.items() if column]
    ids = [column for column, why in left_out if why == AN_ID]
    return [*lines, *(f"# id = {toml.value(column)}" for column in ids[:1])]


def _surroundings() -> Iterator[str]:
    for section, struct in (("kafka", Kafka), ("snapshots", Snapshots), ("web", Web)):
        yield ""
        yield f"[{section}]"
        yield from toml.defaults(struct)


def _name(value: ClassName) -> str:
    return (
        toml.value(value)
        if isinstance(value, bool)
        else quoted(str(value))
        if isinstance(value, str)
        else str(value)
    )
