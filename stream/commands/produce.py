"""``meander produce``."""

import functools
import signal
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from producers.words import counted
from stream.settings import Columns as FileColumns
from stream.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from producers.delays import Law, Trouble
    from producers.load import Labels
    from producers.scenarios import Made

    Open = Callable[[], Iterable[dict[str, Any]]]


def label_delay(context: click.Context, parameter: click.Parameter, value: str | None) -> "Law | None":
    """Read ``--label-delay``: a click callback."""
    from producers.delays import parse_delay

    try:
        return parse_delay(value) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_SHARE = click.FloatRange(0, 1)
_TROUBLE = (
    click.option("--label-loss", "loss", type=_SHARE, default=0.0, help="Share of labels that never come."),
    click.option("--label-unavailable", "unavailable", type=_SHARE, default=0.0, help="Share said to be so."),
    click.option("--label-twice", "twice", type=_SHARE, default=0.0, help="Share sent a second time."),
    click.option(
        "--label-wrong", "wrong", type=_SHARE, default=0.0, help="Share sent wrong, then corrected."
    ),
    click.option("--label-outage", "outage", metavar="ROWS", help="Held back between these, e.g. 1000-3000."),
)


def label_trouble(command: "Callable[..., Any]") -> "Callable[..., Any]":
    """Give a command the options that say what befalls labels: they come as one ``trouble``, or None."""

    @functools.wraps(command)
    def gathered(
        loss: float, unavailable: float, twice: float, wrong: float, outage: str | None, **rest: Any
    ) -> Any:
        from producers.delays import Trouble

        span: tuple[int, int] | None = None
        if outage is not None:
            low, dash, high = outage.partition("-")
            if not (dash and low.isdecimal() and high.isdecimal() and int(low) < int(high)):
                raise click.BadParameter(
                    f"{outage!r} is no span of rows: write e.g. 1000-3000", param_hint="--label-outage"
                )
            span = int(low), int(high)
        made = Trouble(loss=loss, unavailable=unavailable, twice=twice, wrong=wrong, outage=span)
        return command(trouble=None if made == Trouble() else made, **rest)

    for option in reversed(_TROUBLE):
        gathered = option(gathered)
    return gathered


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@click.option("--dataset", help="A data set bundled with River instead of a file, e.g. Phishing.")
@click.option("--scenario", "scenario_name", help="A made-up stream with drift; see meander scenario.")
@click.option(
    "--truth", type=click.Path(dir_okay=False), help="With --scenario: where its true points of change go."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the scenario.")
@click.option("--events", type=click.IntRange(min=1), help="Stop after so many.  [default: all]")
@click.option("--repeat", is_flag=True, help="Start over at the end; without --events: until stopped.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Events a second.  [default: flat out]"
)
@click.option("--label-column", help="Where the label is.  [default: as in the definition]")
@click.option("--id", "id_column", help="Column of the ids.  [default: as in the definition]")
@click.option("--key", "key_column", help="Column of the Kafka key.  [default: the id]")
@click.option("--timestamp", "timestamp_column", help="Column of event time.  [default: now]")
@click.option(
    "--labels",
    "mode",
    type=click.Choice(["inside", "topic", "none"]),
    help="Inside the events, on their own topic, or not at all.  [default: inside; topic with --label-delay]",
)
@click.option(
    "--label-delay",
    "delay",
    metavar="LAW",
    callback=label_delay,
    help="How much later: 50 or 10-50 rows, 1h, exponential:1h, lognormal:1h:1.5, fraud=20d,legit=1d.",
)
@label_trouble
@click.option("--run", help="Put in front of ids, so that two runs do not collide.")
def command(
    definition: str,
    file: str | None,
    dataset: str | None,
    scenario_name: str | None,
    truth: str | None,
    seed: int,
    events: int | None,
    repeat: bool,
    rate: float | None,
    label_column: str | None,
    id_column: str | None,
    key_column: str | None,
    timestamp_column: str | None,
    mode: str | None,
    delay: "Law | None",
    trouble: "Trouble | None",
    run: str | None,
) -> None:
    """Send events, and labels, from FILE (CSV or JSON lines, plain or gzip), a data set or a scenario.

    Ends with 0 only if the broker acknowledged everything.

    \b
    Example:
      meander produce deployment.toml --scenario flip --rate 200 --label-delay 50
    """
    from producers.load import Columns, Load, paced, samples, shown
    from producers.publisher import DeliveryError, Publisher

    if (delay is not None or trouble is not None) and mode not in (None, "topic"):
        raise click.UsageError("--label-delay and what befalls labels go with --labels topic.")
    settings = load_settings(definition)
    own = settings.columns if file is not None else FileColumns()
    id_column = id_column or own.id
    if repeat and id_column:
        raise click.UsageError("--repeat would send the ids of --id again, and they are answered once.")
    if truth is not None and scenario_name is None:
        raise click.UsageError("--truth goes with --scenario.")
    mode = mode or ("inside" if delay is None and trouble is None else "topic")
    made = _made(scenario_name, seed, truth) if scenario_name is not None else None
    source, length, rows = _source(file, dataset, scenario_name, made)
    columns = Columns(
        label=None if mode == "none" else label_column or own.label,
        id=id_column,
        key=key_column or own.key or (made.key if made else None),
        timestamp=timestamp_column or own.timestamp,
        prefix=f"{run}-{source}" if run else source,
    )
    total = events if repeat or length is None else min(events or length, length)
    stream = samples(islice(_repeated(rows, repeat), events), settings.definition, columns)
    stream = shown(paced(stream, rate) if rate else stream, total, source)
    name, topics = settings.definition.name, (settings.topic("events"), settings.topic("labels"))

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lost: DeliveryError | None = None
    stopped = False
    start = time.perf_counter()
    try:
        with Publisher(settings.kafka, topics) as publisher:
            load = Load(publisher, *topics)
            try:
                load.send(stream, cast("Labels", mode), delay, trouble, rate or 1.0)
            except KeyboardInterrupt:  # what was sent so far is still waited for
                stopped = True
    except DeliveryError as error:
        lost = error
    seconds, count = time.perf_counter() - start, publisher.acknowledged
    click.echo(
        f"{name}: {counted(load.events_sent, 'event')}{' with labels inside' if mode == 'inside' else ''} "
        f"and {counted(load.labels_sent, 'label')} sent, "
        f"{count:,} of {counted(publisher.sent, 'record')} acknowledged, "
        f"in {seconds:.1f} s ({count / seconds:,.0f}/s)"
    )
    if lost is not None:
        click.echo(f"meander: {lost}", err=True)
    if lost is not None or stopped:
        raise click.exceptions.Exit(130 if stopped and lost is None else 1)


def _made(name: str, seed: int, truth: str | None) -> "Made":
    """Return a scenario, its true points of change written to a file if one is named."""
    from producers.scenarios import scenario, write_truth

    made = scenario(name, seed)
    if truth is not None:
        write_truth(made.changes, Path(truth))
    return made


def _source(
    file: str | None, dataset: str | None, scenario: str | None, made: "Made | None"
) -> "tuple[str, int | None, Open]":
    """Return the source's short name, its number of rows if known, and what opens it."""
    if sum(given is not None for given in (file, dataset, scenario)) != 1:
        raise click.UsageError("Give one source: FILE, --dataset NAME or --scenario NAME.")
    if file is not None:
        from producers.files import rows as file_rows

        return Path(file).name.split(".")[0], None, lambda: file_rows(file)
    if dataset is not None:
        from producers.datasets import rows as dataset_rows

        return dataset.lower(), None, lambda: dataset_rows(dataset)
    found = cast("Made", made)
    return str(scenario), found.length, found.rows


def _repeated(rows: "Open", repeat: bool) -> Iterator[dict[str, Any]]:
    yield from rows()
    while repeat:
        yield from rows()
