"""A wall clock that can be set while a process runs: by the number of seconds in a file named ``clock``."""

import time
from pathlib import Path

_real = time.time
_file = Path("clock")
_state = {"looked": 0.0, "offset": 0.0}


def _now() -> float:
    moment = time.monotonic()
    if moment - _state["looked"] > 0.2:
        _state["looked"] = moment
        _state["offset"] = float(_file.read_text() or 0) if _file.exists() else 0.0
    return _real() + _state["offset"]


time.time = _now
