"""``meander operator``."""

import hashlib
import secrets

import click


@click.command()
@click.argument("name")
def command(name: str) -> None:
    """Make a token for an operator: printed once, with the line for the file of operators.

    \b
    Example:
      meander operator ada
    """
    if "=" in name or name != name.strip() or not name:
        raise click.BadParameter("has no = and no space around it", param_hint="NAME")
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    click.echo(f"Token, for {name} alone: {token}")
    click.echo(f"Line, for the file that [web] operators names: {name} = {digest}")
