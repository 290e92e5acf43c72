"""``meander forget``."""

import getpass
import json
import time
import uuid
from typing import Any

import click

from producers.words import counted
from stream.settings import Settings, load_settings

ENTITY = ("events", "labels", "predictions", "dead-letters")  # topics whose records carry the entity's key
NO_ANSWER = 3  # exit status, as of the other commands that workers carry out


@click.command()
@click.argument("definition", type=click.Path(dir_okay=False))
@click.option("--key", required=True, help="The entity: the Kafka key of its events.")
@click.option("--operator", default=getpass.getuser, show_default="you", help="Who asks.")
@click.option("--reason", default="", help="Why; stands in the control topic.")
@click.option("--wait", type=float, default=30.0, show_default=True, help="Seconds to wait for it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(definition: str, key: str, operator: str, reason: str, wait: float, as_json: bool) -> None:
    """Forget an entity: its events that wait for labels go, and are never learned.

    Tells what remains: records in the log until their topics' retention ends, and what models have learned.

    Exit status: 0 done everywhere, 2 a mistake, 3 not everywhere in time (it will be, once workers run).

    \b
    Example:
      meander forget deployment.toml --key customer-17
    """
    from stream.app import open_log

    settings = load_settings(definition)
    identifier = f"forget-{uuid.uuid4().hex}"
    with open_log(settings) as log:
        begins = [log.bounds("transitions", number)[1] for number in range(settings.partitions)]
        _send(settings, identifier, key, operator, reason)
        done = _awaited(log, begins, identifier, wait)
        remains = _remaining(log, settings.partitions, key.encode())
    if as_json:
        click.echo(json.dumps({"id": identifier, "forgotten": done, "log": remains}, indent=2))
    else:
        for number, counts in done.items():
            click.echo(f"partition {number}: {_listed(counts)} forgotten")
        for topic, count in remains.items():
            click.echo(
                f"{settings.topic(topic)} still holds {counted(count, 'record')} of this key, "
                "until its retention ends"
            )
        click.echo(
            f"Snapshots before this one hold its features until {settings.snapshots.keep} more are taken."
        )
        click.echo(
            "What models have learned from it stays in them: retrain, or rebuild once the log is rid of it."
        )
    if len(done) < settings.partitions:
        click.echo("Not carried out yet: the command waits in the control topic for a worker.", err=True)
        raise click.exceptions.Exit(NO_ANSWER)


def _send(settings: Settings, identifier: str, key: str, operator: str, reason: str) -> None:
    from producers.control import Controller
    from stream.messages import Forget

    controller = Controller(settings)
    try:
        forget = Forget(id=identifier, key=key, operator=operator, reason=reason)
        controller.send(
            dict.fromkeys(range(settings.partitions), forget)
        )  # who chose the partition is unknown
    finally:
        controller.close()


def _awaited(log: Any, begins: list[int], identifier: str, wait: float) -> dict[int, dict[str, int]]:
    """Return what each partition says it forgot, as soon as all have, or patience is over."""
    done: dict[int, dict[str, int]] = {}
    deadline = time.monotonic() + wait
    while len(done) < len(begins) and time.monotonic() < deadline:
        for number, begin in enumerate(begins):
            if number in done:
                continue
            end = log.bounds("transitions", number)[1]
            for found in log.read("transitions", number, begin, end):
                transition = json.loads(found.value or b"{}")
                if transition.get("kind") == "forgotten" and transition.get("command") == identifier:
                    done[number] = transition.get("evidence", {})
            begins[number] = end
        time.sleep(0.1)
    return done


def _remaining(log: Any, partitions: int, key: bytes) -> dict[str, int]:
    counts = dict.fromkeys(ENTITY, 0)
    for topic in ENTITY:
        for number in range(partitions):
            counts[topic] += sum(
                found.key == key for found in log.read(topic, number, *log.bounds(topic, number))
            )
    return counts


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())
