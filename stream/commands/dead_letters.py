"""``meander dead-letters``."""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from learners.definition import parse_duration
from learners.errors import DefinitionError, MeanderError
from producers.words import counted
from stream.letters import Letter, NotSentError, Resend, Retry, Selection, replacements, shown
from stream.messages import Reason
from stream.settings import Settings, load_settings

if TYPE_CHECKING:
    from stream.adapters.letter_box import Progress

NOT_SENT = 1  # exit status


def moment(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Read a time: ISO 8601, or how long ago; a click callback that returns milliseconds."""
    if value is None:
        return None
    try:
        return round(time.time() * 1000) - parse_duration(value, parameter.name or "")
    except DefinitionError:
        pass
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter('use e.g. "2h", "3d" (ago) or 2026-05-01T12:00:00Z') from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def change(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    """Read ``--set NAME=VALUE``: a click callback. A value that is no JSON is text."""
    changes: dict[str, Any] = {}
    for given in value:
        name, sign, text = given.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{given!r}: write e.g. features.amount=3 or label=fraud")
        try:
            changes[name] = json.loads(text)
        except ValueError:
            changes[name] = text
    return changes


def _selecting(function: Callable[..., None]) -> Callable[..., None]:
    reasons = click.Choice([reason.value for reason in Reason])
    for option in (
        click.option("--until", metavar="TIME", callback=moment, help="Refused records before this time."),
        click.option(
            "--since", metavar="TIME", callback=moment, help='From this time on: "2h" ago, or a date.'
        ),
        click.option("--at", multiple=True, metavar="PLACE", help="Only this one: 0:17, or events:0:42."),
        click.option("--partition", type=click.IntRange(min=0), help="Only of this partition."),
        click.option("--reason", "reasons", type=reasons, multiple=True, help="Only for this reason."),
        click.argument("definition", type=click.Path(dir_okay=False)),
    ):
        function = option(function)
    return function


@click.group()
def command() -> None:
    """See what was refused and why, and send it again put right.

    Exit status: 0 done, 1 some letters were not sent again, 2 a mistake or no broker.

    \b
    Example:
      meander dead-letters list deployment.toml --reason contract --since 2h
    """


@command.command("list")
@_selecting
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show the last ones."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, without the values.")
def list_(
    definition: str,
    reasons: tuple[str, ...],
    partition: int | None,
    at: tuple[str, ...],
    since: int | None,
    until: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List dead letters: place, time, reason, what they came from, what was wrong.

    \b
    Example:
      meander dead-letters list deployment.toml --reason contract --since 2h
    """
    counts: Counter[str] = Counter()
    last: list[Letter] = []
    for letter in _letters(load_settings(definition), partition, Selection(reasons, at, since, until)):
        counts[letter.reason] += 1
        last.append(letter)
        if len(last) > limit:
            last.pop(0)
    for letter in last:
        plain = shown(letter)
        if as_json:
            click.echo(json.dumps({k: v for k, v in plain.items() if not k.startswith("value")}))
        else:
            source = f"{letter.at}  {plain['time']}  {letter.reason:<14}  {letter.source}"
            click.echo(f"{source}  {_printable(letter.sentence)}")
    if not as_json:
        total = sum(counts.values())
        by_reason = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        more = f" (the last {limit} are shown: --limit)" if total > limit else ""
        click.echo(f"{counted(total, 'dead letter')}: {by_reason}{more}" if total else "No dead letters.")


@command.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("place")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(definition: str, place: str, as_json: bool) -> None:
    """Show one dead letter whole. PLACE is as listed: 0:17, or the input it came from, events:0:42.

    \b
    Example:
      meander dead-letters show deployment.toml 0:17
    """
    found = list(_letters(load_settings(definition), None, Selection(at=(place,))))
    if not found:
        raise MeanderError(f"no dead letter is at {place}: see meander dead-letters list {definition}")
    for letter in found:
        plain = shown(letter)
        if as_json:
            click.echo(json.dumps(plain))
            continue
        for name, value in plain.items():
            text = value if isinstance(value, str) else json.dumps(value, indent=2)
            click.echo(f"{name:<10}{_printable(text)}")


@command.command()
@_selecting
@click.option("--out", type=click.Path(dir_okay=False), help="A file.  [default: standard output]")
def export(
    definition: str,
    reasons: tuple[str, ...],
    partition: int | None,
    at: tuple[str, ...],
    since: int | None,
    until: int | None,
    out: str | None,
) -> None:
    """Write dead letters as JSON lines: to be put right there, and sent again with retry --file.

    \b
    Example:
      meander dead-letters export deployment.toml --reason contract --out refused.jsonl
    """
    settings = load_settings(definition)
    count = 0
    with click.open_file(out or "-", "w", encoding="utf-8") as file:
        for letter in _letters(settings, partition, Selection(reasons, at, since, until)):
            file.write(json.dumps(shown(letter)) + "\n")
            count += 1
    if out:
        click.echo(f"{counted(count, 'dead letter')} written to {out}")


@command.command()
@_selecting
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", callback=change, help="Put this right."
)
@click.option("--file", type=click.Path(dir_okay=False), help="Send what stands there instead, as exported.")
@click.option("--all", "everything", is_flag=True, help="Every dead letter there is.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, send nothing.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def retry(
    definition: str,
    reasons: tuple[str, ...],
    partition: int | None,
    at: tuple[str, ...],
    since: int | None,
    until: int | None,
    changes: dict[str, Any],
    file: str | None,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send refused records again, put right, with their own key, time and partition.

    What was never answered is answered and learned. An event that a rule has answered gets no second
    answer: it is learned, once. Of an event that was in order but for its label, the label is sent. What
    would be refused again is not sent, and said so; exit status 1 then.

    \b
    Example:
      meander dead-letters retry deployment.toml --at 0:17 --set features.amount=3
    """
    from learners.contract import Contract
    from stream.adapters.letter_box import send

    settings = load_settings(definition)
    replaced = _replacements(file)
    if file and not at:
        at = tuple(replaced)
    if not (reasons or at or everything or since is not None or file):
        raise click.UsageError("Say which: --at, --reason, --since, --file, or --all.")
    plan = Retry(Contract(settings.definition), changes, replaced)
    sent: list[Resend] = []
    not_sent: dict[str, str] = {}
    for letter in _letters(settings, partition, Selection(reasons, at, since, until)):
        try:
            sent.append(plan.resend(letter))
        except NotSentError as error:
            not_sent[letter.at] = str(error)
    known = {resend.at for resend in sent} | set(not_sent)
    if file:
        not_sent |= {place: "there is no such dead letter" for place in replaced if place not in known}
    if sent and not dry_run:
        with _progress("sent", len(sent)) as progress:
            lost = send(settings, sent, progress)
        not_sent |= {place: f"not acknowledged: {why}" for place, why in lost.items()}
        sent = [resend for resend in sent if resend.at not in lost]
    if as_json:
        outcome = {
            "sent": [{"at": r.at, "topic": r.topic} for r in sent],
            "not_sent": [{"at": place, "why": why} for place, why in not_sent.items()],
            "dry_run": dry_run,
        }
        click.echo(json.dumps(outcome))
    else:
        for place, why in not_sent.items():
            click.echo(f"{place}  {_printable(why)}", err=True)
        click.echo(f"{len(sent)} {'would be ' if dry_run else ''}sent again, {len(not_sent)} not")
    if not_sent:
        sys.exit(NOT_SENT)


def _replacements(file: str | None) -> dict[str, bytes]:
    if file is None:
        return {}
    try:
        return replacements(Path(file).read_text(encoding="utf-8").splitlines(), file)
    except OSError as error:
        raise MeanderError(f"{file}: {error.strerror}") from None


def _letters(settings: Settings, partition: int | None, selection: Selection) -> Iterator[Letter]:
    from stream.adapters.letter_box import letters, partitions
    from stream.app import open_log

    numbers = partitions(settings)
    if partition is not None:
        if partition not in numbers:
            raise MeanderError(f"there is no partition {partition}; there are 0 to {numbers[-1]}")
        numbers = [partition]
    with open_log(settings) as log, _progress("read", None) as progress:
        yield from letters(log, numbers, selection, progress)


def _printable(text: str) -> str:
    """Return text that a terminal only shows: what was refused may hold its commands."""
    return re.sub(r"[^\x20-\x7e\n\u00a0-\uffff]", "\N{REPLACEMENT CHARACTER}", text)


@contextmanager
def _progress(what: str, total: int | None) -> "Iterator[Progress]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            if count % 100 == 0 or count == total:
                bar.update(task, completed=count)

        yield advance
