"""``meander check``."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from learners.definition import Definition, parse_duration
from learners.detectors import build_detector
from learners.errors import IncompatibleSnapshotError, MeanderError
from stream import toml
from stream.settings import Settings, load_settings, masked

REBUILD = frozenset(  # what learned state does not survive a change of; see `learners.snapshot.fingerprint`
    {"name", "task", "scope", "features"} | {f"label.{key}" for key in ("classes", "positive", "min", "max")}
)
PENDING_MEMORY = 4e9  # bytes that waiting predictions may take before it is worth a word
FEATURE_BYTES = 50  # of one feature of a waiting prediction, roughly


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print settings, warnings and changes as JSON.")
@click.option(
    "--against",
    metavar="OTHER",
    type=click.Path(dir_okay=False),
    help="The definition that runs now, or a snapshot: say which changes keep what was learned.",
)
@click.pass_context
def command(context: click.Context, definition: str, as_json: bool, against: str | None) -> None:
    """Check a definition: build all it names, print what holds, warn about what may surprise.

    Exit status: 0 it can run, 2 it cannot.

    \b
    Example:
      meander check deployment.toml --against running.toml
      meander check deployment.toml --against snapshots/partition-0/000000000012.g7.snapshot
    """
    settings = load_settings(definition)
    faults = list(unbuildable(settings.definition))
    for fault in faults:
        click.echo(f"meander: {definition}: {fault}", err=True)
    if faults:
        context.exit(2)
    warnings = list(surprises(settings))
    changed = list(changes(_running(against, settings), settings)) if against else None
    if as_json:
        shown: dict[str, Any] = {"settings": masked(settings), "warnings": warnings}
        if changed is not None:
            shown["changes"] = changed
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    if changed is None:
        click.echo("\n".join(toml.document(resolved(settings))))
    else:
        click.echo(_told(changed, definition, against or ""))
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _running(against: str, settings: Settings) -> Settings:
    """Return the settings to compare with; a snapshot tells the definition alone."""
    from learners.snapshot import MAGIC, read_header

    try:
        data = Path(against).read_bytes()
    except OSError:
        data = b""
    if not data.startswith(MAGIC):
        return load_settings(against)
    return msgspec.structs.replace(settings, definition=read_header(data)[0].parsed())


def unbuildable(definition: Definition) -> Iterator[MeanderError]:
    """Build every recipe, rule and the detector; yield what cannot be built."""
    from learners import catalogue, pickling, rules  # River's models take a second to import

    for slot, model in definition.models.items():
        try:
            built = catalogue.build(model.recipe, definition, model.parameters)
            pickling.loads(pickling.dumps(built), definition)
        except IncompatibleSnapshotError as error:
            yield MeanderError(f"models.{slot}: it could be learned, but not restored: {error}")
        except Exception as error:  # noqa: BLE001  pickling code of others
            known = error if isinstance(error, MeanderError) else MeanderError(f"cannot be kept: {error}")
            yield _at(f"models.{slot}", known)
    for name, rule in definition.rules.items():
        try:
            rules.build_rule(name, rule, definition)
        except MeanderError as error:
            yield _at(f"rules.{name}", error)
    try:
        build_detector(definition.drift.detector, definition.drift.parameters, definition.seed)
    except MeanderError as error:
        yield _at("drift", error)


def _at(key: str, error: MeanderError) -> MeanderError:
    return error if key in str(error) else MeanderError(f"{key}: {error}")


def surprises(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each thing that is allowed, but not what one may expect."""
    yield from _surprising_data(settings.definition)
    yield from _surprising_policy(settings.definition)
    yield from _surprising_surroundings(settings)


def _surprising_data(d: Definition) -> Iterator[str]:
    if d.task == "binary" and d.label.positive is None:
        yield f"label.positive is not given: {d.positive!r}, the second class, counts as positive"
    open_ended = [
        name
        for name, f in d.features.items()
        if f.type in ("number", "integer") and f.min is None and f.max is None
    ]
    if open_ended:
        names = ", ".join(open_ended[:5]) + (", ..." if len(open_ended) > 5 else "")
        yield f"no range for {names}: anything up to 1e12 is learned, and one such value can spoil a model"
    if d.task == "regression" and d.label.min is None and d.label.max is None:
        yield "label.min and label.max are not given: one absurd label can spoil a model"
    memory = d.label.pending_limit * len(d.features) * FEATURE_BYTES
    if memory > PENDING_MEMORY:
        yield (
            f"label.pending_limit = {d.label.pending_limit:,} with {len(d.features)} features may take "
            f"{memory / 1e9:.0f} GB when labels are late: lower it, or shorten label.ttl"
        )
    if d.scope == "partition":
        yield 'scope = "partition": each partition has a learner of its own, which sees only its share'


