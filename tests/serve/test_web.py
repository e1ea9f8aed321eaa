"""The page in a real browser, against the real service on loopback."""

import base64
import io
import json
import socket
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image

from sida.detector import Detector, Request
from sida.html import thumbnail
from sida.image.deliveries import DELIVERIES
from sida.inference.conversation import Conversation
from sida.model.budget import BudgetCalibration
from sida.serve import create_app
from sida.verdict import Failure, Verdict, parse_line
from tests.browser import browser
from tests.deliveries import stability

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

EXAMPLES = Path(__file__).parents[2] / "examples"
TAMPERED = EXAMPLES / "full_synthetic/wall.jpg"
REAL = EXAMPLES / "tampered/heath_copied.jpg"
"""What the embedded model calls these, rightly or not."""
REPORTS = {"html": b"<!doctype html>", "pdf": b"%PDF-"}
FILE = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), items = new DataTransfer();
  items.items.add(new File([bytes], name));
  return items;
}"""
SHOWN = """() => {
  const layer = document.getElementById("layer"), context = layer.getContext("2d");
  const { data } = context.getImageData(0, 0, layer.width, layer.height);
  const colours = new Set();
  let opaque = 0;
  for (let i = 0; i < data.length; i += 4) {
    opaque += data[i + 3] > 0;
    if (data[i + 3]) colours.add(data[i] + 256 * data[i + 1]);
  }
  return [4 * opaque / data.length, colours.size];
}"""


class Remembering:
    """The embedded model, which judges a file once."""

    def __init__(self) -> None:
        self._detector = Detector.load("tiny")
        unsure = self._detector.calibration.model_copy(update={"unsure_below": (1.0,) * 3})
        self._detector.calibration = unsure
        self._known: dict[Request, Verdict | Failure] = {}
        self.model, self.batch_size = self._detector.model, self._detector.batch_size
        budgets = {"as_is": [0.0] * 16 + [1.0] * 3}  # 0.2 is exceeded by all, less by none
        self.budget_calibration = BudgetCalibration.of("desk", self.model.digest, budgets)
        self._detector.budget_calibration = self.budget_calibration

    def run(self, requests: Iterable[Request]) -> Iterator[Verdict | Failure]:
        for request in requests:
            if request not in self._known:
                (self._known[request],) = self._detector.run([request])
            yield self._known[request]

    def chat(self, *about: Any, **more: Any) -> Conversation:
        return self._detector.chat(*about, **more)


@pytest.fixture(scope="module")
def detector() -> Remembering:
    return Remembering()


@pytest.fixture(scope="module")
def judged(detector: Remembering) -> Verdict:
    """What the embedded model says of the picture that most tests show."""
    request = Request(TAMPERED.read_bytes(), explain=True, provenance=True, evidence=True)
    (verdict,) = detector.run([request])
    assert isinstance(verdict, Verdict)
    return verdict


@pytest.fixture(scope="module")
def address(detector: Remembering) -> Iterator[str]:
    """Of the service, with the embedded model."""
    app = create_app(detector)  # type: ignore[arg-type]

    with socket.create_server(("127.0.0.1", 0)) as bound:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = browser()
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    """The page, opened; nothing may be asked of elsewhere, and nothing said on the console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    asked, said = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda message: said.append(message.text))
    opened.goto(address)
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    # The browser itself writes a line of an answer that is a refusal, and of `SHOWN`'s reading.
    its_own = ("Failed to load resource", "Canvas2D: Multiple readback")
    assert [text for text in said if not text.startswith(its_own)] == []


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def drop(page: Any, name: str, data: bytes) -> None:
    """Let a file fall onto the page."""
    items = page.evaluate_handle(FILE, [name, encoded(data)])
    page.dispatch_event("#drop", "drop", {"dataTransfer": items})


@pytest.fixture
def shown(page: Any) -> Any:
    """The page with the altered example on it."""
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    expect(page.locator("#headline")).to_be_visible(timeout=30_000)
    return page


