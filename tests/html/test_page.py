"""Pages: nothing is requested, nothing given is taken as HTML, every element has its template."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sida.html import (
    Bars,
    FactList,
    Gallery,
    Histogram,
    Lines,
    Note,
    Page,
    Paragraph,
    Table,
    Thumb,
    thumbnail,
)
from sida.html.page import cell_text

NASTY = '<script>alert("x")</script>&'


def full_page() -> Page:
    """A page with every element, nasty texts everywhere."""
    page = Page(NASTY, NASTY, footer=NASTY)
    picture = np.zeros((40, 60, 3), np.uint8)
    page.section("One", NASTY).add(
        Paragraph(NASTY),
        Note(NASTY, "bad"),
        FactList({NASTY: 3}),
        Table((NASTY, "n"), [(NASTY, number) for number in range(30)], NASTY),
    )
    page.section("Two & three").add(
        Bars({NASTY: {"a": 1.0, NASTY: 2.0}}, NASTY, unit=" %", mark=("chance", 0.5)),
        Histogram([0, 1, 2], {NASTY: [1, 2], "b": [0, 0]}, NASTY, NASTY),
        Lines({NASTY: [(0, 0), (1, 1)]}, NASTY, NASTY, NASTY, diagonal=True),
        Gallery([Thumb(thumbnail(picture), NASTY, NASTY)], NASTY),
    )
    page.section("Last")
    return page


class Tags(HTMLParser):
    """Collects opened and closed tags, and every attribute that can make a request."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "img", "path", "polyline", "line", "br"):
            self.open.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(re.sub(r"/>", ">", html))
    return tags


def test_tags_are_balanced_and_nothing_is_requested() -> None:
    html = full_page().html()
    tags = parsed(html)
    assert tags.open == []
    assert all(address.startswith(("data:image/", "#")) for address in tags.addresses)
    assert tags.tags.isdisjoint({"script", "link", "iframe", "object"})
    assert "@import" not in html
    assert "url(" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_texts_are_escaped_wherever_they_stand() -> None:
    html = full_page().html()
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") >= 15


def test_sections_are_linked() -> None:
    html = full_page().html()
    assert 'href="#two---three"' in html
    assert 'id="two---three"' in html


def test_long_tables_are_folded() -> None:
    html = full_page().html()
    assert "<summary>5 more rows</summary>" in html
    assert html.count('<td class="number">') == 30


def test_thumbnails_are_small_pictures() -> None:
    mask = np.zeros((400, 600), np.uint8)
    mask[100:300, 100:300] = 255
    uri = thumbnail(np.full((400, 600, 3), 90, np.uint8), mask, side=120)
    media_type, data = uri.split(",")
    assert media_type == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (120, 80)
    red = np.array(image).astype(int)
    assert red[40, 40, 0] > red[40, 40, 1] + 40
    assert abs(red[5, 110, 0] - red[5, 110, 1]) < 10


def test_bars_reach_as_far_as_their_values() -> None:
    bars = Bars({"a": {"x": 1.0, "y": 4.0}, "b": {"x": 2.0}})
    assert bars.series == ["x", "y"]
    assert [bars.share(value) for value in (0, 1, 4, 9)] == [0, 25, 100, 100]
    assert Bars({"a": {"x": 0.5}}, limit=1.0).share(0.5) == 50


def test_histograms_scale_each_series_to_its_total() -> None:
    plot = Histogram([0, 1, 2], {"few": [1, 1], "many": [100, 0]}, "x")
    assert plot.outlines["few"] == "M0 100 L0 51.0 L1 51.0 L1 51.0 L2 51.0 L2 100 Z"
    assert plot.outlines["many"] == "M0 100 L0 2.0 L1 2.0 L1 100.0 L2 100.0 L2 100 Z"
    assert plot.labels == ["0", "1", "2"]
    assert Histogram(range(21), {"a": [1] * 20}, "x").labels[-1] == "20"
    with pytest.raises(ValueError, match="has 3 counts for 3 edges, expected 2"):
        Histogram([0, 1, 2], {"a": [1, 2, 3]}, "x")


def test_lines_stay_in_their_box() -> None:
    plot = Lines({"a": [(0, 0), (5, 10)]}, "x", "y", x_range=(0, 10), y_range=(0, 10))
    assert plot.paths == {"a": "0.0,100.0 50.0,0.0"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (0, "0"), (1234567, "1\u202f234\u202f567"), (0.33333, "0.333"), (1.0, "1"),
     (123.4, "123"), (1e-5, "1e-05"), ("as it is", "as it is"), (True, "True")],
)  # fmt: skip
def test_cells_as_people_read_them(value: str | float | None, text: str) -> None:
    assert cell_text(value) == text


def test_pages_are_written_whole(tmp_path: Path) -> None:
    full_page().write(tmp_path / "deep" / "page.html")
    assert (tmp_path / "deep" / "page.html").read_text(encoding="utf-8") == full_page().html()
