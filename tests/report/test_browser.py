"""The overview in a real browser: sorts by click and by keyboard, and asks nobody for anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sida.report import ReportItem, batch_report
from sida.verdict import Failure
from tests.browser import browser as find_browser
from tests.report.made import NASTY, photo, result


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def report(elsewhere: Path) -> Path:
    failure = Failure(image=f"{NASTY}.jpg", error="not_found", message=NASTY)
    results = [
        result(photo(elsewhere / "img2.jpg"), "real", 0.5),
        result(photo(elsewhere / "img10.jpg"), "tampered", 0.9, warnings=(NASTY,)),
        ReportItem(failure),
        result(photo(elsewhere / "img1.jpg"), "full_synthetic", 0.7),
    ]
    items = [ReportItem(f.model_copy(update={"image": Path(f.image).name}), p) for f, p in results]
    batch_report(items, elsewhere / "all.html")
    return elsewhere / "all.html"


def opened(browser: Any, report: Path, **options: Any) -> tuple[Any, list[str]]:
    """The page, and all that it complained of or asked for beyond itself."""
    page, heard = browser.new_page(**options), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: heard.extend(_outside(request.url)))
    page.goto(report.as_uri())
    return page, heard


def _outside(address: str) -> list[str]:
    return [] if address.startswith(("file:", "data:")) else [address]


def names(page: Any) -> list[str]:
    cells = page.locator("table.overview tbody tr td:nth-child(2)").all_inner_texts()
    return [cell.removesuffix(".jpg") for cell in cells]


@pytest.mark.slow
def test_a_click_sorts(browser: Any, report: Path) -> None:
    page, heard = opened(browser, report)
    bad = names(page)[2]
    assert names(page) == ["img2", "img10", bad, "img1"]
    heading = page.get_by_role("button", name="picture")
    heading.click()
    assert [name for name in names(page) if name != bad] == ["img1", "img2", "img10"]
    confidence = page.get_by_role("button", name="confidence")
    confidence.click()
    assert names(page) == ["img2", "img1", "img10", bad]
    confidence.press("Enter")
    assert names(page) == ["img10", "img1", "img2", bad]  # what has no figure stays last
    sorts = page.locator("th").evaluate_all("all => all.map(one => one.ariaSort)")
    assert sorts[:5] == [None, None, "descending", None, None]
    page.get_by_role("link", name="img10.jpg").click()
    assert page.url.endswith("#picture-2")
    assert page.locator("#picture-2 h2").inner_text() == "img10.jpg"
    assert heard == []


@pytest.mark.slow
def test_no_other_script_runs(browser: Any, report: Path) -> None:
    """Even where escaping had failed, the policy would stop it."""
    html = report.read_text(encoding="utf-8")
    added = (
        "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    )
    report.write_text(html.replace("<main>", "<main>" + added), encoding="utf-8")
    page, _ = opened(browser, report)
    page.get_by_role("button", name="picture").click()
    assert page.title().startswith("Report")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Any, report: Path, scheme: str) -> None:
    viewport = {"width": 390, "height": 844}
    page, heard = opened(browser, report, viewport=viewport, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    assert heard == []