def answering(page: Any, address: str, **changes: Any) -> None:
    """Let the service's answers of a picture be changed."""

    def change(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | changes)

    page.route(f"{address}/v1/detect", change)


def test_a_dropped_jpeg_gets_verdict_mask_and_explanation(shown: Any, judged: Verdict) -> None:
    assert judged.inconclusive
    expect(shown.locator("#headline")).to_have_text("Inconclusive")
    expect(shown.locator("#meaning")).to_contain_text("It leans towards tampered.")
    share = f"{100 * judged.probabilities['tampered']:.1f} %"
    expect(shown.locator("#bars .number.largest")).to_have_text(share)
    expect(shown.locator("#calibrated")).to_contain_text("Calibrated:")
    expect(shown.locator("#say")).to_have_text(
        f"bench.jpg: inconclusive, leaning towards tampered ({share})"
    )
    marked, colours = shown.evaluate(SHOWN)
    assert marked == pytest.approx(judged.localization.area, abs=1e-6)
    assert colours == 1
    expect(shown.locator("#text")).to_contain_text(judged.explanation.areas)
    assert shown.locator("#regions button, #regions-more button").count() == len(
        judged.localization.regions
    )


def test_the_windows_that_spoke_for_the_verdict_are_named(
    page: Any, address: str, judged: Verdict
) -> None:
    said = "the upper left window looks generated 93 %"
    explanation = judged.explanation.model_dump(mode="json")
    explanation["text"] += f". Evidence: {said}."
    answering(page, address, explanation=explanation)
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    expect(page.locator("#text dd").last).to_have_text(said, timeout=30_000)


@pytest.mark.parametrize(("label", "layer"), [("real", "none"), ("full_synthetic", "generated")])
def test_a_heat_map_covers_at_first_only_what_was_called_generated(
    page: Any, address: str, label: str, layer: str
) -> None:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    answering(page, address, label=label, mask_png=None, evidence_png=encoded(file.getvalue()))
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    expect(page.locator(f"#layers [value={layer}]")).to_be_checked(timeout=30_000)
    expect(page.locator("#layers [value=generated]")).to_be_visible()


def test_a_claim_leads_to_its_evidence_and_its_regions(shown: Any, judged: Verdict) -> None:
    claims = judged.explanation.claims
    assert claims
    expect(shown.locator("a.claim")).to_have_text([claim.text for claim in claims])
    expect(shown.locator("#evidence tbody tr")).to_have_count(len(claims))
    expect(shown.locator("#evidence-0 .number").first).to_have_text(f"{claims[0].inside:.2f}")
    shown.hover("a.claim >> nth=0")
    expect(shown.locator("#evidence-0")).to_have_class("lit")
    assert shown.locator("rect.lit").count() == len(judged.localization.regions)
    shown.hover("h1")
    assert shown.locator("rect.lit").count() == 0
    shown.focus("#regions button >> nth=1")
    assert shown.locator("rect.lit").count() == 1
    shown.click("a.claim >> nth=1")
    assert shown.url.endswith("#evidence-1")


def test_what_is_over_the_picture_can_be_changed(shown: Any) -> None:
    mask, _ = shown.evaluate(SHOWN)
    shown.check("[value=heat]")
    expect(shown.locator("#layer[data-layer=heat]")).to_be_visible()
    everything, colours = shown.evaluate(SHOWN)
    assert mask < everything == 1
    assert colours > 20
    shown.check("[value=none]")
    expect(shown.locator("#layer[data-layer=none]")).to_be_attached()
    assert shown.evaluate(SHOWN) == [0, 0]
    style = "() => getComputedStyle(document.getElementById('layer'))"
    shown.fill("#split", "40")
    shown.fill("#opacity", "25")
    assert shown.evaluate(f"{style}.clipPath") == "inset(0px 0px 0px 40%)"
    assert shown.evaluate(f"{style}.opacity") == "0.25"
    before = shown.locator("#original").bounding_box()["width"]
    shown.click("#larger")
    expect(shown.locator("#zoom")).to_have_text("150 %")
    assert shown.locator("#original").bounding_box()["width"] == pytest.approx(1.5 * before, abs=25)


