"""A deployment's definition: what to predict, from what, with whom, and what to do on drift.

The structs below *are* the reference: the definition file is their TOML form, the generated
documentation reads their docstrings, and every key has a default that works (only ``name``,
``task``, ``features`` and, for classification, ``label.classes`` must be given).
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from learners.errors import DefinitionError
from learners.policies import Policy, problem
from learners.watch.settings import Watch

Task = Literal["binary", "multiclass", "regression"]
Scope = Literal["deployment", "partition"]
FeatureType = Literal["number", "integer", "boolean", "category", "text", "time"]
Missing = Literal["refuse", "flag", "mean", "median", "constant", "last"]
Outliers = Literal["refuse", "clip", "flag"]
OnDrift = Literal["challenge", "retrain", "fallback", "tell"]
Loss = Literal["zero_one", "balanced", "log", "cost"]
Way = Literal["auto", "advise"]
ClassName = str | bool | int

BLEND = "blend"  # the slot of the pool of all models and rules
NUMBER_LIMIT = 1e12  # a number feature with no declared range: what is larger breaks the contract
TEXT_LIMIT = 4096  # characters in a category or text value


class Feature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input column: ``[features.NAME]``.

    Attributes
    ----------
    type
        ``number`` (float), ``integer``, ``boolean``, ``category`` (text, few values), ``text``
        (text, many values: hashed), ``time`` (epoch milliseconds or an ISO 8601 string: becomes
        hour, weekday, ... parts).
    min, max
        The range of a number or integer, both ends included. Without them any finite number
        of magnitude up to 1e12 is taken.
    categories
        The values a category may take. Without them any text of up to 4,096 characters.
    missing
        What a missing or null value means: ``refuse`` (breaks the contract), ``flag`` (models see the
        event without it), or what models see instead: ``mean`` or ``median`` (of the values seen),
        ``constant`` (``fill``), ``last`` (the last value seen). For category and text ``mean`` and
        ``median`` mean "no category". The prediction is flagged ``filled:NAME`` or ``missing:NAME``.
    fill
        The constant for ``missing = "constant"``.
    outliers
        What a number outside ``min``, ``max`` or ``spreads`` means: ``refuse`` (breaks the contract),
        ``clip`` (models see the nearest value inside; flagged ``clipped:NAME``), ``flag`` (models see it
        as it is; flagged ``outlier:NAME``). What is not finite, or beyond 1e12, always breaks the contract.
    spreads
        Standard deviations from the mean (both of the last 1,000 values or so) beyond which a number is
        an outlier. Default: no such limit. What is refused is not counted in: it never becomes ordinary.
    """

    type: FeatureType = "number"
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] | None = None
    missing: Missing = "refuse"
    fill: float | str | bool | None = None
    outliers: Outliers = "refuse"
    spreads: float | None = None


