"""PDF of a page: nothing is fetched for it, and what is missing is said."""

import http.server
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from sida.errors import MissingExtra, SidaError
from sida.html import Gallery, Page, Thumb
from sida.html.pdf import pdf, require_pdf


def test_nothing_is_fetched(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("RGB", (60, 40)).save(elsewhere / "secret.png")
    calls: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_error(404)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        page = Page("a")
        for address in (
            f"http://127.0.0.1:{server.server_port}/x.png",
            (elsewhere / "secret.png").as_uri(),
        ):
            page.section("b").add(Gallery([Thumb(address, "c")]))
        document = pdf(page)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert calls == []
    assert b"/Subtype /Image" not in document
    assert caplog.text.count("Failed to load image") == 2


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sida\[report\]'"):
        require_pdf()


def test_a_missing_pango_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def importing(name: str, *arguments: object) -> SimpleNamespace:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *arguments)

    real = __import__
    monkeypatch.setattr("builtins.__import__", importing)
    with pytest.raises(SidaError, match=r"needs Pango, .* or write a .html file"):
        require_pdf()
