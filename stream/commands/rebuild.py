"""``meander rebuild``."""

import getpass
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing

import click

from learners.candidate import Candidate, Scored, digest_of
from learners.errors import MeanderError
from learners.lineage import lineage_of
from producers.words import counted
from stream.commands.control import carry_out
from stream.commands.install import about
from stream.commands.why import transitions_of
from stream.ports import Log
from stream.settings import Settings, load_settings

NICE = 10  # a worker that answers comes first
SOURCES = ("events", "labels", "control")
PERIODS = {
    "before": "before what is left out",
    "since": "since",
    "lately": "the last {:,}",
    "all": "all",
}


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.option("--to", "version", metavar="VERSION", help="Learn again up to a version.")
@click.option(
    "--without",
    "spans",
    metavar="FROM..TO",
    multiple=True,
    help="Learn again without a span: offsets (1000..2000, labels:5..9) or times of events and labels.",
)
@click.option("--without-key", "keys", metavar="KEY", multiple=True, help="Without what has this Kafka key.")
@click.option(
    "--without-producer",
    "producers",
    metavar="NAME",
    multiple=True,
    help="Without the events whose header meander-producer says so.",
)
@click.option("--install", is_flag=True, help="Install it, if it is no worse than what was served.")
@click.option("--reason", help="Why, with --install: kept with the transition.")
@click.option("--operator", default=getpass.getuser, show_default="you", help="Who asks.")
@click.option("--wait", type=float, default=30.0, show_default=True, help="Seconds to wait for --install.")
@click.option("--partition", type=int, help="This one alone.  [default: all]")
@click.option(
    "--accept-loss", is_flag=True, help="Go on where records are gone: what they taught may be lost."
)
def command(
    definition: str,
    version: str | None,
    spans: tuple[str, ...],
    keys: tuple[str, ...],
    producers: tuple[str, ...],
    install: bool,
    reason: str | None,
    operator: str,
    wait: float,
    partition: int | None,
    accept_loss: bool,
) -> None:
    """Learn again from the log: without a bad span of it, up to a version, or all of it.

    With --without or --to workers go on meanwhile. The log is learned again beside them, from its beginning,
    as it would have been without these inputs (a label goes with its event, operators' commands are not
    repeated), or as it was up to that version. What the result would have answered is scored beside what was
    served, over the same labels, before anything of them is learned. It is kept in the store under its
    digest; `meander install` lets it take the place of what is there. Spans hold their first end, not their
    last. Where the log does not reach back to its first record any more this refuses; with --accept-loss
    --without learns from what is left, and the table tells how good that is.

    Without these: for state that cannot be loaded (other libraries, other features, damage). All workers
    must be stopped. Inputs run again in the order that the outputs record, nothing is sent, and the next
    worker goes on behind the last answer. Where the log is not whole any more this refuses, and says so. With
    --accept-loss it keeps what the newest sound snapshot has learned and goes on with the records that are
    there; without such a snapshot it learns from what is left.

    \b
    Example:
      meander rebuild deployment.toml --without 2026-11-24T10:00..2026-11-24T12:30
      meander rebuild deployment.toml --without-key shop-3 --install --reason "sent cents for francs"
      meander rebuild deployment.toml --to v7@120000
      meander rebuild deployment.toml
    """
    left_out = (*spans, *(f"key:{key}" for key in keys), *(f"producer:{name}" for name in producers))
    beside = bool(left_out) or version is not None
    if left_out and version is not None:
        raise click.UsageError("Give --to, or what to leave out.")
    if install and not (beside and reason):
        raise click.UsageError("--install goes with --without or --to, and needs a --reason.")
    if version is not None and accept_loss:
        raise click.UsageError("--to needs the whole log up to that version: --accept-loss cannot help.")
    settings = load_settings(definition)
    numbers = range(settings.partitions) if partition is None else [partition]
    if not beside:
        _whole(settings, numbers, accept_loss)
        return
    os.nice(NICE)
    status = 0
    for number in numbers:
        candidate, digest = _again(settings, number, version, left_out, accept_loss)
        _show(candidate, digest)
        if not install:
            click.echo(f'To install it: meander install {definition} {digest[:12]} --reason "..."')
            continue
        worse = _worse(candidate)
        if worse is not None:
            click.echo(f"Not installed: {worse}", err=True)
            status = max(status, 1)
        else:
            said = carry_out(definition, "install", digest, reason or "", operator, number, wait, False)
            status = max(status, said)
    sys.exit(status)


