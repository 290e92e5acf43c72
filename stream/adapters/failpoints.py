"""Places where a test may end the process: as a power cut would, at the worst of moments.

``MEANDER_FAILPOINT=snapshot.writing:3`` kills the process when it comes to that place for the third time. A
file ``failpoint.<name>`` in the working folder proves that it did. Without the variable nothing happens.
"""

import os
import signal
from pathlib import Path

NAMES = (
    "snapshot.writing",  # half of a snapshot is written
    "snapshot.durable",  # the snapshot is safe, the offsets are not committed
    "outputs.sending",  # outputs are handed over, and no word of them yet
    "outputs.acknowledged",  # the broker has them, nobody here has noted it
)

_chosen, _, _nth = os.environ.get("MEANDER_FAILPOINT", "").partition(":")
_left = int(_nth or 1)


def reach(name: str) -> None:
    """Come to a place; does not return where this process is to end here.

    >>> reach("snapshot.writing")
    """
    global _left
    if name != _chosen:
        return
    _left -= 1
    if _left <= 0:
        Path(f"failpoint.{name}").write_text(f"{os.getpid()}\n", encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)
