"""PDF: has the text and the pictures, and nothing is fetched for it."""

import http.server
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pypdfium2
import pytest

from sida.errors import MissingExtra, SidaError
from sida.page import Gallery, Page, Thumb
from sida.page.pdf import pdf, require_pdf
from sida.report import batch_report
from tests.report.made import EXPLANATION, NASTY, photo, result


def text_of(document: pypdfium2.PdfDocument) -> str:
    return " ".join(
        " ".join(page.get_textpage().get_text_range() for page in document).split()
    ).replace("\ufffe", "")


def test_a_pdf_shows_text_and_pictures(elsewhere: Path) -> None:
    made = result(photo(elsewhere / "a.jpg", (640, 480)), explanation=EXPLANATION, calibrated=True)
    batch_report([made], elsewhere / "a.pdf")
    document = pypdfium2.PdfDocument(elsewhere / "a.pdf")
    text = text_of(document)
    for each in ("Picture report", "Tampered", "Confidence 90 %", "brighter than around", "tiny"):
        assert each in text
    assert document.get_metadata_value("Title").startswith("Picture report")
    first = document[0].render(scale=1).to_numpy()[..., ::-1].astype(int)
    assert first[..., 1].std() > 20
    spread = np.abs(first[..., 0] - first[..., 1])
    assert (spread > 60).mean() > 0.02  # the picture is coloured noise, the page is grey


def test_a_batch_has_all_its_columns_on_the_page(elsewhere: Path) -> None:
    names = [f"{'long-folder-name' * 3}-{number}.jpg" for number in range(3)]
    batch_report([result(photo(elsewhere / name)) for name in names], elsewhere / "all.pdf")
    page = pypdfium2.PdfDocument(elsewhere / "all.pdf")[0]
    text = page.get_textpage()
    for heading in ("confidence, %", "altered, %", "remarks"):
        found = text.search(heading).get_next()
        assert found is not None
        _, _, right, _ = text.get_charbox(found[0] + found[1] - 1)
        assert right < page.get_width() - 20


def test_hostile_texts_are_only_texts(elsewhere: Path) -> None:
    made = result(photo(elsewhere / "a.png"), warnings=(NASTY,))
    batch_report([made], elsewhere / "a.pdf")
    document = pypdfium2.PdfDocument(elsewhere / "a.pdf")
    assert "<script>alert(1)</script>" in text_of(document)
    assert b"/JavaScript" not in (elsewhere / "a.pdf").read_bytes()


def test_nothing_is_fetched(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    (elsewhere / "secret.png").write_bytes(photo(elsewhere / "b.png").read_bytes())
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = http.server.HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        page = Page("a")
        for address in (f"http://127.0.0.1:{port}/x.png", (elsewhere / "secret.png").as_uri()):
            page.section("b").add(Gallery([Thumb(address, "c")]))
        document = pdf(page)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []
    assert b"/Subtype /Image" not in document
    assert caplog.text.count("Failed to load image") == 2


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "weasyprint", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sida\[report\]'"):
        require_pdf()


def test_a_missing_pango_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def importing(name: str, *rest: object) -> SimpleNamespace:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *rest)

    real = __import__
    monkeypatch.setattr("builtins.__import__", importing)
    with pytest.raises(SidaError, match=r"needs Pango, .* or write a .html file"):
        require_pdf()
