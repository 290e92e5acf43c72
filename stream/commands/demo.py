"""``meander demo``."""

import os
import signal
import sys

import click


@click.command()
@click.option("--rate", type=click.FloatRange(min=1), default=400, show_default=True, help="Events a second.")
def command(rate: float) -> None:
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
    try:
        summary = demo.run(rate, console, os.environ.get("MEANDER_BROKERS"))
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
