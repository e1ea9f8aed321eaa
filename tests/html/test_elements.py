"""Overviews, headlines, anchors: escaped like all else, and no script but the one that sorts."""

import base64
import hashlib
import re

from sida.html import Heading, Headline, Overview, OverviewRow, Page
from tests.html.test_page import NASTY, parsed


def page() -> Page:
    made = Page("All")
    rows = [
        OverviewRow((NASTY, 0.5), "data:image/png;base64,", "one", "bad"),
        OverviewRow(("b", None)),
    ]
    made.section("Overview").add(Overview((NASTY, "share"), rows))
    section = made.section(NASTY, anchor="one", in_contents=False)
    section.add(Headline(NASTY, "warn"), Heading(NASTY))
    return made


def test_texts_are_escaped_and_rows_lead_to_their_section() -> None:
    html = page().html()
    assert parsed(html).open == []
    assert html.count("<script>") == 1
    assert html.count("&lt;script&gt;") == 5
    assert '<a href="#one">&lt;script&gt;' in html
    assert '<section id="one">' in html
    assert '<td class="number" data-value="0.5">0.5</td>' in html
    assert "<nav>" not in html


def test_the_policy_names_the_script_by_its_digest() -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page().html(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page().html()
    without = Page("All")
    without.section("Empty")
    assert "script" not in without.html()


def test_hidden_characters_are_written_as_escapes() -> None:
    made = Page("a\u202eb\x1b[31m\ud800")
    made.section("\u2066x").add(Headline("line\nline\ttab \u202f\u200d é"))
    html = made.html()
    assert "a\\u202eb\\x1b[31m\\ud800" in html
    assert "\\u2066x</h2>" in html
    assert "line\nline\ttab \u202f\u200d é" in html
    html.encode()