class Label(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The truth to predict: ``[label]``.

    Attributes
    ----------
    classes
        Classification: the classes, in the order that breaks ties, or ``"open"`` (multiclass: a
        class not seen before joins).
    positive
        Binary: the class that counts as positive. Default: the second of ``classes``.
    default
        What is answered when neither a model nor a rule can. Default: the first class, or 0.
    min, max
        Regression: the range a label may have, both ends included.
    coverage
        Regression: the share of labels that the interval of a prediction is to hold.
    ttl
        How long a prediction waits for its label, in event time (``"90s"``, ``"36h"``, ``"30d"``).
    expire_as
        The label that a prediction is taken to have when its time is over without one (no click within
        an hour means 0): scored and learned as such. Without it, it is unavailable: counted, not learned.
    after_ttl
        What a label does that comes later still: ``ignore`` (counted), ``learn`` (scored and learned all
        the same), ``correct`` (scored only).
    on_correction
        What is learned from a label that corrects an earlier one: ``ignore`` (nothing) or ``learn-again``
        (the new one, too). The score is corrected either way.
    idle
        How long the events, or the labels on their own topic, may be silent before time passes without
        them: what is on its way for less does not come too late.
    early_ttl
        How long a label waits for its event, in event time. Default: as ``ttl``.
    pending_limit
        How many predictions of a partition may wait for a label; beyond it the oldest is given up as
        unavailable.
    early_limit
        How many labels of a partition may wait for their event.
    keep_limit
        How many events of a partition are kept whole after their label came or their time was over, for
        corrections and late labels: what comes for an older one is counted as late. 0 keeps none.
    remember_ids
        How many of the last event ids of a partition are known as duplicates.
    """

    classes: tuple[ClassName, ...] | Literal["open"] | None = None
    positive: ClassName | None = None
    default: ClassName | float | None = None
    min: float | None = None
    max: float | None = None
    coverage: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.9
    ttl: str = "30d"
    expire_as: ClassName | float | None = None
    after_ttl: Literal["ignore", "learn", "correct"] = "ignore"
    on_correction: Literal["ignore", "learn-again"] = "ignore"
    idle: str = "10m"
    early_ttl: str | None = None
    pending_limit: int = 1_000_000
    early_limit: int = 100_000
    keep_limit: int = 2000
    remember_ids: int = 50_000


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member of the roster: ``[models.SLOT]``.

    Attributes
    ----------
    recipe
        A name of the catalogue, or the import path of a function that
        returns a River estimator or the estimator class itself: ``"my_package.models:build"``.
    parameters
        Keyword arguments of the recipe.
    """

    recipe: str
    parameters: dict[str, Any] = field(default_factory=dict)


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One heuristic: ``[rules.NAME]``, either ``when`` and ``then``, or a ``recipe``.

    Attributes
    ----------
    when
        A condition over the features, e.g. ``"amount > 900 and country != 'CH'"``. Parsed, never
        evaluated as code. ``"true"`` always holds. A rule whose condition does not hold, or reads a
        missing feature, is silent.
    then
        What it answers: a class, probabilities (``{fraud = 0.9}``: the rest is spread evenly), or
        for regression a number.
    recipe, parameters
        A baseline of the catalogue instead (``class_frequencies``, ``last_value``, ...).
    """

    when: str | None = None
    then: Any = None
    recipe: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


class Drift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched, and what is done about it: ``[drift]``.

    Attributes
    ----------
    detector
        ``bet`` (Meander's own e-detector), or one of River's by name: ``ADWIN``, ``DDM``, ``EDDM``,
        ``HDDMA``, ``HDDMW``, ``KSWIN``, ``PageHinkley``. One watches the loss of the served answer,
        and one that of each model in the pool; only a rise is a signal.
    parameters
        Keyword arguments of the detector.
    on_drift
        ``challenge``: start a fresh version of the model in shadow; once it has proved better than the model
        it stands beside it in the pool (where one model serves, it takes that model's place).
        ``retrain``: the same, but it always takes the model's place.
        ``fallback``: rules answer until the model has proved better than they.
        ``tell``: record the signal, do nothing.
    cooldown
        Labels between two signals at the least.
    alpha
        The chance, at most, that a challenger which is no better is ever promoted.
    min_labels
        Labels that both must have been scored on before a challenger may be promoted.
    patience
        Labels after which a started challenger that has proved nothing is dropped (where labels are late:
        and 200 bets).
    probation
        Whether a started challenger earns weight in the pool at once, rather than once it has proved better.
    """

    detector: str = "bet"
    parameters: dict[str, Any] = field(default_factory=dict)
    on_drift: OnDrift = "challenge"
    cooldown: int = 100
    alpha: float = 0.05
    min_labels: int = 200
    patience: int = 2000
    probation: bool = False


class Versions(Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[versions]``: which states of the champion are kept, for ``meander rollback``.

    One is kept when it becomes champion, when it stops being champion, and every so many labels.

    Attributes
    ----------
    keep
        How many, the newest; each costs the memory of its state, compressed.
    age
        For how long, in event time.
    every
        Labels between two states of one champion.
    """

    keep: int = 10
    age: str = "30d"
    every: int = 10_000


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment: the top level of the definition file.

    Attributes
    ----------
    name
        Names the topics (``<name>.events``, ...) and versions (``<name>/v7@1234``). Lower case
        letters, digits and hyphens.
    task
        ``binary``, ``multiclass`` or ``regression``.
    scope
        ``deployment``: one learner, one partition. ``partition``: one learner for each partition.
    seed
        Passed to every recipe that takes a seed.
    champion
        Who serves first: a slot of ``models``, or ``blend``, the pool of all of them at the weights they
        have earned. Default: the model where there is but one (and, for regression, no rule is declared),
        else ``blend``.
    warm_up
        Rules answer until each declared class was seen or this many labels came.
    mode
        ``auto``: what is decided is done. ``advise``: it is recorded as ``advised``, with an id, and waits
        for a person: the command ``approve`` with that id, or the plain action.
    loss
        Classification: what a wrong answer costs. Every decision rests on it, and the class that is
        served is the one of least expected cost. ``zero_one``: 1. ``balanced``: as much as the true
        class is rare among the last 5,000 labels or so. ``log``: minus the logarithm of the probability
        that the truth was given, clipped. ``cost``: see ``cost``. Default: ``zero_one``, or ``cost``
        where costs are given. (Numbers have a loss of their own: the error, as a share of the spread.)
    cost
        By true class and answered class, what the mistake costs; what is not given costs 1.
        ``[cost.fraud]`` with ``legit = 20``: a fraud taken for legit costs as much as 20 false alarms.
    max_ahead, max_behind
        How far the time in an event, label or tick may be from its record's own: ``"1h"`` ahead at most,
        any time behind. Beyond it the event is answered by a rule, flagged ``timestamp`` and never learned.
    """

    name: str
    task: Task
    scope: Scope = "deployment"
    seed: int = 1
    champion: str | None = None
    warm_up: int = 30
    mode: Way = "auto"
    loss: Loss | None = None
    cost: dict[str, dict[str, float]] = field(default_factory=dict)
    max_ahead: str | None = "1h"
    max_behind: str | None = None
    features: dict[str, Feature]
    label: Label = field(default_factory=Label)
    models: dict[str, Model] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    drift: Drift = field(default_factory=Drift)
    watch: Watch = field(default_factory=Watch)
    policy: tuple[Policy, ...] = ()
    versions: Versions = field(default_factory=Versions)

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """The declared classes; empty for regression and for ``classes = "open"``."""
        return self.label.classes if isinstance(self.label.classes, tuple) else ()

    @property
    def positive(self) -> ClassName | None:
        """The positive class of a binary task."""
        if self.task != "binary":
            return None
        return self.classes[1] if self.label.positive is None else self.label.positive


_SECTIONS: dict[str, type[Struct]] = {"features": Feature, "models": Model, "rules": Rule}
_SINGLE: dict[str, type[Struct]] = {"label": Label, "drift": Drift, "watch": Watch, "versions": Versions}
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_AT = re.compile(r" - at `\$\.?([^`]*)`")


def parse_definition(raw: Mapping[str, Any], file: str | None = None) -> Definition:
    """Build and check a definition from parsed TOML.

    Parameters
    ----------
    raw
        The top level table.
    file
        Named in errors.

    Raises
    ------
    DefinitionError
        For unknown keys, wrong types and impossible combinations.

    Examples
    --------
    >>> definition = parse_definition({
    ...     "name": "fraud", "task": "binary",
    ...     "features": {"amount": {"min": 0}},
    ...     "label": {"classes": ["legit", "fraud"]},
    ... })
    >>> definition.positive, list(definition.models)
    ('fraud', ['lr'])
    >>> parse_definition({"name": "fraud", "task": "binray", "features": {"amount": {}}})
    Traceback (most recent call last):
    ...
    learners.errors.DefinitionError: task: Invalid enum value 'binray'. Did you mean "binary"?
    """
    try:
        built: dict[str, Any] = dict(raw)
        for section, struct in _SECTIONS.items():
            built[section] = {
                name: convert(entry, struct, f"{section}.{name}") for name, entry in _table(raw, section)
            }
        for section, struct in _SINGLE.items():
            if section in raw:
                built[section] = convert(raw[section], struct, section)
        definition = _with_defaults(convert(built, Definition, ""))
        _check(definition)
    except DefinitionError as error:
        raise (error.in_file(file) if file else error) from None
    return definition


def _table(raw: Mapping[str, Any], section: str) -> Iterable[tuple[str, Any]]:
    table = raw.get(section, {})
    if not isinstance(table, Mapping):
        raise DefinitionError(section, "is not a table", f"Write [{section}.NAME]")
    return table.items()


def convert(value: Any, struct: type[Any], key: str) -> Any:
    """Convert a table to a struct; a mistake becomes a `DefinitionError` that names key and remedy."""
    try:
        return msgspec.convert(value, struct)
    except msgspec.ValidationError as error:
        raise _explain(str(error), struct, key) from None


def _explain(message: str, struct: type[Any], key: str) -> DefinitionError:
    names = [f.encode_name for f in msgspec.structs.fields(struct)]
    at = _AT.search(message)
    inside = at.group(1) if at else ""
    problem = _AT.sub("", message)
    path = ".".join(part for part in (key, inside) if part)
    unknown = _UNKNOWN.search(message)
    if unknown and not inside:
        name = unknown.group(1)
        near = difflib.get_close_matches(name, names, n=1)
        remedy = f"Did you mean `{near[0]}`?" if near else f"Known keys: {', '.join(names)}"
        return DefinitionError(".".join(p for p in (key, name) if p), "unknown key", remedy)
    if "missing required field" in message:
        name = message.split("`")[1]
        return DefinitionError(".".join(p for p in (path, name) if p), "is not given", f"Add `{name} = ...`")
    return DefinitionError(path or "top level", problem, _remedy(problem, struct, inside))


def _remedy(problem: str, struct: type[Any], inside: str) -> str:
    for known in msgspec.structs.fields(struct):
        if known.encode_name != inside.split(".")[0].split("[")[0]:
            continue
        choices = re.findall(r"Literal\[([^\]]*)\]", str(known.type))
        if "enum value" in problem and choices:
            options = [c.strip().strip("'") for c in choices[0].split(",")]
            near = difflib.get_close_matches(problem.split("'")[1] if "'" in problem else "", options, n=1)
            return f'Did you mean "{near[0]}"?' if near else "One of: " + ", ".join(f'"{o}"' for o in options)
    return "See docs/definition.md"


def _with_defaults(definition: Definition) -> Definition:
    changes: dict[str, Any] = {}
    if not definition.models:
        recipe = {
            "binary": "logistic_regression",
            "multiclass": "one_vs_rest",
            "regression": "linear_regression",
        }[definition.task]
        changes["models"] = {"lr": Model(recipe=recipe)}
    if "prior" not in definition.rules:
        last = Rule(recipe="mean" if definition.task == "regression" else "class_frequencies")
        changes["rules"] = {**definition.rules, "prior": last}
    if definition.champion is None:
        slots = list(changes.get("models", definition.models))
        with_rules = definition.task == "regression" and bool(definition.rules)
        changes["champion"] = BLEND if len(slots) > 1 or with_rules else slots[0]
    if definition.loss is None and definition.task != "regression":
        changes["loss"] = "cost" if definition.cost else "zero_one"
    changes["policy"] = tuple(
        p if p.name else msgspec.structs.replace(p, name=f"policy-{i}")
        for i, p in enumerate(definition.policy, 1)
    )
    return msgspec.structs.replace(definition, **changes)


_SLOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def _check(d: Definition) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", d.name):
        raise DefinitionError("name", f"{d.name!r} cannot name topics", "Use a-z, 0-9 and hyphens")
    if not d.features:
        raise DefinitionError("features", "there are none", "Add one table [features.NAME] per input column")
    for section, names in (("models", d.models), ("rules", d.rules)):
        for slot in names:
            if not _SLOT.fullmatch(slot):
                raise DefinitionError(
                    f"{section}.{slot}", "is no slot name", "Use a-z, 0-9, _ and -, at most 63 of them"
                )
            if slot.endswith(("-next", "-new")) or slot == BLEND:
                raise DefinitionError(
                    f"{section}.{slot}",
                    "is how the blend, or the fresh version of a model, is called",
                    "Do not end in -next or -new, and do not use blend",
                )
    if d.champion not in (*d.models, BLEND):
        raise DefinitionError(
            "champion", f"{d.champion!r} is no model", f"One of: {', '.join((BLEND, *d.models))}"
        )
    both = sorted(set(d.models) & set(d.rules))
    if both:
        raise DefinitionError(f"rules.{both[0]}", "is also the name of a model", "Rename one of them")
    for name, feature in d.features.items():
        _check_feature(f"features.{name}", feature)
    _check_label(d)
    _check_loss(d)
    _check_rules(d)
    _check_drift(d.drift)
    _check_policies(d)
    _check_watch(d)
    _check_versions(d.versions)
    for key in ("max_ahead", "max_behind"):
        if getattr(d, key) is not None:
            parse_duration(getattr(d, key), key)
    if d.warm_up < 0:
        raise DefinitionError("warm_up", "is negative", "Use 0 or more labels")


def _check_feature(key: str, f: Feature) -> None:
    numeric = f.type in ("number", "integer")
    if (f.min is not None or f.max is not None) and not numeric:
        raise DefinitionError(key, f"a {f.type} has no range", 'Remove min and max, or use type = "number"')
    if f.min is not None and f.max is not None and f.min > f.max:
        raise DefinitionError(f"{key}.min", f"{f.min} is above max = {f.max}", "Swap them")
    if f.categories is not None and f.type != "category":
        raise DefinitionError(
            f"{key}.categories", f"a {f.type} has none", 'Remove it, or use type = "category"'
        )
    if f.categories is not None and len(set(f.categories)) != len(f.categories):
        raise DefinitionError(f"{key}.categories", "has a value twice", "Remove the second one")
    if f.categories == ():
        raise DefinitionError(f"{key}.categories", "is empty", "List the values, or remove the key")
    if f.missing == "constant" and f.fill is None:
        raise DefinitionError(f"{key}.fill", "is not given", 'missing = "constant" needs `fill = ...`')
    if f.missing != "constant" and f.fill is not None:
        raise DefinitionError(
            f"{key}.fill", f"has no use with missing = {f.missing!r}", 'Use missing = "constant"'
        )
    if f.fill is not None and numeric and (isinstance(f.fill, str | bool)):
        raise DefinitionError(f"{key}.fill", f"{f.fill!r} is no number", "Write a number")
    if f.spreads is not None and not numeric:
        raise DefinitionError(f"{key}.spreads", f"a {f.type} has none", 'Remove it, or use type = "number"')
    if f.spreads is not None and not f.spreads > 0:
        raise DefinitionError(f"{key}.spreads", f"{f.spreads} is not above 0", "Use e.g. 6")
    if f.outliers != "refuse" and f.min is None and f.max is None and f.spreads is None:
        raise DefinitionError(
            f"{key}.outliers", "nothing says what an outlier is", "Give min, max or spreads, or remove it"
        )


def _check_label(d: Definition) -> None:
    label = d.label
    if d.task == "regression":
        if label.classes is not None or label.positive is not None:
            raise DefinitionError("label.classes", "regression has no classes", "Remove classes and positive")
        if label.min is not None and label.max is not None and label.min >= label.max:
            raise DefinitionError("label.min", f"{label.min} is not below max = {label.max}", "Swap them")
        for key, value in (("default", label.default), ("expire_as", label.expire_as)):
            if value is not None and isinstance(value, str | bool):
                raise DefinitionError(f"label.{key}", f"{value!r} is no number", "Write a number")
    else:
        if label.min is not None or label.max is not None:
            raise DefinitionError("label.min", f"a {d.task} label has no range", "Remove min and max")
        if label.classes is None:
            raise DefinitionError("label.classes", "is not given", 'List them: classes = ["no", "yes"]')
        if isinstance(label.classes, tuple):
            if len(set(map(str, label.classes))) != len(label.classes):
                raise DefinitionError("label.classes", "has a class twice", "Remove the second one")
            if len(label.classes) < 2:
                raise DefinitionError("label.classes", "needs two classes or more", "Add the others")
        if d.task == "binary" and (label.classes == "open" or len(d.classes) != 2):
            raise DefinitionError(
                "label.classes", "a binary task has exactly two", 'List both, or use task = "multiclass"'
            )
        if label.positive is not None and label.positive not in d.classes:
            raise DefinitionError(
                "label.positive", f"{label.positive!r} is no declared class", f"One of: {list(d.classes)}"
            )
        for key, value in (("default", label.default), ("expire_as", label.expire_as)):
            if value is not None and d.classes and value not in d.classes:
                raise DefinitionError(
                    f"label.{key}", f"{value!r} is no declared class", f"One of: {list(d.classes)}"
                )
    parse_duration(label.ttl, "label.ttl")
    parse_duration(label.idle, "label.idle")
    if label.early_ttl is not None:
        parse_duration(label.early_ttl, "label.early_ttl")
    if label.keep_limit < 0:
        raise DefinitionError("label.keep_limit", "is negative", "Use 0 to keep none")
    for key in ("pending_limit", "early_limit", "remember_ids"):
        if getattr(label, key) < 1:
            raise DefinitionError(
                f"label.{key}", "must be at least 1", "Use the default by removing the line"
            )


def _check_loss(d: Definition) -> None:
    if d.task == "regression" and (d.loss or d.cost):
        raise DefinitionError("loss", "regression has a loss of its own", "Remove loss and cost")
    if d.cost and d.loss != "cost":
        raise DefinitionError(
            "loss", f"{d.loss!r} has no use for costs", 'Use loss = "cost", or remove [cost]'
        )
    if d.loss == "cost" and not d.cost:
        raise DefinitionError("cost", "is not given", "Add e.g. [cost.fraud] with legit = 20")
    if d.cost and not d.classes:
        raise DefinitionError("cost", "needs declared classes", "List them in label.classes")
    names = [str(c).lower() if isinstance(c, bool) else str(c) for c in d.classes]
    for truth, row in d.cost.items():
        for answer, cost in row.items():
            key = f"cost.{truth}.{answer}"
            if truth not in names or answer not in names:
                raise DefinitionError(key, "names no declared class", f"Use: {', '.join(names)}")
            if truth == answer:
                raise DefinitionError(key, "a right answer costs nothing", "Remove the line")
            if not 0 < cost < math.inf:
                raise DefinitionError(key, f"{cost} is no cost", "Use a positive number")


def _check_rules(d: Definition) -> None:
    for name, rule in d.rules.items():
        key = f"rules.{name}"
        if (rule.when is None) == (rule.recipe is None):
            raise DefinitionError(key, "needs either `when` and `then`, or `recipe`", "Give one of the two")
        if rule.when is not None and rule.then is None:
            raise DefinitionError(f"{key}.then", "is not given", "Say what the rule answers: then = ...")
        if rule.recipe is not None and rule.then is not None:
            raise DefinitionError(f"{key}.then", "has no use with a recipe", "Remove it")


def _check_policies(d: Definition) -> None:
    for number, policy in enumerate(d.policy, 1):
        wrong = problem(policy)
        if wrong is not None:
            raise DefinitionError(f"policy[{number}].{wrong[0]}", wrong[1], wrong[2])
        if isinstance(policy.every, str):
            parse_duration(policy.every, f"policy[{number}].every")
        if policy.do in ("challenge", "retrain", "update") and policy.target not in (None, *d.models):
            raise DefinitionError(
                f"policy[{number}].target", f"{policy.target!r} is no model", f"One of: {', '.join(d.models)}"
            )
    names = [policy.name for policy in d.policy]
    if len(set(names)) != len(names):
        raise DefinitionError("policy.name", "is given twice", "Rename one of them")


def _check_drift(drift: Drift) -> None:
    if not 0 < drift.alpha < 1:
        raise DefinitionError("drift.alpha", f"{drift.alpha} is no probability", "Use e.g. 0.05")
    for key in ("cooldown", "min_labels", "patience"):
        if getattr(drift, key) < 1:
            raise DefinitionError(
                f"drift.{key}", "must be at least 1", "Use the default by removing the line"
            )


def _check_watch(d: Definition) -> None:
    watch = d.watch
    for key, least in (("budget", 100), ("reference", 256)):
        if getattr(watch, key) < least:
            raise DefinitionError(
                f"watch.{key}", f"must be at least {least}", "Use the default by removing the line"
            )
    for name, declared in watch.declared.items():
        key = f"watch.declared.{name}"
        if name not in d.features:
            raise DefinitionError(key, "is no declared feature", f"One of: {', '.join(d.features)}")
        kind = d.features[name].type
        if isinstance(declared, list):
            if kind not in ("number", "integer") or len(declared) != 7 or declared != sorted(set(declared)):
                raise DefinitionError(
                    key,
                    "is not how a number is declared",
                    "Give 7 rising numbers that cut it in 8 equal parts",
                )
        elif kind != "category" or not declared or not 0 < sum(declared.values()) <= 1 + 1e-6:
            raise DefinitionError(
                key, "is not how a category is declared", "Give shares that add up to 1, e.g. { CH = 0.7 }"
            )


def _check_versions(versions: Versions) -> None:
    for key in ("keep", "every"):
        if getattr(versions, key) < 1:
            raise DefinitionError(
                f"versions.{key}", "must be at least 1", "Use the default by removing the line"
            )
    parse_duration(versions.age, "versions.age")


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration(text: str, key: str) -> int:
    """Milliseconds in a duration such as ``"90s"``.

    >>> parse_duration("36h", "label.ttl")
    129600000
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise DefinitionError(
            key, f"{text!r} is no duration", 'Use a number and a unit, e.g. "90s", "36h", "30d"'
        )
    return int(float(match.group(1)) * _MILLISECONDS[match.group(2)])
