"""A comparison as one HTML page: the two aligned to slide and blink, mask, difference, numbers."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

import sida
from sida.html import (
    FactList,
    Gallery,
    Headline,
    Note,
    Page,
    Paragraph,
    Table,
    Thumb,
    Tone,
    thumbnail,
)
from sida.html.elements import BeforeAfter, Element
from sida.image.geometry import bounding_box, position
from sida.image.overlay import heat_map, overlay
from sida.image.read import Picture
from sida.pairs.comparison import Comparison
from sida.pairs.wording import headline, meaning

__all__ = ["comparison_page"]

SIDE = 1200
"""Longer side of the pictures in the page, in pixels."""
LARGE = 20.0
"""Difference in units of Lab that is drawn lightest."""
FOOTER = "Written by sida {version}, {time}. This file needs no network and asks for nothing."
TONES: dict[str, Tone] = {"local": "bad", "whole": "warn", "same": "good", "unrelated": "plain"}


def comparison_page(
    original: Picture, edited: Picture, comparison: Comparison, time: datetime | None = None
) -> Page:
    """The page of two pictures.

    Args:
        original, edited: as they were read.
        comparison: what `compare` gave for them.
        time: of writing, in UTC; now if not given.
    """
    written = f"{time or datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    names = f"{original.name or 'original'} and {edited.name or 'edited'}"
    page = Page("Comparison", names, FOOTER.format(version=sida.__version__, time=written))
    page.section("Result").add(Headline(headline(comparison), TONES[comparison.relation]))
    page.sections[-1].add(Paragraph(meaning(comparison)), *_figures(comparison))
    page.section("Side by side").add(*_pictures(edited, comparison))
    page.section("How this was made").add(*_record(original, edited, comparison))
    return page


def _figures(comparison: Comparison) -> Iterator[Element]:
    values: dict[str, str | float | None] = {"altered, %": round(100 * comparison.share, 2)}
    if comparison.relation == "local":
        values["position"] = position(comparison.mask)
    values["noise floor, Lab"] = None if comparison.noise is None else round(comparison.noise, 2)
    values["covered by the original, %"] = round(100 * float(comparison.covered.mean()), 1)
    yield FactList(values)
    if not comparison.covered.all() and comparison.relation != "unrelated":
        yield Note(
            "Parts of the edited picture lie beyond the original's edge. They cannot be compared, "
            "and are not marked.",
            "warn",
        )


def _pictures(edited: Picture, comparison: Comparison) -> Iterator[Element]:
    highlighted = (
        overlay(edited.pixels, comparison.mask) if comparison.relation == "local" else None
    )
    sources = {
        "original": thumbnail(comparison.aligned, side=SIDE, quality=88),
        "edited": thumbnail(edited.pixels, side=SIDE, quality=88),
    }
    if highlighted is not None:
        sources["marked"] = thumbnail(highlighted, side=SIDE, quality=88)
    if comparison.relation != "unrelated":
        yield BeforeAfter(sources["original"], sources["edited"], sources.get("marked", ""))
    thumbs = [
        Thumb(sources["original"], "the original, laid over the edited picture"),
        Thumb(sources["edited"], "the edited picture"),
    ]
    if highlighted is not None:
        thumbs.append(Thumb(sources["marked"], "red: what was altered"))
    if comparison.relation != "unrelated":
        strength = np.minimum(comparison.difference / LARGE, 1)
        heat = thumbnail(heat_map(edited.pixels, strength), side=SIDE, quality=88)
        thumbs.append(Thumb(heat, f"the difference, from none (dark) to {LARGE:g} Lab (light)"))
    yield Gallery(thumbs, wide=True)


def _record(original: Picture, edited: Picture, comparison: Comparison) -> Iterator[Element]:
    rows: list[tuple[str, str | None]] = []
    for role, picture in (("original", original), ("edited", edited)):
        rows += [
            (f"{role}: file", picture.name),
            (f"{role}: size", f"{picture.width} x {picture.height} pixels"),
            (f"{role}: format", picture.format),
            (f"{role}: SHA-256", picture.sha256),
        ]
    if comparison.relation != "unrelated":
        (a, b, x), (_, _, y) = comparison.matrix
        scale, angle = float(np.hypot(a, b)), float(np.degrees(np.arctan2(-b, a)))
        rows += [
            ("a pixel of the edited picture is", f"{scale:.4g} pixels of the original"),
            ("turned by", f"{angle + 0.0:.2f}°"),
            ("its upper left corner lies at", f"{x:.1f}, {y:.1f} of the original"),
        ]
    if comparison.relation == "local" and (box := bounding_box(comparison.mask)) is not None:
        rows.append(("box of what was altered", ", ".join(map(str, box))))
    yield Table(("", ""), rows)
    yield Paragraph(
        "The original was laid over the edited picture by points that look alike in both, and "
        "refined by correlation. Differences are distances in CIE Lab; the noise floor is the "
        "median difference outside the altered region."
    )