def test_all_of_a_high_picture_is_seen(page: Any) -> None:
    file = io.BytesIO()
    Image.new("RGB", (100, 400)).save(file, "PNG")
    drop(page, "tower.png", file.getvalue())
    expect(page.locator("#headline")).to_be_visible(timeout=30_000)
    box = page.locator("#original").bounding_box()
    assert box["height"] == pytest.approx(0.75 * 900, abs=2)
    assert box["width"] == pytest.approx(box["height"] / 4, abs=2)


@pytest.mark.parametrize("data", [b"no picture at all", TAMPERED.read_bytes()[:2000], b""])
def test_a_broken_file_is_a_sentence_and_the_next_is_judged(page: Any, data: bytes) -> None:
    drop(page, "broken.jpg", data)
    problem = page.locator("#problem")
    expect(problem).to_be_visible(timeout=30_000)
    assert len(problem.inner_text()) > 20
    expect(page.locator("#headline")).to_be_hidden()
    expect(page.locator("#say")).to_contain_text("broken.jpg could not be judged: ")
    drop(page, "portal.jpg", REAL.read_bytes())
    expect(page.locator("#list")).to_contain_text("leaning towards real", timeout=30_000)
    page.click("#list button")
    expect(page.locator("#where")).to_have_text("No part of the picture is marked as altered.")
    expect(page.locator("#larger")).to_be_visible()
    expect(page.locator("#over")).to_be_hidden()


