"""The long proof, ``make signals``: every change of the gallery over several seeds, 20 stationary streams."""

import sys
from collections import Counter
from dataclasses import dataclass, field, replace

import click

from learners.presets import PRESETS, Preset
from producers.scenarios import SCENARIOS, alternating, scenario
from producers.truth import judge
from tests.signals.gallery import play, run
from tests.signals.real import STREAMS

STATIONARY = 10_000  # rows of each stationary stream
MOST = 40.0  # rows: mean delay of the abrupt changes
ABRUPT = {"abrupt", "inverted", "noise"}


@dataclass
class Tally:
    """What was found of one scenario."""

    called: int = 0
    rows: int = 0
    delays: list[int] = field(default_factory=list)
    false: Counter[str] = field(default_factory=Counter)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seeds", default=3, show_default=True, help="Of each scenario.")
@click.option("--steady", default=20, show_default=True, help="Stationary streams of 10,000 rows.")
@click.option("--preset", "presets", type=click.Choice(PRESETS), multiple=True, help="Default: each.")
@click.argument("names", nargs=-1)
def main(seeds: int, steady: int, presets: tuple[Preset, ...], names: tuple[str, ...]) -> None:
    """Print what the default detectors make of the gallery; exit with 1 unless the promises hold.

    Real streams that change at known rows are looked at by their names alone: stagger_abrupt,
    "noaa, permuted", "insects, permuted".
    """
    wrong: list[str] = []
    for preset in presets or PRESETS:
        wrong += [f"{preset}: {line}" for line in _judged(preset, seeds, names)]
        if steady:
            wrong += [f"{preset}: {line}" for line in _steady(preset, steady)]
    for line in wrong:
        click.echo(f"NOT MET: {line}", err=True)
    sys.exit(1 if wrong else 0)


def _judged(preset: Preset, seeds: int, names: tuple[str, ...]) -> list[str]:
    wrong, abrupt = [], []
    click.echo(f"\n{preset}\n\n| scenario | changes | signalled | delays | false alarms in all rows |")
    click.echo("| --- | --- | ---: | --- | --- |")
    for name in names or SCENARIOS:
        tally, kinds = Tally(), dict[str, None]()
        for seed in range(1, seeds + 1) if name in SCENARIOS else (1,):
            made = scenario(name, seed) if name in SCENARIOS else STREAMS[name]
            changes = {"loss": "balanced"} if name == "rare" else {}
            verdict = judge(made.changes, [(t.at, t.kind) for t in run(made, preset, changes)], made.length)
            tally.called += len(verdict.delays) + len(verdict.missed)
            tally.delays += verdict.delays
            tally.false.update(verdict.false)
            tally.rows += made.length
            kinds |= dict.fromkeys(change.kind for change in made.changes)
            wrong += [f"{name} (seed {seed}): {c.kind} at {c.at} not signalled" for c in verdict.missed]
        if ABRUPT & kinds.keys():
            abrupt += tally.delays
        alarms = ", ".join(f"{n} {kind}" for kind, n in sorted(tally.false.items())) or "0"
        click.echo(
            f"| {name} | {', '.join(kinds) or 'none'} | {len(tally.delays)} of {tally.called} "
            f"| {', '.join(map(str, tally.delays))} | {alarms} in {tally.rows:,} |"
        )
    if abrupt:
        mean = sum(abrupt) / len(abrupt)
        click.echo(f"\nAbrupt changes: {len(abrupt)} signalled, mean delay {mean:.1f} rows.")
        if mean > MOST:
            wrong.append(f"abrupt changes: mean delay {mean:.1f}, more than {MOST:.0f}")
    return wrong


def _steady(preset: Preset, streams: int) -> list[str]:
    """Count signals of any kind, and changes of who serves, where nothing happens."""
    alarms, changes = Counter[str](), Counter[str]()
    for seed in range(101, 101 + streams):
        told, changed = play(replace(alternating(STATIONARY), seed=seed), preset)
        alarms.update(t.kind for t in told)
        changes.update(str(t.transition.kind) for t in changed)
    click.echo(
        f"Stationary: {dict(alarms)} signals, {dict(changes)} changes in {streams * STATIONARY:,} rows."
    )
    wrong = [f"stationary: {n} {kind}" for kind, n in changes.items()]
    if alarms.total() > streams:
        wrong.append(f"stationary: {alarms.total()} signals, more than one in 10,000 rows")
    return wrong


if __name__ == "__main__":
    main()
