"""What a worker and ``meander ops`` tell of themselves: readable in a terminal, else one JSON object a line.

Messages say ``event key=value ...``; where nobody reads along, each key becomes a field of its own.
"""

import json
import logging
import re
import sys
import time
from typing import TextIO

_FIELD = re.compile(r"(\w+)=%(?:r|s|d|g)")
_EVENT = re.compile(r"[a-z]+(?:\.[a-z]+)+(?= |$)")
_PLACE = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[a-z]")


class JsonFormatter(logging.Formatter):
    """One JSON object for each message.

    Examples
    --------
    >>> record = logging.makeLogRecord({"name": "meander.worker", "levelname": "INFO", "created": 0.0,
    ...     "msg": "partition.ready partition=%d from=%s", "args": (3, {"events": 7})})
    >>> print(JsonFormatter().format(record))
    {"time": "1970-01-01T00:00:00.000Z", "level": "info", "logger": "meander.worker",
     "message": "partition.ready partition=3 from={'events': 7}", "event": "partition.ready", "partition": 3,
     "from": {"events": 7}}
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told: dict[str, object] = {
            "time": f"{when}.{int(record.created * 1000) % 1000:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        template, args = str(record.msg), record.args
        event = _EVENT.match(template)
        if event:
            told["event"] = event[0]
            names = [_FIELD.fullmatch(word) for word in template.split()]
            keys = [found[1] for found in names if found]
            if isinstance(args, tuple) and len(keys) == len(args) == len(_PLACE.findall(template)):
                told |= {key: value for key, value in zip(keys, args, strict=True) if key not in told}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str, ensure_ascii=False)


class ReadableFormatter(logging.Formatter):
    """A line for people.

    Examples
    --------
    >>> record = logging.makeLogRecord({"levelname": "WARNING", "msg": "feed.interrupted error=%s",
    ...     "args": ("no broker",)})
    >>> ReadableFormatter().format(record)[9:]
    'warning  feed.interrupted error=no broker'
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(lowered)-8s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.lowered = record.levelname.lower()
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without what follows it; what people wrote stands in it as text alone."""
        record.message = printable(record.message)
        return super().formatMessage(record)


def printable(text: str) -> str:
    r"""Return text on one line, without what a terminal would obey: anybody may have written it.

    >>> printable("a reason\x1b[2J\n2026-01-01  promoted")
    'a reason\\x1b[2J 2026-01-01  promoted'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.splitlines()))


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Let everything be told on a stream, standard error by default."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ReadableFormatter() if stream.isatty() else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what it raises is told by whoever asked it
    # what is no HTTP would leave a trace in the log each time; what fails in us, the guard tells
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def readable(line: str) -> str:
    r"""Return a line of a log as people read it; one that is no JSON as it is.

    >>> readable('{"level": "error", "message": "send.failed", "exception": "Traceback"}')
    'error: send.failed\nTraceback'
    """
    try:
        told = json.loads(line)
        return "\n".join([f"{told['level']}: {told['message']}", *filter(None, [told.get("exception")])])
    except (ValueError, TypeError, KeyError):
        return line