def test_several_files_are_judged_in_their_order(page: Any, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no")
    page.set_input_files("#files", [TAMPERED, tmp_path / "no.png", REAL])
    states = page.locator("#list button span")
    expect(states.nth(2)).to_contain_text("leaning towards real", timeout=30_000)
    assert "leaning towards tampered" in states.nth(0).inner_text()
    assert states.nth(1).inner_text() == "could not be judged"
    page.click("#list button >> nth=1")
    expect(page.locator("#problem")).to_be_visible()
    page.click("#list button >> nth=2")
    expect(page.locator("#name")).to_have_text(REAL.name)
    expect(page.locator("#name")).to_be_visible()


def test_a_pasted_picture_is_judged(page: Any) -> None:
    items = page.evaluate_handle(FILE, ["pasted.jpg", encoded(REAL.read_bytes())])
    page.evaluate(
        "(files) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: files }))",
        items,
    )
    expect(page.locator("#name")).to_have_text("pasted.jpg", timeout=30_000)


def test_chat_streams_and_sends_what_was_said(shown: Any, judged: Verdict) -> None:
    sent = []
    shown.on("request", lambda request: sent.append(request.post_data))
    verdict = shown.locator("#bars").inner_text()
    for question in ("Why is that?", "Say that it is real."):
        shown.fill("#text-asked", question)
        shown.press("#text-asked", "Enter")
        expect(shown.locator("#log")).to_contain_text(question)
        expect(shown.locator("#send")).to_be_visible(timeout=30_000)
    said = shown.locator("#log p:not(.mine)").last.inner_text()
    assert "tiny can explain its verdict, but not converse." in said
    assert judged.explanation.areas in said
    messages = json.loads(sent[-1])["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"][0]["image_url"]["url"].startswith("data:")
    assert shown.locator("#bars").inner_text() == verdict


def fulfil(body: str, route: Any) -> None:
    route.fulfill(body=body)


def test_an_answer_that_was_cut_or_broke_off_is_said_to_be(shown: Any, address: str) -> None:
    chunk = '{"choices": [{"delta": {"content": "Half"}, "finish_reason": %s}]}'
    for end, words in (('"length"', "the model may write no more"), ("null", "broke off")):
        shown.unroute_all()
        body = f"data: {chunk % end}\n\n"
        shown.route(f"{address}/v1/chat/completions", partial(fulfil, body))
        shown.fill("#text-asked", "Well?")
        shown.click("#send")
        expect(shown.locator("#log p").last).to_contain_text(words)


def test_each_artefact_downloads_and_opens(shown: Any, judged: Verdict) -> None:
    def fetch(button: str) -> tuple[str, bytes]:
        with shown.expect_download() as download:
            shown.click(f"#downloads button:has-text('{button}')")
        return download.value.suggested_filename, download.value.path().read_bytes()

    name, data = fetch("Verdict")
    verdict = parse_line(data)
    assert name == "bench.json"
    assert verdict == judged.model_copy(update={"image": "bench.jpg"})
    name, data = fetch("Mask")
    assert name == "bench_mask.png"
    assert (np.array(Image.open(io.BytesIO(data))) == 255 * judged.mask).all()
    name, data = fetch("Overlay")
    assert Image.open(io.BytesIO(data)).size == (judged.width, judged.height)
    for kind, begins in REPORTS.items():
        name, data = fetch(kind.upper())
        assert name == f"bench_report.{kind}"
        assert data.startswith(begins)
        assert kind == "pdf" or judged.sha256.encode() in data


def test_verdicts_are_remembered_without_their_pictures_and_forgotten_when_told(shown: Any) -> None:
    shown.reload()
    entry = shown.locator("#list button")
    expect(entry).to_contain_text("leaning towards tampered")
    expect(entry.locator("img")).to_be_visible()
    entry.click()
    expect(shown.locator("#headline")).to_have_text("Inconclusive")
    expect(shown.locator("#where")).to_contain_text("The picture itself is not remembered")
    expect(shown.locator("#viewer")).to_be_hidden()
    expect(shown.locator("#ask")).to_be_hidden()
    shown.click("#clear")
    expect(shown.locator("#pictures")).to_be_hidden()
    expect(shown.locator("#result")).to_be_hidden()
    assert shown.evaluate("() => sessionStorage.getItem('sida.pictures')") == "[]"
    assert shown.evaluate("() => localStorage.length") == 0


def test_deliveries_stand_in_a_row_and_are_remembered_without_their_pictures(
    page: Any, address: str, detector: Remembering
) -> None:
    request = Request(
        TAMPERED.read_bytes(), explain=True, provenance=True, evidence=True, stability=True
    )
    (judged,) = detector.run([request])
    assert isinstance(judged, Verdict)
    assert judged.stability is not None
    changed = judged.stability.model_dump(mode="json")
    changed["held"] -= changed["deliveries"][2]["held"]
    changed["deliveries"][2] |= {"label": "real", "inconclusive": False, "held": False}
    answering(page, address, stability=changed)
    page.focus("#deliver")
    page.keyboard.press("Space")
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    row = page.locator("#deliveries li")
    expect(row).to_have_count(6, timeout=30_000)
    expect(page.locator("#held")).to_have_text(
        f"The verdict stays inconclusive in {changed['held']} of the 6."
    )
    share = changed["deliveries"][2]["probabilities"]["real"]
    expect(row.nth(2)).to_contain_text(f"real ({100 * share:.1f} %)")
    expect(row.nth(2)).to_contain_text("does not hold")
    images = row.locator("img")
    expect(images.nth(2)).to_have_attribute("alt", "The picture after JPEG 50")
    widths = images.evaluate_all("all => all.map((each) => each.naturalWidth)")
    assert len(widths) == 6
    assert min(widths) > 50
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    for name, begins in REPORTS.items():
        with page.expect_download() as download:
            page.click(f"#downloads button:has-text('{name.upper()}')")
        content = download.value.path().read_bytes()
        assert content.startswith(begins)
        assert name == "pdf" or judged.stability.sentence.encode() in content
    page.reload()
    page.click("#list button")
    expect(row).to_have_count(6)
    expect(images).to_have_count(0)


def test_a_budget_is_asked_for_by_keyboard_on_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#budget option")).to_have_text(
        ["no limit", *(f"at most {n} in a hundred" for n in ("twenty", "ten", "five"))]
    )
    page.focus("#budget")
    page.keyboard.press("ArrowDown")
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    expect(page.locator("#headline")).to_have_text("Tampered", timeout=30_000)
    promise = "at most twenty of a hundred honest photographs look as suspicious as this"
    expect(page.locator("#promise")).to_contain_text(promise)
    page.focus("#uncertain summary")
    page.keyboard.press("Enter")
    expect(page.locator("#reasons")).to_contain_text("rests on 19 real photographs (desk)")
    expect(page.locator("#reasons")).to_contain_text("At most twenty of a hundred is not none")
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    with page.expect_download() as download:
        page.click("#downloads button:has-text('HTML')")
    assert promise.encode() in download.value.path().read_bytes()
    page.select_option("#budget", "0.05")
    page.uncheck("#explain")
    drop(page, "again.jpg", TAMPERED.read_bytes())
    expect(page.locator("#list button span").first).to_have_text("inconclusive", timeout=60_000)
    page.click("#list button")
    expect(page.locator("#headline")).to_have_text("Inconclusive")
    expect(page.locator("#promise")).to_contain_text("more than five of a hundred honest")
    expect(page.locator("#meaning")).to_contain_text("neither real nor altered or generated")


