"""``meander ops``."""

import click
import msgspec

from stream.settings import load_settings


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.option("--host", help="Where it listens.  [default: web.host of the definition]")
@click.option("--port", type=int, help="And on which port.  [default: web.port + 100, or 6166]")
def command(definition: str, host: str | None, port: int | None) -> None:
    """Serve the operations page from the topics alone, without a worker.

    \b
    Example:
      meander ops deployment.toml --port 8080
    """
    from monitoring.console import run_console
    from stream.logs import set_up

    set_up("INFO")
    settings = load_settings(definition)
    web = msgspec.structs.replace(
        settings.web, host=host or settings.web.host, port=port or (settings.web.port or 6066) + 100
    )
    click.echo(f"http://{web.host}:{web.port}/ops/")
    run_console(msgspec.structs.replace(settings, web=web))
