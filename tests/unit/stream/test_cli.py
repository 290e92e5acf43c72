"""What the shell shows of every command, and completes."""

import os
import subprocess
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from stream.cli import main


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    """Yield every command and subcommand by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        yield (*above, name)
        if isinstance(found, click.Group):
            yield from commands(found, *above, name)


@pytest.mark.parametrize("words", list(commands(main)), ids=" ".join)
def test_every_command_has_help_and_an_example(words: tuple[str, ...]) -> None:
    """With what to type, beginning as one types it."""
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    _, found, example = done.output.partition("Example:\n")
    assert found, done.output
    assert example.strip().removeprefix('eval "$(').startswith(f"meander {words[0]}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(shell: str) -> None:
    """A script for each shell; what it asks for is there."""
    script = CliRunner().invoke(main, ["completion", shell])
    assert (script.exit_code, "_MEANDER_COMPLETE" in script.output) == (0, True)
    complete = ShellComplete(main, {}, "meander", "_MEANDER_COMPLETE")
    assert {c.value for c in complete.get_completions([], "pro")} == {"produce", "promote"}
    assert {c.value for c in complete.get_completions(["rollback"], "--re")} == {"--reason"}
    assert {c.value for c in complete.get_completions(["versions"], "")} == {"list", "show", "diff"}


def test_bash_takes_the_script() -> None:
    """It is no script of another shell."""
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-n"], input=script, text=True, env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
