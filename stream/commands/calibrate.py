"""``meander calibrate``."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from learners.errors import MeanderError
from producers.words import counted
from stream.commands.produce import label_delay
from stream.settings import Settings, load_settings, parse_settings

if TYPE_CHECKING:
    from producers.delays import Law
    from producers.orders import Change
    from stream.calibration import Curve, Errors


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@click.option("--scenario", "scenario_name", help="A made-up stream instead, its truth known.")
@click.option("--detector", "detectors", multiple=True, help="Only this one; may be repeated.")
@click.option("--budget", type=click.FloatRange(min=100), default=10_000.0, show_default=True,
              help="Labels between two false alarms, at the least.")  # fmt: skip
@click.option("--rise", type=click.FloatRange(min=0.01, max=1), default=0.2, show_default=True,
              help="The rise of the mean loss whose delay is shown.")  # fmt: skip
@click.option("--truth", type=click.Path(dir_okay=False), help="True points of change: scores the detectors.")
@click.option("--out", type=click.Path(dir_okay=False), help="Where the curves go, as a web page.")
@click.option("--write", is_flag=True, help="Write the setting into the definition.")
@click.option("--label-column", help="Where the label is.  [default: as in the definition]")
@click.option("--label-delay", "delay", metavar="ROWS", callback=label_delay, help="Rows, e.g. 50, or 10-50.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of what is drawn again.")
def command(
    definition: str,
    file: str | None,
    scenario_name: str | None,
    detectors: Sequence[str],
    budget: float,
    rise: float,
    truth: str | None,
    out: str | None,
    write: bool,
    label_column: str | None,
    delay: "Law | None",
    seed: int,
) -> None:
    """Find the setting of the drift detector that keeps a budget of false alarms on your own stream.

    Replays FILE with the definition's champion, draws its losses again in blocks, and tries every detector on
    them, beside one that cries at random and none at all. No Kafka, nothing is sent.

    \b
    Example:
      meander calibrate deployment.toml history.csv.gz --budget 10000 --out curves.html --write
    """
    from producers.scenarios import read_truth
    from producers.truth import judge
    from stream import calibration
    from stream.calibration_page import page

    settings = load_settings(definition)
    drift, names = settings.definition.drift, calibration.names(detectors)
    with _progress("replay", None) as advance:
        errors, changes = _errors(settings, file, scenario_name, label_column, delay, advance)
    if truth is not None:
        changes = read_truth(Path(truth))
    losses = calibration.calm(errors, changes or [])
    total = sum(len(calibration.DIALS[name][1]) for name in names)
    curves: list[Curve] = []
    with _progress("settings tried", total) as advance:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            advance(done)

        for name in [*names, "random", "none"]:
            curve = calibration.calibrate(losses, name, drift, budget, rise, seed, step)
            if changes is not None:
                curve.verdict = calibration.tried(errors, curve, drift, seed, changes)
            curves.append(curve)
    click.echo(
        f"{settings.definition.name}: {counted(len(errors.losses), 'label')}, "
        f"mean loss {errors.losses.mean():.3f}; "
        f"{len(losses):,} of them drawn again"
    )
    table = _table(curves, rise, changes is not None)
    _print(table)
    if changes is not None:
        verdict = judge(changes, errors.signals, errors.events)
        click.echo(f"The definition as it stands, signals of every kind: {verdict.sentence()}")
    if out is not None:
        Path(out).write_text(page(settings.definition.name, curves, budget, rise, table), encoding="utf-8")
        click.echo(f"Written to {out}: the curves.")
    _settle(settings, curves, detectors, budget, write)


def _errors(
    settings: Settings,
    file: str | None,
    scenario_name: str | None,
    label: str | None,
    delay: "Law | None",
    advance: Callable[[int], None],
) -> "tuple[Errors, list[Change] | None]":
    from producers.files import rows
    from producers.load import Columns
    from producers.scenarios import scenario
    from stream.calibration import errors_of

    if (file is None) == (scenario_name is None):
        raise click.UsageError("Give a FILE, or --scenario NAME.")
    own = settings.columns
    if scenario_name is not None:
        made = scenario(scenario_name)
        columns = Columns(label=label or "target", key=made.key, prefix=scenario_name)
        return errors_of(settings.definition, made.rows(), columns, delay, advance), list(made.changes)
    columns = Columns(label=label or own.label, id=own.id, key=own.key, timestamp=own.timestamp)
    return errors_of(settings.definition, rows(str(file)), columns, delay, advance), None


def _table(curves: "Sequence[Curve]", rise: float, judged: bool) -> list[dict[str, str]]:
    rows = []
    for curve in curves:
        point = curve.chosen or (curve.points[0] if curve.parameter is None else None)
        row = {
            "detector": curve.detector,
            "setting": "",
            "false alarm in": "",
            f"delay at +{rise:g}": "",
            "missed": "",
        }
        if point is None:
            row["setting"] = "none keeps the budget"
        else:
            row["setting"] = f"{curve.parameter} = {point.setting:g}" if curve.parameter else ""
            row["false alarm in"] = "never" if curve.detector == "none" else f">= {point.between:,.0f}"
            row[f"delay at +{rise:g}"] = "never" if point.delay is None else f"{point.delay:.0f}"
            row["missed"] = f"{point.missed:.0%}"
        if judged:
            verdict = curve.verdict
            called = len(verdict.delays) + len(verdict.missed) if verdict else 0
            row["true changes"] = f"{len(verdict.delays)} of {called}" if verdict else ""
            row["their delay"] = f"{verdict.mean_delay:.0f}" if verdict and verdict.delays else ""
            row["false"] = str(sum(verdict.false.values())) if verdict else ""
        rows.append(row)
    return rows


def _print(rows: list[dict[str, str]]) -> None:
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    left = {"detector", "setting"}
    for row in [{name: name for name in rows[0]}, *rows]:
        cells = [f"{v:<{widths[n]}}" if n in left else f"{v:>{widths[n]}}" for n, v in row.items()]
        click.echo("  ".join(cells).rstrip())


def _settle(
    settings: Settings, curves: "Sequence[Curve]", asked: Sequence[str], budget: float, write: bool
) -> None:
    """Say what to write, or write it."""
    import tomllib

    from stream.toml_edit import set_value

    drift = settings.definition.drift
    wanted = asked[0] if len(asked) == 1 else drift.detector
    curve = next((c for c in curves if c.detector == wanted), None)
    if curve is None or curve.chosen is None or curve.parameter is None:
        if write:
            raise MeanderError(
                f"{wanted} was not tried, or keeps no such budget with any setting: "
                "name another with --detector, or a smaller --budget"
            )
        return
    kept = dict(drift.parameters) if wanted == drift.detector else {}
    parameters: dict[str, Any] = {**kept, curve.parameter: curve.chosen.setting}
    comment = f"a false alarm in {budget:,.0f} labels at the most, by meander calibrate"
    if not write:
        click.echo(f"--write would set {wanted}: {curve.parameter} = {curve.chosen.setting:g}")
        return
    file = Path(str(settings.file))
    text = set_value(file.read_text(encoding="utf-8"), "drift", "parameters", parameters, comment)
    if wanted != drift.detector:
        text = set_value(text, "drift", "detector", wanted)
    parse_settings(tomllib.loads(text), str(file))  # what is written must load
    file.write_text(text, encoding="utf-8")
    click.echo(f"{file}: [drift] {wanted}, {curve.parameter} = {curve.chosen.setting:g}")


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            if total is not None or count % 500 == 0:
                bar.update(task, completed=count)

        yield advance
