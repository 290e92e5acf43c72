"""The optional compacted topic ``<name>.latest``: of each key its last prediction, for whoever wants a table.

It tells nothing that the predictions do not tell, so it is no part of the journal: no recovery reads it. What
was answered since the last snapshot is told again after a restart, the last of each key, whether it had gone
out or not: compaction makes one record of it.
"""

from collections.abc import Iterable
from typing import cast

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


def forgotten(codec: Codec, records: Iterable[Record], outputs: Iterable[Output]) -> list[Row]:
    """Return a tombstone for each entity that was forgotten.

    Parameters
    ----------
    codec
        That has read the records before: it reads them alike.
    records, outputs
        Control records, and what came of them.
    """
    rows: list[Row] = []
    by_offset = {record.offset: record for record in records}
    for output in outputs:
        message = output.message
        if isinstance(message, Transition) and message.kind is Kind.FORGOTTEN:
            command = cast(Forget, codec.control(by_offset[int(output.source.split(":")[2])]))
            headers = [("meander-source", output.source.encode())]
            rows.append((output.timestamp, command.key.encode(), None, headers))
    return rows


class Latest:
    """What the topic must say after a restart: fed with all that is run again.

    Parameters
    ----------
    codec
        Of the processor that runs them again.

    Attributes
    ----------
    found
        By key: its last prediction since the snapshot; None: the entity was forgotten since.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.found: dict[bytes, Output | Row] = {}

    def take(self, record: Record, outputs: Iterable[Output]) -> None:
        """Take a record that was run again, and what came of it."""
        if record.source == Source.EVENTS.value:
            for output in outputs:
                if output.topic == "predictions" and output.key is not None:
                    self.found[output.key] = output
        elif record.source == Source.CONTROL.value:
            for row in forgotten(self._codec, [record], outputs):
                self.found[row[1] or b""] = row

    def rows(self) -> list[Row]:
        """Return the topic's records."""
        encode = self._codec.encode
        return [
            (found.timestamp, found.key, *encode(found)) if isinstance(found, Output) else found
            for found in self.found.values()
        ]
