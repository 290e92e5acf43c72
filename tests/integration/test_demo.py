"""`meander demo`, as it is started by whoever tries Meander first."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(150)
def test_the_demo_ends_well(tmp_path: Path) -> None:
    """On a broker of its own: every event answered, a signal, a change of who serves and the return."""
    command = [sys.executable, "-m", "stream", "demo", "--rate", "1000"]
    demo = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=140)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "10,000 predictions, one for each event" in demo.stdout
