"""Takes the pictures of the operations page that the README shows: ``make pictures``.

A model serves; then the world flips, drift is signalled and rules answer. With a folder as its argument it
also leaves both moments there in every theme and width, to be looked at.
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
STEADY, RATE, NOISE = 45.0, 100.0, 0.04  # seconds before the flip; events a second; share of wrong labels
HINT = 0.85  # how often the rule is right, in either world
LOOKS = {"wide-light": (1280, 900, "light"), "wide-dark": (1280, 900, "dark"), "narrow": (390, 844, "light")}


def deployment(brokers: str, port: int) -> dict[str, object]:
    return {
        "name": "fraud",
        "task": "binary",
        "scope": "partition",
        "champion": "bayes",
        "features": {"amount": {}, "disputed": {"type": "boolean"}},
        "label": {"classes": ["legit", "fraud"]},
        "models": {"bayes": {"recipe": "naive_bayes"}, "tree": {"recipe": "hoeffding_tree"}},
        "rules": {"disputed": {"when": "disputed == true", "then": "fraud"}},
        "drift": {"on_drift": "fallback", "min_labels": 400},
        "kafka": {"brokers": brokers, "partitions": 4},
        "web": {"port": port},
    }


def live(client: MeanderClient, chance: random.Random, number: int, flipped: bool) -> None:
    amount = chance.uniform(-1, 1)
    fraud = ((amount > 0) != flipped) != (chance.random() < NOISE)
    identifier = f"e{number}"
    disputed = fraud == (chance.random() < HINT)
    sent = {"amount": amount if number % 97 else "much", "disputed": disputed}
    client.send_event(identifier, features=sent, key=identifier)
    client.send_label(identifier, "fraud" if fraud else "legit", key=identifier)


def main(folder_to_look: Path | None) -> None:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as name, java_kafka(Path(name) / "kafka") as broker:
        folder = Path(name)
        file = folder / "deployment.toml"
        file.write_text("\n".join(toml.document(deployment(broker.address, port))), encoding="utf-8")
        create_topics(load_settings(file, {}))
        command = [sys.executable, "-m", "stream", "worker", file.name]
        with Child(command, folder, folder / "worker.log"), sync_playwright() as playwright:
            chance, number = random.Random(7), 0  # noqa: S311  made-up traffic
            chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            pages = {
                look: chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                for look, (width, height, scheme) in LOOKS.items()
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

                run(STEADY - 15)
                for page in pages.values():
                    page.goto(f"http://127.0.0.1:{port}/ops/")
                for moment, look, sentence in (
                    ("page", "wide-light", "serves all 4 partitions"),
                    ("page-drift", "wide-dark", "Rules serve: 4 partitions"),
                ):
                    for _ in range(120):
                        if sentence in (pages[look].locator("#sentence").text_content() or ""):
                            break
                        run(0.5)
                    run(10.0 if moment == "page" else 6.0)
                    for name, page in pages.items():
                        expect(page.locator("#live-text")).to_have_text("Live")
                        if folder_to_look is not None:
                            page.screenshot(path=folder_to_look / f"{moment}-{name}.png", full_page=True)
                    pages[look].screenshot(path=DOCS / f"{moment}.png")
            chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
