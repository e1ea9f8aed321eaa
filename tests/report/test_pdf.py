"""PDF reports: they have the text and the pictures, and all of it is on the page."""

from pathlib import Path

import numpy as np
import pypdfium2

from sida.report import batch_report
from tests.report.made import EXPLANATION, NASTY, photo, result


def text_of(document: pypdfium2.PdfDocument) -> str:
    return " ".join(
        " ".join(page.get_textpage().get_text_range() for page in document).split()
    ).replace("\ufffe", "")


def test_a_pdf_shows_text_and_pictures(elsewhere: Path) -> None:
    item = result(photo(elsewhere / "a.jpg", (640, 480)), explanation=EXPLANATION, calibrated=True)
    batch_report([item], elsewhere / "a.pdf")
    document = pypdfium2.PdfDocument(elsewhere / "a.pdf")
    text = text_of(document)
    for phrase in ("Picture report", "Tampered", "Confidence 90 %", "brighter than around", "tiny"):
        assert phrase in text
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
        outcome = text.search(heading).get_next()
        assert outcome is not None
        _, _, right, _ = text.get_charbox(outcome[0] + outcome[1] - 1)
        assert right < page.get_width() - 20


def test_hostile_texts_are_only_texts(elsewhere: Path) -> None:
    item = result(photo(elsewhere / "a.png"), warnings=(NASTY,))
    batch_report([item], elsewhere / "a.pdf")
    document = pypdfium2.PdfDocument(elsewhere / "a.pdf")
    assert "<script>alert(1)</script>" in text_of(document)
    assert b"/JavaScript" not in (elsewhere / "a.pdf").read_bytes()
