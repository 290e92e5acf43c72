"""A real redis-server for tests: started on a free port, to be stopped, killed and paused at will."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.adapters.brokers import HOST, free_ports
from stream.adapters.processes import Child


class RedisServer(Child):
    """A redis-server that keeps an append-only file in its folder; ``url`` is where it answers."""

    def __init__(self, folder: Path, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_ports(1)[0]
        self.url = f"redis://{HOST}:{self.port}/0"
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(shutil.which("redis-server")), "--port", str(self.port), "--bind", HOST]
        command += ["--appendonly", "yes", "--save", "", "--dir", str(folder), *arguments]
        super().__init__(command, folder, folder / "redis.log")

    def wait_until_ready(self) -> None:
        """Wait until it takes connections and has read its file."""
        deadline = time.monotonic() + 10
        while not self._answers():
            if self.status is not None or time.monotonic() > deadline:
                raise RuntimeError(self.last_words())
            time.sleep(0.02)

    def _answers(self) -> bool:
        if "Ready to accept connections" not in self.log.read_text(encoding="utf-8"):
            return False
        try:
            with socket.create_connection((HOST, self.port), 1):
                return True
        except OSError:
            return False


@contextmanager
def redis_server(folder: Path, *arguments: str, port: int | None = None) -> Iterator[RedisServer]:
    """Run a redis-server and yield it."""
    with RedisServer(folder, *arguments, port=port) as server:
        yield server