def _again(
    settings: Settings, number: int, version: str | None, left_out: Sequence[str], accept_loss: bool
) -> tuple[Candidate, str]:
    """Learn a partition again; returns what came of it, and its digest in the store."""
    from stream.adapters.keys import load_keys
    from stream.adapters.stores import open_store
    from stream.app import open_log, open_states
    from stream.commands.replay import shown_progress
    from stream.processing.rebuild import GoneError
    from stream.processing.relearn import learn_to, learn_without
    from stream.processing.spans import parse_span

    spans = [parse_span(text) for text in left_out]
    with open_log(settings) as log:
        total = sum(log.bounds(source, number)[1] for source in SOURCES)
        with shown_progress(total, f"partition {number}") as progress:
            steady = _told(progress, total, number)
            if version is None:
                try:
                    candidate = learn_without(
                        settings.definition, number, log, spans, steady, accept_loss=accept_loss
                    )
                except GoneError as error:
                    raise GoneError(f"{error}. To learn from what is left: --accept-loss") from None
            else:
                named = _version(log, number, version)
                states = open_states(settings, number)
                candidate = learn_to(settings.definition, number, log, named, states, steady)
    data = candidate.pack(settings.definition, load_keys(settings)[0])
    digest = digest_of(data)
    with closing(open_store(settings)) as store:
        store.put(number, digest, data)
    return candidate, digest


def _told(progress: Callable[[int], None], total: int, number: int) -> Callable[[int], None]:
    """Tell each tenth in a line, where there is no terminal to draw a bar on."""
    if sys.stderr.isatty():
        return progress
    step = max(1, total // 10)

    def tell(count: int) -> None:
        if count % step == 0:
            click.echo(f"partition {number}: {count:,} of {total:,} records", err=True)

    return tell


def _version(log: Log, number: int, wanted: str) -> tuple[int, int]:
    """Return a version's number and learned examples; of a number alone, as they were recorded last."""
    name = wanted.rpartition("/")[2].removeprefix("v")
    if "@" not in name:
        entry = lineage_of(told for _, told in transitions_of(log, number)).find(f"v{name}")
        if entry is None:
            raise MeanderError(f"no version is called {wanted!r}: meander versions list shows what there was")
        name = entry.version.name.rpartition("/v")[2]
    version, _, learned = name.partition("@")
    if not (version.isdigit() and learned.isdigit()):
        raise MeanderError(f"{wanted!r} is no version, e.g. v7 or v7@120000")
    return int(version), int(learned)


def _show(candidate: Candidate, digest: str) -> None:
    origin = candidate.origin
    click.echo(f"partition {origin.partition}: {about(origin)}")
    if origin.left_out:
        click.echo(f"  left out: {counted(origin.events, 'event')}, {counted(origin.labels, 'label')}")
    rows = [("", "labels", "then", "now")]
    rows += [(_period(s), f"{s.labels:,}", *_shown(s)) for s in origin.scores]
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    for row in rows if len(rows) > 1 else ():
        click.echo(f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}")
    if not origin.scores:
        click.echo("  No label says how good it is.")
    if not candidate.serves:
        click.echo("  At its end rules would answer: it has not proved better than they.")
    click.echo(f"In the store: {digest}")


def _period(scored: Scored) -> str:
    return PERIODS[scored.period].format(scored.labels)


def _shown(scored: Scored) -> tuple[str, str]:
    then, now = scored.shown
    return f"{then}, loss {scored.then:.4g}", f"{now}, loss {scored.now:.4g}"


def _worse(candidate: Candidate) -> str | None:
    """Say why a state should not be installed without a person's word, None where it is no worse."""
    scored = candidate.origin.of("since") or candidate.origin.of("all")
    if scored is None:
        return "no label says how good it is. To install it all the same: meander install"
    if scored.now > scored.then:
        return (
            f"over {counted(scored.labels, 'label')} its loss is {scored.now:.4g}, that of what was served "
            f"{scored.then:.4g}. To install it all the same: meander install"
        )
    return None


def _whole(settings: Settings, numbers: Sequence[int], accept_loss: bool) -> None:
    """Learn all again, in the place of snapshots."""
    from stream.adapters.keys import load_keys
    from stream.adapters.stores import open_store
    from stream.app import open_log
    from stream.commands.replay import shown_progress
    from stream.processing.rebuild import rebuild

    keys, _ = load_keys(settings)
    store = open_store(settings)
    with open_log(settings) as log:
        for number in numbers:
            store.lock(number)
        for number in numbers:
            total = sum(log.bounds(source, number)[1] for source in SOURCES)
            with shown_progress(total, f"partition {number}") as progress:
                said = rebuild(
                    settings.definition, number, log, store, keys, accept_loss=accept_loss, progress=progress
                )
            click.echo(said)
        for number in numbers:
            store.unlock(number)
