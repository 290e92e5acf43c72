"""``meander demo``."""

import os
import signal
import sys
from typing import Any

import click


@click.command()
@click.option("--rate", type=click.FloatRange(min=1), default=400, show_default=True, help="Events a second.")
@click.option("--story", is_flag=True, help="A whole day instead: drift, silent labels, an operator.")
def command(rate: float, story: bool) -> None:
    """Show the whole idea in a minute, on a broker of its own (or on MEANDER_BROKERS).

    A stream whose relation flips: the model fails, a detector notices, rules answer, the model learns
    and gets its place back. Ends with 0 only if the topics tell that story, one prediction for each event.

    \b
    Example:
      meander demo
    """
    from rich.console import Console

    from stream import demo

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    brokers = os.environ.get("MEANDER_BROKERS")
    if story:
        _story(console, brokers)
        return
    try:
        summary = demo.run(rate, console, brokers)
    except KeyboardInterrupt:
        console.print("Stopped.")
        sys.exit(130)
    demo.report(summary, console)
    missing = summary.missing()
    for line in missing:
        click.echo(f"meander: {line}", err=True)
    if missing:
        sys.exit(1)
    console.print("[green]It all happened, and every event has its one answer.[/]")


def _story(console: Any, brokers: str | None) -> None:
    from stream.commands.why import timeline
    from stream.story import tell

    try:
        tell(timeline, console, brokers)
    except KeyboardInterrupt:
        console.print("Stopped.")
        sys.exit(130)
    console.print("[green]The page, the metrics, the transitions topic and meander why tell it alike.[/]")
