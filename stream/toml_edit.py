"""Changes one value in the text of a TOML file and leaves every other character as it is."""

import re
import tomllib
from typing import Any

from learners.errors import MeanderError
from stream import toml


class EditError(MeanderError):
    """A file that is laid out in a way that cannot be edited; the message says what to write by hand."""


def set_value(text: str, section: str, key: str, value: Any, comment: str = "") -> str:
    r"""Return the text with ``key`` of ``[section]`` set.

    The line of the key is replaced, or one is added below the heading; the section is added at the end if
    it is not there. What stood in a comment behind the old value gives way to the new comment.

    Raises
    ------
    EditError
        When the section or the value is written in another form.

    Examples
    --------
    >>> print(set_value("[drift]  # watch\ndetector = 'bet'\n", "drift", "budget", 5.0, "labels"), end="")
    [drift]  # watch
    budget = 5.0  # labels
    detector = 'bet'
    """
    old = tomllib.loads(text)
    line = f"{toml.key(key)} = {toml.value(value)}" + (f"  # {comment}" if comment else "")
    heading = re.search(rf"^[ \t]*\[[ \t]*{re.escape(section)}[ \t]*\][^\n]*$", text, re.MULTILINE)
    if heading is None:
        new = f"{text.rstrip()}\n\n[{section}]\n{line}\n".lstrip("\n")
    else:
        after = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, heading.end())
        end = after.start() if after else len(text)
        own = re.compile(rf"^[ \t]*{re.escape(toml.key(key))}[ \t]*=[^\n]*$", re.MULTILINE)
        found = own.search(text, heading.end(), end)
        if found:
            new = text[: found.start()] + line + text[found.end() :]
        else:
            new = f"{text[: heading.end()]}\n{line}{text[heading.end() :]}"
    wanted = {**old, section: {**old.get(section, {}), key: value}}
    try:
        made = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        made = None
    if made != wanted:
        raise EditError(f"[{section}] is written in a form that cannot be edited: write there: {line}")
    return new
