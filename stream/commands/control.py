"""What operators command, one shell command each: ``meander promote``, ``rollback``, ``drop``, ..."""

import getpass
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from producers.words import counted
from stream.logs import printable
from stream.settings import load_settings

ABOUT = {
    "promote": "Make a challenger the champion, from the next event on.",
    "rollback": "Make the previous champion, or a version that is kept, the champion again.",
    "drop": "Remove a challenger.",
    "fallback": "Let only rules answer, until `meander resume`.",
    "resume": "Let the champion answer again.",
    "freeze": "Stop learning and deciding; answers and scores go on.",
    "unfreeze": "Let learning go on.",
    "retrain": "Start a fresh version of a slot (the champion's by default) in shadow.",
    "approve": "Do what a partition advises (in mode advise); `meander status` shows what waits.",
    "apply": 'Do what a policy of the definition (on = "command") says.',
}
TARGET = {
    "promote": True, "drop": True, "retrain": False, "rollback": False, "approve": True, "apply": True,
}  # fmt: skip
EXAMPLE = {"retrain": " lr", "rollback": " v7", "approve": " a1 --partition 0", "apply": " swap"}
REJECTED, NO_ANSWER = 1, 3  # exit statuses


def _command(action: str) -> click.Command:
    def run(
        definition: str,
        reason: str,
        operator: str,
        partition: int | None,
        wait: float,
        target: str | None = None,
        override: bool = False,
        at: datetime | None = None,
    ) -> None:
        if at is not None and target is not None:
            raise click.UsageError("Give a version, or --at.")
        if at is not None:
            target = f"at:{round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)}"
        sys.exit(carry_out(definition, action, target, reason, operator, partition, wait, override))

    shown = EXAMPLE.get(action, " lr-next" if action in TARGET else "")
    run.__doc__ = f"""{ABOUT[action]}

    Exit status: 0 applied everywhere, 1 rejected somewhere, 2 a mistake, 3 no answer in time (it may still
    be applied within five minutes).

    \b
    Example:
      meander {action} deployment.toml{shown} --reason "labels were wrong"
    """
    options: list[Callable[[Any], Any]] = [
        click.argument("definition", type=click.Path(dir_okay=False)),
        click.option("--reason", required=True, help="Why: kept with the transition, for the next person."),
        click.option("--operator", default=getpass.getuser, show_default="you", help="Who asks."),
        click.option("--partition", type=int, help="Where.  [default: everywhere]"),
        click.option("--wait", type=float, default=30.0, show_default=True, help="Seconds to wait for it."),
    ]
    if action in TARGET:
        options.insert(1, click.argument("target", required=TARGET[action]))
    if action == "promote":
        options.append(click.option("--override", is_flag=True, help="Although the policy would not yet."))
    if action == "rollback":
        help_ = (
            "To who was champion then, e.g. 2026-11-24T10:00:00Z (event time, UTC where no zone is given)."
        )
        options.append(click.option("--at", metavar="TIME", callback=_time, help=help_))
    decorated: Any = run
    for option in reversed(options):
        decorated = option(decorated)
    made: click.Command = click.command(action)(decorated)
    return made


def _time(_: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time, e.g. 2026-11-24T10:00:00Z", param=option) from None


def carry_out(
    definition: str,
    action: str,
    target: str | None,
    reason: str,
    operator: str,
    partition: int | None,
    wait: float,
    override: bool,
) -> int:
    """Send a command and wait for the transitions that answer it; returns the exit status."""
    import msgspec

    from monitoring.board import Board
    from monitoring.control import ActionRequest, Desk, RefusedError
    from monitoring.feed import Feed
    from producers.control import Controller

    settings = load_settings(definition)
    board = Board(settings.definition.name, settings.definition.task, settings.partitions)
    feed, controller = Feed(settings), Controller(settings)
    try:
        feed.catch_up(board)
        plain = {
            "action": action, "target": target, "reason": reason, "operator": operator,
            "partition": partition, "override": override,
        }  # fmt: skip
        desk = Desk(board, controller.send)
        try:
            request = msgspec.convert({k: v for k, v in plain.items() if v is not None}, ActionRequest)
            identifier, commands = desk.plan(request, None, None, round(time.time() * 1000))
        except (RefusedError, msgspec.ValidationError) as error:
            unmet = error.problem.unmet if isinstance(error, RefusedError) else None
            more = f" Not met: {', '.join(unmet).lower()} (--override)." if unmet else ""
            click.echo(f"meander: {error}{more}", err=True)
            return 2
        desk.send(commands)
        return _follow(board, feed, desk, identifier, wait)
    finally:
        feed.close()
        controller.close()


def _follow(board: Any, feed: Any, desk: Any, identifier: str, wait: float) -> int:
    deadline = time.monotonic() + wait
    told: set[int] = set()
    while time.monotonic() < deadline:
        feed.drain(board)
        for partition, transition in sorted(board.commands.get(identifier, {}).items()):
            if partition not in told:
                told.add(partition)
                click.echo(f"partition {partition}: {transition.kind}: {printable(transition.reason)}")
        state = desk.state(identifier)
        if state.status != "accepted":
            return REJECTED if state.rejected else 0
        time.sleep(0.1)
    click.echo(
        f"meander: {len(told)} of {counted(state.total, 'partition')} answered. Is a worker missing?",
        err=True,
    )
    return NO_ANSWER


COMMANDS = {action: _command(action) for action in ABOUT}
