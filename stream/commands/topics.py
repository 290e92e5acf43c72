"""``meander topics``."""

import click

from stream.settings import load_settings

_definition = click.argument("definition", type=click.Path(dir_okay=False))


@click.group()
def command() -> None:
    """Make, list or delete the Kafka topics of a deployment.

    \b
    Example:
      meander topics create deployment.toml
    """


@command.command()
@_definition
def create(definition: str) -> None:
    """Make the topics that are missing, and check those there are.

    \b
    Example:
      meander topics create deployment.toml
    """
    from stream.adapters.topics import create_topics

    made = create_topics(load_settings(definition))
    for topic in made:
        click.echo(f"{topic.name}  {_partitions(topic.wanted)}")
    click.echo(f"{len(made)} topics made" if made else "All topics are there")


@command.command("list")
@_definition
def list_(definition: str) -> None:
    """List the topics, their partitions, and how long they keep records.

    \b
    Example:
      meander topics list deployment.toml
    """
    from stream.adapters.retention import days, retention_of
    from stream.adapters.topics import SUFFIXES, list_topics

    settings = load_settings(definition)
    kept = {r.topic: r for r in retention_of(settings, SUFFIXES)}
    for topic in list_topics(settings):
        state = _partitions(topic.found) if topic.found else "missing"
        if topic.name in kept:
            how = kept[topic.name]
            state += ", the newest of each key" if how.compacted else f", kept for {days(how.milliseconds)}"
        wrong = topic.found not in (0, topic.wanted)
        click.echo(f"{topic.name}  {state}" + (f", the definition asks for {topic.wanted}" if wrong else ""))


@command.command()
@_definition
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(definition: str, yes: bool) -> None:
    """Delete the topics and everything in them.

    Delete the snapshots too before you start anew: they continue where the old topics ended.

    \b
    Example:
      meander topics delete deployment.toml
    """
    from stream.adapters.topics import delete_topics

    settings = load_settings(definition)
    if not yes:
        question = f"Delete all events, labels, predictions and history of {settings.definition.name}?"
        click.confirm(question, abort=True)
    deleted = delete_topics(settings)
    click.echo(f"{len(deleted)} topics deleted" if deleted else "There was none")


def _partitions(number: int) -> str:
    return "1 partition" if number == 1 else f"{number} partitions"
