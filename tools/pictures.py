"""Takes the pictures of the operations page that the README shows: ``python tools/pictures.py``.

A world flips after half a minute; the page is looked at while a challenger proves itself, and once it serves.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from producers.client import MeanderClient
from stream import toml
from stream.adapters.brokers import free_ports, java_kafka
from stream.adapters.processes import Child
from stream.adapters.topics import create_topics
from stream.settings import load_settings

DOCS = Path(__file__).resolve().parents[1] / "docs"
STEADY, RATE, NOISE = 40.0, 100.0, 0.06  # seconds before the flip; events a second; share of wrong labels


def deployment(brokers: str, port: int) -> dict[str, object]:
    return {
        "name": "fraud",
        "task": "binary",
        "scope": "partition",
        "champion": "lr",
        "features": {"amount": {}},
        "label": {"classes": ["legit", "fraud"]},
        "models": {"lr": {"recipe": "logistic_regression"}, "tree": {"recipe": "hoeffding_tree"}},
        "rules": {"large": {"when": "amount > 0.3", "then": "fraud"}},
        "drift": {"min_labels": 300},
        "kafka": {"brokers": brokers, "partitions": 4},
        "web": {"port": port},
    }


def live(client: MeanderClient, chance: random.Random, number: int, flipped: bool) -> None:
    amount = chance.uniform(-1, 1)
    fraud = ((amount > 0) != flipped) != (chance.random() < NOISE)
    identifier = f"e{number}"
    sent = {"amount": amount} if number % 97 else {"amount": "much"}
    client.send_event(identifier, features=sent, key=identifier)
    client.send_label(identifier, "fraud" if fraud else "legit", key=identifier)


def main() -> None:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as name, java_kafka(Path(name) / "kafka") as broker:
        folder = Path(name)
        file = folder / "deployment.toml"
        file.write_text("\n".join(toml.document(deployment(broker.address, port))), encoding="utf-8")
        create_topics(load_settings(file, {}))
        command = [sys.executable, "-m", "stream", "worker", file.name]
        with Child(command, folder, folder / "worker.log"), sync_playwright() as playwright:
            chance, number = random.Random(7), 0  # noqa: S311
            chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            pages = {
                scheme: chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
                for scheme in ("light", "dark")
            }
            with MeanderClient(broker.address, "fraud") as client:
                began = time.monotonic()

                def run(seconds: float) -> None:
                    nonlocal number
                    until = time.monotonic() + seconds
                    while time.monotonic() < until:
                        number += 1
                        live(client, chance, number, time.monotonic() - began > STEADY)
                        time.sleep(1 / RATE)

                run(STEADY - 5)
                for page in pages.values():
                    page.goto(f"http://127.0.0.1:{port}/ops/")
                light, dark = pages["light"], pages["dark"]
                for picture, page, kind in (
                    ("page-drift.png", light, "Challenger started"),
                    ("page.png", dark, "Promoted"),
                ):
                    for _ in range(120):
                        if page.locator("#happenings", has_text=kind).count():
                            break
                        run(1.0)
                    run(3.0 if picture == "page-drift.png" else 25.0)
                    expect(page.locator("#live-text")).to_have_text("Live")
                    page.screenshot(path=DOCS / picture)
            chromium.close()


if __name__ == "__main__":
    main()
