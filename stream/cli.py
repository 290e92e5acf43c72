"""The command line: one program, one module in ``stream.commands`` for each command."""

import importlib
import sys
from typing import Any

import click

from learners.errors import MeanderError

CONTROL = (
    "promote",
    "rollback",
    "drop",
    "fallback",
    "resume",
    "freeze",
    "unfreeze",
    "retrain",
    "approve",
    "apply",
)
COMMANDS = (
    "init",
    "check",
    "topics",
    "worker",
    "produce",
    "replay",
    "rebuild",
    "install",
    "snapshots",
    "dead-letters",
    "scenario",
    "calibrate",
    "forget",
    "demo",
    "schema",
    "status",
    "why",
    "versions",
    "ops",
    "operator",
    "completion",
    *CONTROL,
)


REMEDY = "Is the broker well, and are the topics there (meander topics list)?"


class _Lazy(click.Group):
    """Loads a command's module only when it is asked for, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        if name in CONTROL:
            made: dict[str, click.Command] = importlib.import_module("stream.commands.control").COMMANDS
            return made[name]
        command: click.Command = importlib.import_module(f"stream.commands.{name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MeanderError as error:
            click.echo(f"meander: {error}", err=True)
            sys.exit(2)
        except Exception as error:
            kafka = sys.modules.get("kafka.errors")  # loaded only where a command talks to Kafka
            if kafka is None or not isinstance(error, kafka.KafkaError):
                raise
            click.echo(f"meander: Kafka does not do what was asked: {error}. {REMEDY}", err=True)
            sys.exit(2)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="meander-online", prog_name="meander")
def main() -> None:
    """Online machine learning on Kafka that stays right while the world changes."""
