"""Partitions are restored in threads side by side: what they read must be known before."""

import subprocess
import sys

PROGRAM = """
import importlib, sys, threading
import msgspec
from learners import lineage

sys.setswitchinterval(1e-6)
for _ in range(60):
    importlib.reload(lineage)  # types as they are when a worker starts
    told = lineage.Transition(kind=lineage.Kind.STARTED, timestamp=1, position="events:0:0", reason="x")
    plain, gate = [msgspec.to_builtins(told)], threading.Barrier(4)

    def read():
        gate.wait()
        assert msgspec.convert(plain, list[lineage.Transition]) == [told]

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("done")
"""


def test_several_threads_may_be_the_first_to_read_transitions() -> None:
    """Msgspec crashes where they ask for a type's fields at once, so somebody has asked before."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
