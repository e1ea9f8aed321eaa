"""`picture_report`: all that is known of one picture, as one HTML document."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import sida
from sida.html import Bars, Heading, Headline, Note, Page, Paragraph, Table
from sida.html.elements import Element
from sida.image.read import Picture
from sida.report.evidence import explanation, picture_elements
from sida.report.provenance import provenance
from sida.report.stability import stability_elements
from sida.report.wording import (
    INTRO,
    LABEL_NAMES,
    confidence,
    headline,
    meaning,
    promise,
    reasons,
    shortened,
    tone,
)
from sida.verdict import Budget, Verdict

__all__ = ["FOOTER", "name_of", "now", "parts", "picture_report"]

FOOTER = "Written by sida {version}, {time}. This file needs no network and asks for nothing."


def picture_report(
    verdict: Verdict,
    picture: Picture | None,
    *,
    notes: Sequence[str] = (),
    personal: bool = False,
    time: datetime | None = None,
) -> str:
    """A verdict as a self-contained HTML document.

        html = picture_report(verdict, read_picture("photo.jpg"))

    Args:
        verdict: as the detector gives it, or read from JSON.
        picture: what was judged; None where it is not there any more.
        notes: sentences that must not be missed, such as why there is no picture.
        personal: whether positions, serial numbers and names in the metadata are shown, too.
        time: of writing, in UTC; now if not given.
    """
    return picture_page(verdict, picture, notes, personal, time or now()).html()


def picture_page(
    verdict: Verdict, picture: Picture | None, notes: Sequence[str], personal: bool, time: datetime
) -> Page:
    """The same as a page."""
    footer = FOOTER.format(version=sida.__version__, time=f"{time:%Y-%m-%d %H:%M} UTC")
    page = Page("Picture report", name_of(verdict), footer)
    for title, elements in parts(verdict, picture, notes, personal):
        page.section(title, INTRO if title == "Verdict" else "").add(*elements)
    return page


def parts(
    verdict: Verdict, picture: Picture | None, notes: Sequence[str], personal: bool
) -> Iterator[tuple[str, Iterator[Element]]]:
    """The sections of a picture: title, elements."""
    yield "Verdict", _verdict(verdict, notes)
    yield "Picture", picture_elements(verdict, picture)
    if verdict.stability is not None:
        yield "Stability", stability_elements(verdict.stability, picture)
    yield "Explanation", explanation(verdict.explanation)
    yield "Provenance", provenance(verdict.provenance, personal)
    yield "How this was made", _record(verdict)


def _verdict(verdict: Verdict, notes: Sequence[str]) -> Iterator[Element]:
    yield Headline(headline(verdict), tone(verdict))
    yield Paragraph(meaning(verdict))
    if (sentence := promise(verdict)) is not None:
        yield Paragraph(sentence)
    if verdict.outcome != "inconclusive":
        yield Paragraph(confidence(verdict))
    for sentence in (*notes, *verdict.warnings[:20]):
        yield Note(shortened(sentence), "warn")
    shares = {LABEL_NAMES[k]: {"share": 100 * v} for k, v in verdict.probabilities.items()}
    yield Bars(shares, unit=" %", limit=100)
    if why := reasons(verdict):
        yield Heading("Why not certain")
        yield from (Paragraph(shortened(sentence)) for sentence in why)


def _record(verdict: Verdict) -> Iterator[Element]:
    rows = (
        ("file", name_of(verdict)),
        ("SHA-256 of the file", verdict.sha256),
        ("size", f"{verdict.width} x {verdict.height} pixels"),
        ("format", verdict.format),
        ("model", f"{verdict.model.name}, version {verdict.model.version}"),
        ("digest of its weights", verdict.model.digest),
        *_budget(verdict.budget),
        ("seconds it took", f"{verdict.seconds:.2f}"),
    )
    yield Table(("", ""), rows)


def _budget(budget: Budget | None) -> Iterator[tuple[str, str]]:
    if budget is not None:
        yield "budget of false accusations", f"{budget.max_false_positives:g}"
        yield "threshold of the score", f"{budget.threshold:.6g}"


def name_of(verdict: Verdict) -> str:
    """The name that a picture has in a report."""
    return shortened(verdict.image or "a picture without a name")


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)