def _surprising_policy(d: Definition) -> Iterator[str]:
    champion = d.models.get(d.champion or "")  # a blend mutes what diverges
    if champion is not None and champion.recipe == "linear_regression":
        yield (
            "linear_regression can diverge when a feature that was constant begins to move; "
            "linear_regression_robust does not"
        )
    for slot, model in d.models.items():
        if ":" in model.recipe:
            yield f"models.{slot}: {model.recipe} must be importable wherever a worker runs"
    always = next(
        (n for n, rule in d.rules.items() if rule.recipe or (rule.when or "").strip() == "true"), None
    )
    names = list(d.rules)
    unheard = [n for n in names[names.index(always) + 1 :] if d.rules[n].when] if always else []
    if unheard:
        yield f"rules.{always} always answers, so {', '.join(unheard)} after it never will: declare it last"
    if d.drift.on_drift == "tell":
        yield 'drift.on_drift = "tell": a signal is recorded, and nothing is done about it'
    if d.drift.patience < d.drift.min_labels:
        yield "drift.patience is below drift.min_labels: challengers are dropped too soon to be promoted"


def _surprising_surroundings(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    hosts = {broker.rpartition(":")[0] for broker in kafka.brokers.split(",")}
    if kafka.replication == 1 and not hosts <= {"localhost", "127.0.0.1", "[::1]"}:
        yield "kafka.replication = 1: whoever loses one broker loses its topics"
    if kafka.password and not os.environ.get("MEANDER_KAFKA_PASSWORD"):
        yield "kafka.password stands in the file: MEANDER_KAFKA_PASSWORD keeps it out"
    if kafka.password and kafka.security in ("PLAINTEXT", "SASL_PLAINTEXT"):
        yield f'kafka.security = "{kafka.security}": the password travels in the clear, or is not used at all'
    if kafka.security.startswith("SASL") and not (kafka.mechanism and kafka.username):
        yield f'kafka.security = "{kafka.security}" needs kafka.mechanism and kafka.username'
    if not 6_000 <= parse_duration(kafka.session_timeout, "kafka.session_timeout") <= 1_800_000:
        yield f'kafka.session_timeout = "{kafka.session_timeout}": brokers take 6s to 30m by default'
    if settings.web.port and settings.web.host not in ("127.0.0.1", "localhost", "::1"):
        yield f'web.host = "{settings.web.host}": whoever reaches port {settings.web.port} can see everything'


def resolved(settings: Settings) -> dict[str, Any]:
    """Return the settings as the definition file would say them in full, without secrets."""
    plain = masked(settings)
    whole = {
        **plain["definition"],
        **{part: plain[part] for part in ("kafka", "snapshots", "web", "columns")},
    }
    return {name: _given(value) for name, value in whole.items()}


def _given(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _given(inner) for key, inner in value.items() if inner is not None and inner != {}}


def changes(running: Settings, new: Settings) -> Iterator[dict[str, Any]]:
    """Compare the running settings with new ones.

    Yields
    ------
    change
        ``key``; ``from`` and ``to`` (None: not given); ``keeps_state``, whether what was learned stays.
    """
    before, after = resolved(running), resolved(new)
    for key, old, to in _different(before, after):
        top = key.split(".")[0]
        keeps = top not in REBUILD and key not in REBUILD
        yield {"key": key, "from": old, "to": to, "keeps_state": keeps}
    if (
        before["kafka"].get("password") == after["kafka"].get("password")
        and running.kafka.password != new.kafka.password
    ):
        secret = after["kafka"]["password"]
        yield {"key": "kafka.password", "from": secret, "to": secret, "keeps_state": True}


def _different(before: Any, after: Any, inside: str = "") -> Iterator[tuple[str, Any, Any]]:
    if before == after:
        return
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield inside, before, after
        return
    for name in dict.fromkeys((*before, *after)):
        path = f"{inside}.{toml.key(name)}" if inside else toml.key(name)
        yield from _different(before.get(name), after.get(name), path)


def _told(changed: list[dict[str, Any]], definition: str, against: str) -> str:
    if not changed:
        return f"{definition} says the same as {against}."
    lines = []
    for keeps, heading in (
        (False, "Needs a rebuild: what was learned does not fit"),
        (True, "Keeps what was learned"),
    ):
        some = [change for change in changed if change["keeps_state"] is keeps]
        if some:
            lines += [f"{heading}:", *(f"  {c['key']}: {_said(c['from'])} -> {_said(c['to'])}" for c in some)]
    if any(change["key"].startswith("models.") for change in changed):
        lines.append("A model with another recipe stays until a fresh version of it has proved better.")
    return "\n".join(lines)


def _said(value: Any) -> str:
    return "(none)" if value is None else toml.value(value)
