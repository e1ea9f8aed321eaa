"""The page of a comparison in a real browser: by mouse and keyboard, at a phone's width."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sida.image.read import read_picture
from sida.pairs import compare
from sida.pairs.comparison_page import comparison_page
from tests.browser import browser as find_browser
from tests.pairs.pictures import jpeg, scene, with_blot


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    command = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=command, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    original = read_picture(scene(160, 200), "<b>original</b>")
    edited = read_picture(jpeg(with_blot(scene(160, 200))[0], 85), "edited")
    path = tmp_path_factory.mktemp("page") / "page.html"
    comparison_page(original, edited, compare(original, edited)).write(path)
    return path


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """The page, and all that it complained of or asked for beyond itself."""
    page, heard = browser.new_page(**options), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on(
        "request",
        lambda request: heard.extend(
            [] if request.url.startswith(("file:", "data:")) else [request.url]
        ),
    )
    page.goto(path.as_uri())
    return page, heard


def cut(page: Any) -> str:
    clip: str = page.evaluate("document.querySelector('.after').style.clipPath")
    return clip


@pytest.mark.slow
def test_it_slides_blinks_and_marks_by_keyboard(browser: Any, comparison: Path) -> None:
    from playwright.sync_api import expect

    page, heard = opened(browser, comparison)
    assert "50%" in cut(page)
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    assert cut(page) in ("inset(0px)", "inset(0px 0px 0px 0%)")
    page.keyboard.press("End")
    assert "100%" in cut(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    blink = page.get_by_role("button", name="Blink")
    assert blink.get_attribute("aria-pressed") == "true"
    expect(page.locator(".after")).to_have_css("clip-path", re.compile("100%"))
    page.keyboard.press("Enter")
    assert blink.get_attribute("aria-pressed") == "false"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator(".marked").is_visible()
    assert page.get_by_role("button", name="altered").get_attribute("aria-pressed") == "true"
    assert heard == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Any, comparison: Path, scheme: str) -> None:
    viewport = {"width": 390, "height": 844}
    page, heard = opened(browser, comparison, viewport=viewport, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator(".controls button, .controls input").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 44
    assert heard == []


def test_names_are_text_and_the_two_lie_over_each_other(comparison: Path) -> None:
    html = comparison.read_text(encoding="utf-8")
    assert "<b>original" not in html
    assert html.count('class="before"') == html.count('class="after"') == 1
    assert "red: what was altered" in html
