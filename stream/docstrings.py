"""What the structs' docstrings say, in pieces: for schemas and reference pages alike."""

import inspect
import re
from enum import StrEnum

_SECTION = re.compile(r"\n\n[A-Z]\w+\n-{4,}\n")
_ENTRY = re.compile(r"^(?=\S)", re.MULTILINE)


def summary(documented: type) -> str:
    """Return what stands before the first section, one paragraph a line.

    >>> from stream.messages import LabelRecord
    >>> summary(LabelRecord)
    "A record on ``<name>.labels``: the truth for an earlier event, with that event's key."
    """
    text = _SECTION.split(inspect.getdoc(documented) or "")[0]
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def attributes(documented: type) -> dict[str, str]:
    """Return what the section "Attributes" says of each; names explained together share the words.

    >>> from stream.messages import Tick
    >>> attributes(Tick)["timestamp"]
    'Event time in milliseconds that has been reached.'
    """
    text = inspect.getdoc(documented) or ""
    _, _, section = text.partition("\n\nAttributes\n----------\n")
    found = {}
    for entry in _ENTRY.split(_SECTION.split(section)[0]):
        names, _, words = entry.partition("\n")
        for name in names.split(","):
            if name.strip():
                found[name.strip()] = " ".join(words.split())
    return found


def values(enum: type[StrEnum]) -> dict[str, str]:
    """Return the values of an enum, each with the comment that stands beside it.

    >>> from stream.messages import Reason
    >>> values(Reason)["too_large"]
    'more bytes than are read'
    """
    source = inspect.getsource(enum)
    comments = dict(re.findall(r'^ +\w+ = "([^"]+)"  # (.+)$', source, re.MULTILINE))
    return {value.value: comments.get(value.value, "") for value in enum}
