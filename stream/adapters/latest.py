"""The optional compacted topic ``<name>.latest``: of each key its last prediction, for whoever wants a table.

It tells nothing that the predictions do not tell, so it is no part of the journal: no recovery reads it. What
was answered since the last snapshot is told again after a restart, the last of each key, whether it had gone
out or not: compaction makes one record of it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from learners.lineage import Kind, Transition
from stream.adapters.lane import Row
from stream.codec import Codec
from stream.messages import Forget, Output, Record, Source


def last_of_each(rows: Iterable[Row]) -> list[Row]:
    """Return the last row of each key; what has no key has no latest.

    >>> last_of_each([(1, b"a", b"1", []), (2, None, b"2", []), (3, b"a", b"3", [])])
    [(3, b'a', b'3', [])]
    """
    return list({row[1]: row for row in rows if row[1] is not None}.values())


def forgotten(outputs: Iterable[Output], values: Mapping[int, bytes | None]) -> list[Row]:
    """Return a tombstone for each entity that was forgotten.

    Parameters
    ----------
    outputs
        What came of control records.
    values
        Of these records, by offset.
    """
    rows: list[Row] = []
    for output in outputs:
        message = output.message
        if isinstance(message, Transition) and message.kind is Kind.FORGOTTEN:
            command = msgspec.json.decode(values[int(output.source.split(":")[2])] or b"", type=Forget)
            headers = [("meander-source", output.source.encode())]
            rows.append((output.timestamp, command.key.encode(), None, headers))
    return rows


class Latest:
    """What the topic must say after a restart: fed with all that is run again.

    Attributes
    ----------
    found
        By key: its last prediction since the snapshot; None: the entity was forgotten since.
    """

    def __init__(self) -> None:
        self.found: dict[bytes, Output | Row] = {}

    def take(self, record: Record, outputs: Iterable[Output]) -> None:
        """Take a record that was run again, and what came of it."""
        if record.source == Source.EVENTS.value:
            for output in outputs:
                if output.topic == "predictions" and output.key is not None:
                    self.found[output.key] = output
        elif record.source == Source.CONTROL.value:
            for row in forgotten(outputs, {record.offset: record.value}):
                self.found[row[1] or b""] = row

    def rows(self, codec: Codec) -> list[Row]:
        """Return the topic's records."""
        return [
            (found.timestamp, found.key, *codec.encode(found)) if isinstance(found, Output) else found
            for found in self.found.values()
        ]
