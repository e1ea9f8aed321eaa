"""Draw docs/page-*.jpg and docs/report.jpg, as Chromium shows the page and a report of it.

sida serve &
python scripts/draw_screenshots.py
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent


def judged(browser: Browser, width: int, scheme: str, example: str) -> Page:
    """The page with an example's verdict under a budget, and its stability."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto("http://127.0.0.1:8000")
    page.check("#deliver")
    page.select_option("#budget", "0.1")
    page.set_input_files("#files", ROOT / "examples" / example)
    expect(page.locator("#headline")).to_be_visible(timeout=600_000)
    return page


def save(name: str, height: int, *columns: tuple[Page, int]) -> None:
    """Write pages side by side to docs/, each from a number of pixels below its top."""
    joined, left = Image.new("RGB", (2000, height), "grey"), 0
    for page, top in columns:
        image = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        joined.paste(image.crop((0, top, image.width, top + height)), (left, 0))
        left += image.width + 20
    joined = joined.crop((0, 0, left - 20, height))
    joined.thumbnail((900, 1400))
    joined.save(ROOT / "docs" / name, quality=80)


with sync_playwright() as playwright:
    chromium = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    desktop = judged(chromium, 1280, "light", "full_synthetic/dog.jpg")
    save("page-desktop.jpg", 1960, (desktop, 0))
    dark = judged(chromium, 1280, "dark", "tampered/heath_copied.jpg")
    dark.check("[value=heat]")
    save("page-dark.jpg", 1960, (dark, 0))
    phone = judged(chromium, 390, "light", "tampered/bench.jpg")
    save("page-phone.jpg", 1500, (phone, 0), (phone, 1500), (phone, 3000))
    with phone.expect_download(timeout=600_000) as download:
        phone.click("#downloads button:has-text('HTML')")
    html = download.value.path().read_text(encoding="utf-8")
    light = chromium.new_page(viewport={"width": 900, "height": 1400})
    narrow = chromium.new_page(viewport={"width": 390, "height": 1400}, color_scheme="dark")
    for page in (light, narrow):
        page.set_content(html)
    save("report.jpg", 1400, (light, 0), (narrow, 0))
