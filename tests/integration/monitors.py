"""Real Prometheus and Alertmanager, and a small receiver of what they send."""

import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from monitoring.rules import text
from stream.adapters.processes import Child
from tests.conftest import tool


class Receiver:
    """Notes which alerts Alertmanager says are firing, and which it says are resolved.

    Attributes
    ----------
    firing, resolved
        Names told since `forget`.
    ever
        Names of all that ever fired.
    """

    def __init__(self) -> None:
        self.firing: set[str] = set()
        self.resolved: set[str] = set()
        self.ever: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    name = alert["labels"]["alertname"].removeprefix("Meander")
                    (receiver.firing if alert["status"] == "firing" else receiver.resolved).add(name)
                    receiver.ever |= receiver.firing
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def forget(self) -> None:
        """Begin again: what is told from here on is new."""
        self.firing.clear()
        self.resolved.clear()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def alertmanager(folder: Path, port: int, url: str) -> Child:
    """Return an Alertmanager that tells a webhook of everything at once."""
    config = {
        "route": {
            "receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "hook", "webhook_configs": [{"url": url, "send_resolved": True}]}],
    }  # fmt: skip
    (folder / "alertmanager.yml").write_text(json.dumps(config), encoding="utf-8")
    command = [
        tool("prometheus-alertmanager", "prometheus-alertmanager"),
        "--config.file=alertmanager.yml",
        "--storage.path=alertmanager",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    return Child(command, folder, folder / "alertmanager.log")


class Prometheus(Child):
    """A Prometheus with the project's rules at a time scale, scraping once a second."""

    def __init__(
        self, folder: Path, port: int, targets: Sequence[str], alertmanager_port: int, scale: float
    ) -> None:
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]
            },
            "scrape_configs": [{"job_name": "meander", "static_configs": [{"targets": list(targets)}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
        (folder / "rules.yml").write_text(text(scale, "1s"), encoding="utf-8")
        command = [
            tool("prometheus", "prometheus"),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
            "--rules.alert.resend-delay=1s",
        ]
        super().__init__(command, folder, folder / "prometheus.log")
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Run an instant query."""
        url = self._url + "query?" + urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Return the alerts that fire now, as Prometheus sees it."""
        return {
            r["metric"]["alertname"].removeprefix("Meander")
            for r in self.query('ALERTS{alertstate="firing"}')
        }


def wait_until(fact: Callable[[], bool], what: Callable[[], object], seconds: float) -> None:
    """Wait for a fact; say what is there instead when it does not come."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)
