"""The operations page in a real browser, on a real worker: it says what the API says, it acts."""

import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from stream import toml
from stream.adapters.brokers import free_ports
from stream.adapters.processes import Child
from stream.adapters.topics import create_topics, delete_topics
from stream.app import open_log
from stream.cli import main
from stream.replay import differences
from stream.settings import Settings, load_settings
from tests.conftest import tool
from tests.integration.test_alerts import Traffic
from tests.integration.test_worker import worker

pytestmark = pytest.mark.timeout(290)
Sizes = tuple[tuple[int, int], ...]
WIDTHS: Sizes = ((1280, 800), (320, 700))


class Deployed(NamedTuple):
    """A deployment that runs: its settings, its worker, where the page is, and its events."""

    settings: Settings
    worker: Child
    url: str
    traffic: Traffic

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/api/v1/state", timeout=10) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def deployed(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("page")
    definition = {
        "name": f"page-{time.time_ns():x}",
        "task": "binary",
        "scope": "partition",
        "features": {"x": {}},
        "label": {"classes": ["no", "yes"]},
        "champion": "lr",
        "models": {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}},
        "drift": {"on_drift": "tell", "alpha": 1e-9},
        "mode": "advise",
        "policy": [{"name": "weekly", "on": "schedule", "every": 100, "do": "retrain", "budget": 1}],
        "kafka": {"brokers": kafka, "partitions": 2, "session_timeout": "6s"},
        "web": {"port": free_ports(1)[0]},
    }
    file = folder / "deployment.toml"
    file.write_text("\n".join(toml.document(definition)), encoding="utf-8")
    settings = load_settings(file, {})
    create_topics(settings)
    traffic = Traffic(settings, rate=40.0)
    traffic.start()
    with worker(settings) as child:
        here = Deployed(settings, child, f"http://127.0.0.1:{settings.web.port}", traffic)
        deadline = time.monotonic() + 100
        while not _serves(here):
            assert time.monotonic() < deadline, child.last_words()
            time.sleep(0.3)
        yield here
    traffic.stop()
    delete_topics(settings)


def _serves(deployed: Deployed) -> bool:
    try:
        state = deployed.state()
    except OSError:
        return False
    return state["serving"] == "champion" and len(state["members"]) > 2