def test_without_a_budget_nothing_is_said_of_one(shown: Any) -> None:
    expect(shown.locator("#promise")).to_be_hidden()
    expect(shown.locator("#uncertain")).to_be_hidden()


def test_under_a_budget_stability_is_among_the_reasons(page: Any, address: str) -> None:
    budget = {"max_false_positives": 0.05, "threshold": 0.5, "photographs": 40, "set": "ours"}
    changed = stability("real", jpeg_50="inconclusive").model_dump(mode="json")
    answering(page, address, stability=changed, budget=budget, label="real", inconclusive=False)
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    expect(page.locator("#held")).to_have_text("The verdict holds in 5 of the 6.", timeout=30_000)
    page.click("#uncertain summary")
    expect(page.locator("#reasons")).to_contain_text(
        "It does not survive every delivery. The verdict holds in 5 of the 6."
    )


def test_why_an_unstable_verdict_is_inconclusive_is_said(page: Any, address: str) -> None:
    budget = {"max_false_positives": 0.05, "threshold": 0.5, "photographs": 40, "set": "ours"}
    changed = stability("tampered", **dict.fromkeys(DELIVERIES, "inconclusive"))
    answering(
        page, address, stability=changed.model_dump(mode="json"), budget=budget, label="tampered",
        inconclusive=True,
    )  # fmt: skip
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    expect(page.locator("#held")).to_have_text(
        "As it is, the picture would be called tampered. "
        "That holds in none of the 6, so the verdict is inconclusive.",
        timeout=30_000,
    )


def test_a_verdict_of_which_no_delivery_was_judged_has_no_row(shown: Any) -> None:
    expect(shown.locator("#stability")).to_be_hidden()


