"""`batch_report`: many pictures in one file: an overview that sorts, then each with evidence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

import sida
from sida.errors import InputError
from sida.files import write_whole
from sida.html import FactList, Heading, Note, Overview, OverviewRow, Page, Paragraph, thumbnail
from sida.html.pdf import pdf, require_pdf
from sida.image.read import Picture
from sida.report.evidence import drawn_mask
from sida.report.picture import FOOTER, name_of, now, parts, picture_page
from sida.report.results import ReportItem, picture_of
from sida.report.wording import (
    INTRO,
    LABEL_NAMES,
    budget_meaning,
    headline,
    shortened,
    tone,
    whole_percent,
)
from sida.verdict import Failure, Verdict

__all__ = ["DETAILS", "Written", "batch_report", "require_format"]

DETAILS = 100
SIDE = 96  # pixels of a thumbnail's longer side
HEADINGS = ("picture", "verdict", "confidence, %", "altered, %", "remarks")


@dataclass
class Written:
    """Numbers of a report: pictures, those without a verdict, verdicts without their picture."""

    pictures: int = 0
    not_judged: int = 0
    not_shown: int = 0


def batch_report(
    results: Iterable[ReportItem],
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
    results: Iterable[ReportItem], personal: bool, details: int, time: datetime
) -> tuple[Page, Written]:
    remaining = iter(results)
    first = list(islice(remaining, 2))
    if not first:
        raise InputError("there is no result to report on: give pictures or a file of verdicts")
    result, source = first[0]
    if len(first) == 2 or isinstance(result, Failure):
        return _batch(chain(first, remaining), personal, details, time)
    picture, missing = picture_of(result, source)
    notes = [missing] if missing else []
    return picture_page(result, picture, notes, personal, time), Written(1, 0, len(notes))


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
    results: Iterable[ReportItem], personal: bool, details: int, time: datetime
) -> tuple[Page, Written]:
    footer = FOOTER.format(version=sida.__version__, time=f"{time:%Y-%m-%d %H:%M} UTC")
    page, written = Page("Report", footer=footer), Written()
    summary = page.section("Summary", INTRO)
    overview = page.section("Overview")
    counts = dict.fromkeys(LABEL_NAMES.values(), 0)
    inconclusive, rows, models = 0, [], set()
    budgets: set[float] = set()
    for number, (result, source) in enumerate(results, 1):
        written.pictures += 1
        if isinstance(result, Failure):
            written.not_judged += 1
            rows.append(_failed(result, number))
            continue
        picture, missing = picture_of(result, source)
        written.not_shown += missing is not None
        if result.outcome != "inconclusive":
            counts[LABEL_NAMES[result.outcome]] += 1
        inconclusive += result.inconclusive
        budgets |= set() if result.budget is None else {result.budget.max_false_positives}
        models.add(f"{result.model.name}, version {result.model.version}")
        detailed = number <= details
        rows.append(_row(result, picture, missing, f"picture-{number}" if detailed else ""))
        if detailed:
            section = page.section(name_of(result), anchor=f"picture-{number}", in_contents=False)
            for title, elements in parts(result, picture, [missing] if missing else [], personal):
                section.add(Heading(title), *elements)
    page.subtitle = f"{written.pictures} picture{'s' * (written.pictures != 1)}"
    if models:
        page.subtitle += f", judged by {'; '.join(sorted(models))}"
    figures = {**counts, "inconclusive": inconclusive, "not judged": written.not_judged}
    summary.add(FactList({"pictures": written.pictures, **figures}))
    summary.add(*_sentences(written, inconclusive, details, budgets))
    overview.add(Overview(HEADINGS, rows))
    return page, written


def _sentences(
    written: Written, inconclusive: int, details: int, budgets: set[float]
) -> Iterator[Note | Paragraph]:
    for share in sorted(budgets):
        yield Paragraph(budget_meaning(share))
    if inconclusive and budgets:
        yield Note(f"Inconclusive verdicts: {inconclusive}; they count under no label.", "warn")
    elif inconclusive:
        yield Note(
            f"Inconclusive verdicts: {inconclusive}. By its own calibration the model is unsure "
            "there; they are counted under the likeliest label.",
            "warn",
        )
    for count, verb in ((written.not_judged, "judged"), (written.not_shown, "shown")):
        if count:
            yield Note(f"Pictures not {verb}: {count}; the overview says why.", "warn")
    if written.pictures > details:
        yield Paragraph(
            f"Evidence is shown of the first {details} of {written.pictures} pictures; the "
            "overview has them all."
        )


def _failed(failure: Failure, number: int) -> OverviewRow:
    name, reason = failure.image or f"picture {number}", shortened(failure.message)
    return OverviewRow((shortened(name), "not judged", None, None, reason))


def _row(
    verdict: Verdict, picture: Picture | None, missing: str | None, anchor: str
) -> OverviewRow:
    localization = verdict.localization
    thumb = ""
    if picture is not None:
        mask = (
            drawn_mask(verdict, localization)[0]
            if localization is not None and localization.regions
            else None
        )
        thumb = thumbnail(picture.pixels, mask, side=SIDE, quality=70)
    remarks = [] if verdict.calibrated else ["not calibrated"]
    cells = (
        name_of(verdict),
        headline(verdict),
        whole_percent(verdict.probabilities[verdict.label]),
        None if localization is None else round(100 * localization.area, 1),
        " ".join([*remarks, *([missing] if missing else [])]),
    )
    return OverviewRow(cells, thumb, anchor, tone(verdict))