def _knows(deployed: Deployed) -> bool:
    """Whether somebody holds every partition, as far as it has heard."""
    try:
        return all(p["worker"] is not None for p in deployed.state()["partitions"])
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=tool("chromium", "chromium"), args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, deployed: Deployed) -> Iterator[Page]:
    """Yield the page, live; what it asks of other hosts, or breaks, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("request", lambda r: None if r.url.startswith(deployed.url) else wrong.append(r.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda m: wrong.append(m.text) if "Content Security" in m.text else None)
    opened.goto(f"{deployed.url}/ops/")
    expect(opened.locator("#live-text")).to_have_text("Live")
    yield opened
    context.close()
    assert wrong == []


def test_it_shows_what_the_api_says(page: Page, deployed: Deployed) -> None:
    """Sentence, roster, partitions and transitions are those of the API, word for word."""
    state = deployed.state()
    expect(page.locator("#sentence")).to_have_text(state["sentence"])
    expect(page.locator("#why")).to_have_text(state["why"])
    expect(page.locator("#partitions tbody tr")).to_have_count(2)
    names = [f"{m['slot']} {m['version']}" if m["version"] else m["slot"] for m in state["members"]]
    expect(page.locator("#members tbody td:first-child")).to_have_text(names)
    expect(page.locator("#happenings tbody tr .badge").first).to_have_text(
        str(state["happenings"][0]["number"])
    )
    reasons = [h["reason"] + (f" ({h['operator']})" if h["operator"] else "") for h in state["happenings"]]
    expect(page.locator("#happenings .reason")).to_have_text(reasons)
    expect(page.locator("#question-title")).to_have_text(state["question"]["title"])
    conditions = [c["name"] for c in state["question"]["conditions"]]
    expect(page.locator("#conditions .what")).to_have_text(conditions)
    signals = [[s["kind"].split("_")[0], str(s["count"])] for s in state["signals"]]
    rows = page.locator("#signals tbody tr")
    expect(rows).to_have_count(len(signals))
    for at, (kind, count) in enumerate(signals):
        expect(rows.nth(at)).to_contain_text(kind, ignore_case=True)
        expect(rows.nth(at).locator("td").nth(2)).to_have_text(count)
    expect(page.locator("#estimate-blind")).to_have_text(state["estimate"]["blind"])
    expect(page.locator("#estimate-error")).to_contain_text("%")
    page.locator("#curves summary").click()
    expect(page.locator("#curves-table tbody tr").first).to_contain_text("%")


def lost(route: Route) -> None:
    """Let a request through, and lose its answer."""
    route.fetch()
    route.abort()


def test_an_action_by_keyboard_alone_takes_effect(page: Page, deployed: Deployed) -> None:
    """From the button through the dialog: every partition freezes, and the page says who and why.

    Where the answer is lost, confirming again does it once.
    """
    page.locator("[data-action=freeze]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#dialog-title")).to_have_text("Freeze learning")
    page.keyboard.press("Tab")
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type("labels of today are wrong")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#confirm")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_have_text(
        "Freeze everywhere: done in all 2 partitions.", timeout=15_000
    )
    expect(page.locator("#why")).to_contain_text("Learning is frozen.")
    expect(page.locator("#happenings tbody tr").first).to_contain_text("labels of today are wrong (ada)")
    assert deployed.state()["frozen"] == 2

    page.locator("[data-action=unfreeze]").click()
    page.locator("#reason").fill("labels are right again")
    page.route("**/api/v1/actions", lost, times=1)
    page.locator("#confirm").click()
    expect(page.locator("#refusal")).to_contain_text("Confirm again, and it is done once.")
    page.locator("#confirm").click()  # with the key of before: a second command would be rejected
    expect(page.locator("#progress")).to_have_text(re.compile("Unfreeze everywhere: done"), timeout=15_000)
    expect(page.locator("#why")).not_to_contain_text("Learning is frozen")  # as told once a second
    assert deployed.state()["frozen"] == 0


def test_a_refusal_is_explained(page: Page) -> None:
    """Too short a reason, then a promotion that the policy would not make: the dialog stays and says why."""
    page.locator("[data-action=promote]").click()
    page.locator("#reason").fill("short")
    page.locator("#confirm").click()
    expect(page.locator("#refusal")).to_contain_text("Say why in 8 characters or more")
    expect(page.locator("#reason")).to_be_focused()
    page.locator("#reason").fill("it looks better to me")
    page.locator("#confirm").click()
    expect(page.locator("#refusal")).to_contain_text("The policy would not promote it yet")
    expect(page.locator("#refusal")).to_contain_text("evidence")
    expect(page.locator("#override")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()


def test_one_partition_can_be_looked_at(page: Page) -> None:
    """The scope narrows everything."""
    page.locator("#scope").select_option("1")
    expect(page.locator("#partitions tbody tr")).to_have_count(1)
    expect(page.locator("#partitions tbody td").first).to_have_text("1")


@pytest.mark.parametrize(("scheme", "widths"), [("light", WIDTHS), ("dark", WIDTHS[:1])])
def test_axe_finds_nothing(browser: Browser, deployed: Deployed, scheme: Any, widths: Sizes) -> None:
    """No violation in either theme, wide and at 320 pixels, nor in the dialog; nothing scrolls sideways."""
    for width, height in widths:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=True
        )
        page = context.new_page()
        page.goto(f"{deployed.url}/ops/")
        expect(page.locator("#live-text")).to_have_text("Live")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for dialog in (False, True)[: 2 if width == WIDTHS[0][0] else 1]:
            if dialog:
                page.locator("[data-action=promote]").click()
                expect(page.locator("#dialog")).to_be_visible()
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
        context.close()


def shell(deployed: Deployed, *words: str) -> tuple[int, str]:
    """Run `meander` as an operator would; returns its exit status and what it said."""
    command, *rest = words
    done = CliRunner().invoke(main, [command, str(deployed.settings.file), *rest])
    return done.exit_code, done.output


def test_advice_is_approved_on_the_page(page: Page, deployed: Deployed) -> None:
    """What waits for a person is listed by partition; approved there, it is done, with the name on it."""
    rows = page.locator("#advice tbody tr")
    expect(rows).to_have_count(2)
    rows.last.get_by_role("button").click()
    expect(page.locator("#where")).to_be_disabled()
    page.locator("#operator").fill("ada")
    page.locator("#reason").fill("the weekly one is due")
    page.locator("#confirm").click()
    expect(page.locator("#progress")).to_have_text(
        "Approve a1 in partition 1: done in the only partition.", timeout=30_000
    )
    expect(rows).to_have_count(1)
    done = deployed.state()["happenings"][0]
    assert (done["kind"], done["partitions"], done["operator"]) == ("retrained", [1], "ada")


def test_the_shell_takes_the_same_path_and_a_replay_repeats_it(deployed: Deployed) -> None:
    """A command from the shell is applied in every partition, and a replay applies it at the same place."""
    status, said = shell(deployed, "fallback", "--reason", "prices are wrong", "--operator", "ada")
    assert (status, said.count("fell_back")) == (0, 2), said
    status, said = shell(deployed, "status", "--json")
    assert (status, json.loads(said)["fallback"]) == (0, 2)
    assert json.loads(said)["sentence"] == deployed.state()["sentence"] == "Rules serve: 2 partitions"
    status, said = shell(deployed, "status", "--partition", "9")
    assert (status, "there are 2" in said) == (2, True)
    status, said = shell(deployed, "why", "v99")
    assert (status, "versions list" in said) == (2, True), said
    status, said = shell(deployed, "why", "--partition", "1")
    assert "fell_back by ada" in said
    assert "prices are wrong" in said
    status, said = shell(deployed, "approve", "a1", "--partition", "0", "--reason", "the weekly one is due")
    assert (status, said.count("retrained")) == (0, 1), said
    status, said = shell(deployed, "promote", "nb", "--reason", "it looks better")
    assert (status, "--override" in said) == (2, True)
    status, said = shell(deployed, "resume", "--reason", "prices are right", "--partition", "1")
    assert (status, said.count("resumed")) == (0, 1), said
    status, said = shell(deployed, "resume", "--reason", "prices are right", "--partition", "1")
    assert (status, "answers already" in said) == (1, True), said
    status, said = shell(deployed, "resume", "--reason", "prices are right", "--partition", "0")
    assert status == 0, said
    deployed.traffic.paused = True
    time.sleep(2.0)  # for what is on its way
    with open_log(deployed.settings) as log:
        for partition in range(2):
            assert differences(deployed.settings.definition, partition, log) == []
    deployed.traffic.paused = False


def test_the_page_alone_shows_the_same_from_the_topics(browser: Browser, deployed: Deployed) -> None:
    """Without a worker of its own: `meander ops` has the same sentence, history and transitions."""
    (port,) = free_ports(1)
    file = Path(str(deployed.settings.file))
    command = [sys.executable, "-m", "stream", "ops", file.name, "--port", str(port)]
    with Child(command, file.parent, file.with_suffix(".ops.log")) as child:
        alone = Deployed(deployed.settings, child, f"http://127.0.0.1:{port}", deployed.traffic)
        deadline = time.monotonic() + 150
        while not _knows(alone):
            assert time.monotonic() < deadline, child.last_words()
            time.sleep(0.3)
        there, here = deployed.state(), alone.state()
        for part in ("sentence", "why", "happenings"):
            assert here[part] == there[part], part
        page = browser.new_page()
        page.goto(f"{alone.url}/")
        expect(page.locator("#sentence")).to_have_text(here["sentence"])
        page.close()


def test_it_is_rolled_back_to_what_is_kept(page: Page, deployed: Deployed) -> None:
    """The dialog offers what the API lists for the partition; chosen there, it serves again."""
    status, said = shell(
        deployed, "promote", "nb", "--override", "--partition", "0", "--reason", "to have two"
    )
    assert status == 0, said
    deadline = time.monotonic() + 10
    while not (state := deployed.state())["kept"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    kept = [k["name"] for k in state["kept"] if k["partition"] == 0]
    page.locator("[data-action=rollback]").click()
    page.locator("#where").select_option("0")
    offered = page.locator("#target option").evaluate_all("options => options.map((o) => o.value)")
    assert set(kept) <= set(offered)
    page.locator("#target").select_option(kept[-1])
    page.locator("#reason").fill("as it was this morning")
    page.locator("#confirm").click()
    expect(page.locator("#progress")).to_have_text(
        f"Roll back to {kept[-1]} in partition 0: done in the only partition.", timeout=30_000
    )
    assert deployed.state()["happenings"][0]["kind"] == "rolled_back"


def test_it_recovers_by_itself_when_the_worker_restarts(page: Page, deployed: Deployed) -> None:
    """It says that the connection is lost, and is live again without being touched."""
    deployed.worker.stop()
    expect(page.locator("#live-text")).to_contain_text("Connection lost", timeout=10_000)
    deployed.worker.start()
    expect(page.locator("#live-text")).to_have_text("Live", timeout=60_000)
    expect(page.locator("#sentence")).to_contain_text("serves all 2 partitions", timeout=30_000)
