"""Child processes that can be stopped, killed, paused and started again, and never outlive their parent.

Each runs in a process group of its own, so that Ctrl-C reaches the caller first. A watcher, a shell that
waits for the end of a pipe, kills the group when the caller is gone for any reason, ``kill -9`` included.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from learners.errors import MeanderError
from stream.logs import readable

# The watcher kills the group at the end of its input, and leaves it alone after a line.
_WATCH = 'read -r line || kill -s KILL -- "-$1"'


class ChildError(MeanderError):
    """A process that cannot be started, or ended before its time."""


class Child:
    """A process with everything it starts.

    Parameters
    ----------
    command
        What to run; its output is appended to ``log``.
    folder
        Its working folder, which must exist.
    log
        The file of its output.
    environment
        All of it. None: the caller's.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._command, self._folder, self._environment = list(command), folder, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int | None:
        """The process while it runs, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def status(self) -> int | None:
        """The exit status once it has ended by itself, else None."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the process; nothing happens where it runs already."""
        if self.pid is not None:
            return
        self._release()
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 the command is our own
                    self._command,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._watcher = subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", _WATCH, "watcher", str(self._process.pid)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def wait_until_ready(self) -> None:
        """Wait for whatever makes it useful; nothing by default."""

    def stop(self, timeout: float = 20.0) -> int | None:
        """Ask the process to end, as an operator would; kill it after ``timeout`` seconds.

        Returns its exit status.
        """
        status = None
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                status = self._process.wait(timeout)
        self.kill()
        return status

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._release()

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.killpg(self.pid, number)

    def _release(self) -> None:
        """Dismiss the watcher, after the process has ended."""
        if self._watcher is not None:
            with suppress(BrokenPipeError):
                self._watcher.communicate(b"done\n")
        self._process = self._watcher = None

    def last_words(self, lines: int = 15) -> str:
        """Return the end of its output, without what is only routine, and how it ended."""
        said = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [readable(line) for line in said]
        said = [line for line in said if not line.startswith("info: ")]
        end = "" if self.status is None else f" (status {self.status})"
        return "\n".join([f"The end of {self.log}{end}:", *said[-lines:]])
