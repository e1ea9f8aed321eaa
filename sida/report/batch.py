"""`batch_report`: many pictures in one file: an overview that sorts, then each with evidence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

import sida
from sida.errors import InputError
from sida.files import write_whole
from sida.image.read import Picture
from sida.page import Facts, Heading, Note, Overview, Page, Row, Text, thumbnail
from sida.page.pdf import pdf, require_pdf
from sida.report.evidence import drawn_mask
from sida.report.picture import FOOTER, name_of, now, parts, picture_page
from sida.report.results import Result, picture_of
from sida.report.wording import INTRO, LABEL_NAMES, headline, shortened, tone, whole_percent
from sida.verdict import Failure, Verdict

__all__ = ["DETAILS", "Written", "batch_report", "require_format"]

DETAILS = 100
SIDE = 96  # pixels of a thumbnail's longer side
HEADINGS = ("picture", "verdict", "confidence, %", "altered, %", "remarks")


@dataclass
class Written:
    """What a report holds: all, those without a verdict, and verdicts without their picture."""

    pictures: int = 0
    not_judged: int = 0
    not_shown: int = 0


def batch_report(
    results: Iterable[Result],
    out: str | Path,
    *,
    personal: bool = False,
    details: int = DETAILS,
    time: datetime | None = None,
) -> Written:
    """Write results as one `.html` or `.pdf` file, completely or not at all.

    Pictures are read one at a time, and kept as small JPEGs. One verdict alone becomes the report
    of a picture.

    Args:
        results: in the order in which they shall stand.
        out: the file; its suffix says what it becomes.
        personal: whether positions, serial numbers and names in the metadata are shown, too.
        details: how many pictures are shown with their evidence, below the overview of all.
        time: of writing, in UTC; now if not given.

    Raises:
        InputError: the suffix is another one, or there are no results.
        MissingExtra: WeasyPrint is missing, which writes PDF.
        SidaError: the file cannot be written.
    """
    require_format(out)
    with write_whole(out) as temporary:  # a place that cannot be written to is told at once
        page, written = _page(results, personal, details, time or now())
        if temporary.suffix.lower() == ".pdf":
            temporary.write_bytes(pdf(page))
        else:
            page.write(temporary)
    return written


def _page(
    results: Iterable[Result], personal: bool, details: int, time: datetime
) -> tuple[Page, Written]:
    rest = iter(results)
    first = list(islice(rest, 2))
    if not first:
        raise InputError("there is no result to report on: give pictures or a file of verdicts")
    found, source = first[0]
    if len(first) == 2 or isinstance(found, Failure):
        return _batch(chain(first, rest), personal, details, time)
    picture, gone = picture_of(found, source)
    notes = [gone] if gone else []
    return picture_page(found, picture, notes, personal, time), Written(1, 0, len(notes))


def require_format(out: str | Path) -> None:
    """Raise InputError unless the file's suffix is `.html` or `.pdf`; MissingExtra for a PDF."""
    suffix = Path(out).suffix.lower()
    if suffix not in (".html", ".pdf"):
        raise InputError(
            f"a report is written as .html or .pdf, found {str(out)!r}: give it one of these "
            "suffixes"
        )
    if suffix == ".pdf":
        require_pdf()


def _batch(
    results: Iterable[Result], personal: bool, details: int, time: datetime
) -> tuple[Page, Written]:
    footer = FOOTER.format(version=sida.__version__, time=f"{time:%Y-%m-%d %H:%M} UTC")
    page, written = Page("Report", footer=footer), Written()
    summary = page.section("Summary", INTRO)
    overview = page.section("Overview")
    counts = dict.fromkeys(LABEL_NAMES.values(), 0)
    inconclusive, rows, models = 0, [], set()
    for number, (found, source) in enumerate(results, 1):
        written.pictures += 1
        if isinstance(found, Failure):
            written.not_judged += 1
            rows.append(_failed(found, number))
            continue
        picture, gone = picture_of(found, source)
        written.not_shown += gone is not None
        counts[LABEL_NAMES[found.label]] += 1
        inconclusive += found.inconclusive
        models.add(f"{found.model.name}, version {found.model.version}")
        detailed = number <= details
        rows.append(_row(found, picture, gone, f"picture-{number}" if detailed else ""))
        if detailed:
            section = page.section(name_of(found), anchor=f"picture-{number}", listed=False)
            for title, elements in parts(found, picture, [gone] if gone else [], personal):
                section.add(Heading(title), *elements)
    page.subtitle = f"{written.pictures} picture{'s' * (written.pictures != 1)}"
    if models:
        page.subtitle += f", judged by {'; '.join(sorted(models))}"
    figures = {**counts, "inconclusive": inconclusive, "not judged": written.not_judged}
    summary.add(Facts({"pictures": written.pictures, **figures}))
    summary.add(*_sentences(written, inconclusive, details))
    overview.add(Overview(HEADINGS, rows))
    return page, written


def _sentences(written: Written, inconclusive: int, details: int) -> Iterator[Note | Text]:
    if inconclusive:
        yield Note(
            f"Inconclusive verdicts: {inconclusive}. By its own calibration the model is unsure "
            "there; they are counted under the likeliest label.",
            "warn",
        )
    for count, what in ((written.not_judged, "judged"), (written.not_shown, "shown")):
        if count:
            yield Note(f"Pictures not {what}: {count}; the overview says why.", "warn")
    if written.pictures > details:
        yield Text(
            f"Evidence is shown of the first {details} of {written.pictures} pictures; the "
            "overview has them all."
        )


def _failed(failure: Failure, number: int) -> Row:
    name, why = failure.image or f"picture {number}", shortened(failure.message)
    return Row((shortened(name), "not judged", None, None, why))


def _row(verdict: Verdict, picture: Picture | None, gone: str | None, anchor: str) -> Row:
    found = verdict.localization
    small = ""
    if picture is not None:
        mask = drawn_mask(verdict, found)[0] if found is not None and found.regions else None
        small = thumbnail(picture.pixels, mask, side=SIDE, quality=70)
    remarks = [] if verdict.calibrated else ["not calibrated"]
    cells = (
        name_of(verdict),
        headline(verdict),
        whole_percent(verdict.probabilities[verdict.label]),
        None if found is None else round(100 * found.area, 1),
        " ".join([*remarks, *([gone] if gone else [])]),
    )
    return Row(cells, small, anchor, tone(verdict))