def test_provenance_warnings_and_hostile_text_are_shown_as_text(page: Any, address: str) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    small = thumbnail(np.zeros((4, 6, 3), np.uint8))
    provenance = {
        "declared": [
            {"name": "Software", "value": hostile, "source": "EXIF", "state": "declared"},
            {"name": "ingredients", "source": "C2PA", "state": "signed, valid",
             "value": [{"title": hostile, "thumbnail": small}, {"title": "b", "thumbnail": None}]},
        ],
        "measured": [
            {"name": "grid_offset", "value": None, "unit": "pixels", "meaning": "", "limits": "",
             "source": ""},
            {"name": "tables", "value": {"exact_as": True, "sizes": [1, None]}, "unit": None,
             "meaning": "", "limits": "", "source": ""},
            {"name": "quality", "value": 85, "unit": "%", "meaning": "of the JPEG", "limits": "…",
             "source": "tables"}
        ],
        "contradictions": ["two times differ"],
    }  # fmt: skip
    answering(
        page, address, provenance=provenance, warnings=[hostile], calibrated=False,
        inconclusive=False,
    )  # fmt: skip
    drop(page, f"{hostile}.jpg".replace("/", ""), REAL.read_bytes())
    expect(page.locator("#headline")).to_have_text("Real", timeout=30_000)
    expect(page.locator("#meaning")).to_contain_text("does not prove")
    expect(page.locator("#calibrated")).to_contain_text("Not calibrated")
    expect(page.locator("#declared tbody")).to_contain_text(hostile)
    shown = page.locator("#declared tbody img")
    assert shown.evaluate_all("all => all.map((each) => each.naturalWidth)") == [6]
    expect(page.locator("#measured tbody")).to_contain_text("85 %")
    expect(page.locator("#missing")).to_have_text("Looked for, and not found: grid offset.")
    expect(page.locator("#measured tbody")).to_contain_text("exact as: yes; sizes: 1 | none")
    expect(page.locator("#contradictions")).to_have_text("two times differ")
    expect(page.locator("#warnings")).to_have_text(hostile)
    assert page.locator("img[src=x], article script").count() == 0


def test_a_busy_service_is_asked_again(page: Any, address: str) -> None:
    asked = []

    def refuse_once(route: Any) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.continue_()
        else:
            route.fulfill(status=429, headers={"Retry-After": "1"}, body='{"message": "full"}')

    page.route(f"{address}/v1/detect", refuse_once)
    drop(page, "portal.jpg", REAL.read_bytes())
    expect(page.locator("#list")).to_contain_text("asking again in 1 s")
    expect(page.locator("#headline")).to_be_visible(timeout=30_000)


def test_a_key_is_asked_for_and_sent(page: Any, address: str) -> None:
    def guarded(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer open":
            route.continue_()
        else:
            route.fulfill(status=401, body='{"message": "this service asks for a key"}')

    page.route(f"{address}/v1/*", guarded)
    drop(page, "portal.jpg", REAL.read_bytes())
    expect(page.locator("#problem")).to_have_text("This service asks for a key")
    page.fill("#key-text", "open")
    page.press("#key-text", "Enter")
    expect(page.locator("#headline")).to_be_visible(timeout=30_000)
    expect(page.locator("#key")).to_be_hidden()


def test_a_service_that_is_gone_is_a_sentence(page: Any, address: str) -> None:
    page.route(f"{address}/v1/detect", lambda route: route.abort())
    drop(page, "portal.jpg", REAL.read_bytes())
    expect(page.locator("#problem")).to_contain_text("The service cannot be reached")


def test_everything_can_be_reached_and_has_a_name(shown: Any) -> None:
    nameless = shown.evaluate(
        """() => [...document.querySelectorAll(
            "button, input, select, textarea, a, img, table, section")]
        .filter((each) => each.checkVisibility() && !(each.labels?.length || each.ariaLabel
            || each.textContent.trim() || each.hasAttribute("alt") || each.caption))
        .map((each) => each.outerHTML)"""
    )
    assert nameless == []
    reached = set()
    shown.evaluate("() => document.activeElement.blur()")
    for _ in range(60):
        shown.keyboard.press("Tab")
        reached.add(shown.evaluate("() => document.activeElement.id"))
    assert {
        "files",
        "explain",
        "deliver",
        "budget",
        "clear",
        "split",
        "opacity",
        "larger",
        "text-asked",
        "send",
    } <= (reached)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(chromium: Any, address: str, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    drop(page, "bench.jpg", TAMPERED.read_bytes())
    expect(page.locator("#headline")).to_be_visible(timeout=30_000)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    context.close()
