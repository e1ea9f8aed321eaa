"""The doctor's findings as one page that can be sent to somebody."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sida.data.checks.findings import AREAS, Findings, quantiles
from sida.data.checks.leakage import Probe
from sida.data.checks.traits import Traits
from sida.data.formats.hub import Streamed
from sida.data.problems import HARMLESS, PROBLEMS
from sida.errors import PictureError
from sida.html import (
    Bars,
    FactList,
    Gallery,
    Histogram,
    Note,
    Page,
    Paragraph,
    Section,
    Table,
    Thumb,
    thumbnail,
)
from sida.verdict import LABELS

__all__ = ["data_page"]

TWINS = 8  # sets of twins that are shown as pictures


def data_page(findings: Findings) -> Page:
    """The page of a checked set (or of its statistics alone)."""
    page = Page("Data check" if findings.probe else "Data statistics", findings.data)
    _summary(page, findings)
    if findings.probe is not None:
        _leakage(page.section("Leakage", LEAKAGE), findings.probe)
    _classes(page, findings)
    _containers(page, findings)
    _masks(page, findings)
    if findings.twins is not None:
        _twins(page, findings)
    _problems(page, findings)
    _pictures(page, findings)
    return page


LEAKAGE = (
    "Can the class be told without looking at the picture? A small decision tree saw nothing but "
    "the container, and was asked about pictures whose originals it had not seen."
)


def _summary(page: Page, findings: Findings) -> None:
    section = page.section("Summary")
    values: dict[str, Any] = {
        "pictures": len(findings.traits),
        "splits": len(findings.datasets),
        "originals (groups)": len({picture.group for picture in findings.traits} - {None}) or None,
        "problems": sum(problem.code not in HARMLESS for problem in findings.problems),
    }
    section.add(FactList(values))
    leaks = findings.probe is not None and findings.probe.leaks
    for sentence in findings.sentences():
        grave = (leaks and "gives the class away" in sentence) or "is wrong" in sentence
        section.add(Note(sentence, "bad" if grave else "plain"))
    if findings.is_sound:
        section.add(Note("Every picture and every mask can be read.", "good"))


def _leakage(section: Section, probe: Probe) -> None:
    if probe.accuracy is None or probe.chance is None:
        section.add(Note(probe.sentences()[0], "warn"))
        return
    rows = {"all three": {"accuracy": 100 * probe.accuracy}}
    rows |= {f"{name} alone": {"accuracy": 100 * v} for name, v in probe.features.items()}
    mark = ("chance", 100 * probe.chance)
    section.add(Bars(rows, "Balanced accuracy", " %", 100, mark))
    apart = {
        "bytes per pixel": probe.bytes_per_pixel,
        "name of the source": probe.source,
    }
    accuracies = {name: {"accuracy": 100 * v} for name, v in apart.items() if v is not None}
    section.add(Bars(accuracies, "Apart, because a fair set may have it, too", " %", 100, mark))
    if probe.real_vs_not is not None:
        row = {"real or not": {"accuracy": 100 * probe.real_vs_not}}
        section.add(Bars(row, "Real against all others", " %", 100, ("chance", 50.0)))
    if probe.split is not None:
        section.add(Paragraph(f"Measured on the split {probe.split}."))
    if not probe.grouped:
        section.add(Note("The set names no originals (group): each picture stood alone.", "warn"))


def _classes(page: Page, findings: Findings) -> None:
    section = page.section("Classes and splits")
    counts = {
        split: {label: float(count) for label, count in row.items()}
        for split, row in findings.counts().items()
    }
    section.add(Bars(counts, "Pictures that can be read"))
    sources = findings.sources()
    rows = [
        (label, name, n)
        for label, source_counts in sources.items()
        for name, n in source_counts.items()
    ]
    if rows:
        section.add(Table(("class", "source", "pictures"), rows, "Sources"))


def _containers(page: Page, findings: Findings) -> None:
    section = page.section("Formats, sizes, quality")
    present: dict[str, list[Traits]] = {
        label: rows for label in LABELS if (rows := findings.of(label))
    }
    formats = list(dict.fromkeys(picture.format for picture in findings.traits))
    shares = {
        name: {
            label: 100 * sum(picture.format == name for picture in rows) / len(rows)
            for label, rows in present.items()
        }
        for name in formats
    }
    section.add(Bars(shares, "Formats, as shares of each class", " %", 100))
    sides = {label: [min(r.width, r.height) for r in rows] for label, rows in present.items()}
    section.add(_histogram(sides, "shorter side in pixels"))
    quality = {label: [r.quality for r in rows if r.quality] for label, rows in present.items()}
    if any(quality.values()):
        section.add(_histogram(quality, "JPEG quality"))
    dense = {
        label: [r.bytes / (r.width * r.height) for r in rows] for label, rows in present.items()
    }
    section.add(_histogram(dense, "bytes per pixel"))
    metadata = findings.metadata()
    carrying = [(label, 100 * m["exif"], 100 * m["icc"]) for label, m in metadata.items()]
    section.add(Table(("class", "with EXIF, %", "with a colour profile, %"), carrying, "Metadata"))


def _histogram(series: Mapping[str, Sequence[float]], label: str, bins: int = 24) -> Histogram:
    """Even bins between the extremes of all classes; a bin for each where few whole numbers are."""
    everything = np.concatenate([np.array(values, float) for values in series.values()])
    low, high = float(everything.min()), float(everything.max())
    if high - low < 2 * bins and not np.mod(everything, 1).any():
        edges = np.arange(low - 0.5, high + 1)
        ticks = [f"{edge + 0.5:.0f}" for edge in edges[:-1]]
    else:
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
        ticks = [f"{edge:.{2 if high < 10 else 0}f}" for edge in edges]
    counts = {name: np.histogram(values, edges)[0].tolist() for name, values in series.items()}
    return Histogram(edges.tolist(), counts, label, ticks=ticks)


def _masks(page: Page, findings: Findings) -> None:
    areas = findings.mask_areas()
    if not areas:
        return
    section = page.section("Masks", "How much of the tampered pictures is altered.")
    cuts = quantiles(areas)
    section.add(FactList({name: cuts[name] for name in ("count", "min", "median", "max")}))
    ticks = [f"{100 * edge:g} %" for edge in AREAS]
    series = {"tampered": findings.mask_area_counts()}
    section.add(Histogram(AREAS, series, "altered share of the picture", ticks=ticks))


def _twins(page: Page, findings: Findings) -> None:
    twins = findings.twins or ()
    section = page.section(
        "Duplicates",
        "The same file, or pictures that look alike. Those of one group are as they should be.",
    )
    if not twins:
        section.add(Note("No picture is there twice.", "good"))
        return
    rows = [
        (
            "same file" if twin_set.exact else "look alike",
            len(twin_set.members),
            "yes" if twin_set.one_group else "no",
            ", ".join(sorted(twin_set.labels)),
            ", ".join(_path_of(member) for member in twin_set.members[:6]),
        )
        for twin_set in twins
    ]
    section.add(Table(("kind", "pictures", "one group", "classes", "which"), rows))
    section.add(Gallery(list(_twin_thumbs(findings))))


def _path_of(picture: Traits) -> str:
    return f"{picture.split}/{picture.name}" if picture.split else picture.name


def _twin_thumbs(findings: Findings) -> Iterable[Thumb]:
    """The first two of each of some sets; those that no group explains go first."""
    twin_sets = sorted(findings.twins or (), key=lambda twin_set: twin_set.one_group)[:TWINS]
    numbers = {
        (m.split, m.name): n
        for n, twin_set in enumerate(twin_sets, 1)
        for m in twin_set.members[:2]
    }
    for data in findings.datasets:
        if isinstance(data, Streamed):
            continue
        for sample in data:
            number = numbers.get((data.split, sample.name))
            if number is None:
                continue
            try:
                labelled = sample.load()
            except PictureError:  # it was there a moment ago
                continue
            yield Thumb(thumbnail(labelled.picture.pixels), sample.name, f"set {number}")


def _problems(page: Page, findings: Findings) -> None:
    if not findings.problems:
        return
    section = page.section("Problems", "Every row that something is wrong with.")
    counts: Sequence[Any] = [(PROBLEMS[code], n) for code, n in findings.problem_counts.items()]
    section.add(Table(("kind", "rows"), counts))
    section.add(Table(("row", "what is wrong"), [(p.name, p.message) for p in findings.problems]))


def _pictures(page: Page, findings: Findings) -> None:
    section = page.section("Pictures", "A few of each class; altered regions are drawn in red.")
    for label, thumbs in findings.thumbs.items():
        if thumbs:
            section.add(
                Gallery([Thumb(uri, name) for name, uri in thumbs], label.replace("_", " "))
            )
