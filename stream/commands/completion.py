"""``meander completion``."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what lets a shell complete commands and options.

    \b
    Example:
      eval "$(meander completion bash)"
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101  click has all three
    root = click.get_current_context().find_root().command
    click.echo(made(root, {}, "meander", "_MEANDER_COMPLETE").source())
