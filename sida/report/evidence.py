"""The evidence of a verdict as elements: where, what the model writes, and what was measured."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sida.errors import PictureError
from sida.explanation.cues import CUES, Cue
from sida.explanation.phrases import read_cue
from sida.html import Gallery, Heading, Note, Paragraph, Table, Thumb, thumbnail
from sida.html.elements import Element
from sida.image.overlay import heat_map
from sida.image.read import Picture
from sida.report.wording import PART_NAMES, shortened
from sida.verdict import LABELS, Claim, Evidence, Explanation, Localization, Verdict

__all__ = ["CUE_NAMES", "drawn_mask", "explanation", "picture_elements"]

CUE_NAMES = {
    "brightness": "how light it is",
    "colour": "warmth of the colours",
    "edges": "step at the border",
    "noise": "grain",
    "sharpness": "sharpness",
    "compression": "traces of JPEG blocks",
    "shadows": "how light the dark tones are",
}
MEASURED = (
    "These figures were measured in the picture, in the marked region and around it. A difference "
    "says that the two parts have different histories, or show different things; alone it proves "
    "nothing."
)
REGIONS, CLAIMS = 5, 50  # that are listed
SIDE = 900  # pixels of a shown picture's longer side


def picture_elements(verdict: Verdict, picture: Picture | None) -> Iterator[Element]:
    """The picture, its overlay, and the regions in numbers; without a picture, the numbers."""
    localization = verdict.localization
    generated = verdict.evidence_map
    if picture is not None:
        thumbs = [Thumb(thumbnail(picture.pixels, side=SIDE), "the picture")]
        if localization is not None and localization.regions:
            mask, caption = drawn_mask(verdict, localization)
            thumbs.append(Thumb(thumbnail(picture.pixels, mask, side=SIDE), caption))
        if generated is not None:
            map_image = thumbnail(heat_map(picture.pixels, generated), side=SIDE)
            thumbs.append(Thumb(map_image, "bright: what looks generated to the model"))
        yield Gallery(thumbs, wide=True)
    if verdict.evidence is not None and verdict.evidence.windows:
        yield _windows(verdict.evidence)
    if localization is None:
        if verdict.label == "tampered":
            yield Paragraph("Where it was altered was not asked for.")
        return
    yield Paragraph(f"Marked as altered: {100 * localization.area:.1f} % of the picture.")
    if localization.regions:
        largest = localization.regions[:REGIONS]
        rows = [
            (region.position, f"{100 * region.area:.1f}\N{NO-BREAK SPACE}%", _percent(region.score))
            for region in largest
        ]
        omitted = len(localization.regions) - len(largest)
        caption = f"the largest regions; {omitted} smaller ones are left out" if omitted else ""
        yield Table(("region", "share of the picture", "the model says altered"), rows, caption)


def _windows(evidence: Evidence) -> Table:
    rows = [
        (window.position, *(_percent(window.probabilities[label]) for label in LABELS))
        for window in evidence.windows
    ]
    caption = "each part, judged as if the whole picture were like it"
    return Table(("part", "real", "fully synthetic", "tampered"), rows, caption)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def drawn_mask(verdict: Verdict, localization: Localization) -> tuple[NDArray[np.bool_], str]:
    """The mask (height, width), or the boxes of its regions where it was not kept; a caption."""
    try:
        if (mask := verdict.mask) is not None:
            return mask, "red: what the model marks as altered"
        reason = "it was not kept"
    except PictureError as error:
        reason = str(error)
    boxes = np.zeros((verdict.height, verdict.width), bool)
    for left, top, right, bottom in (region.box for region in localization.regions):
        boxes[top:bottom, left:right] = True
    return boxes, f"red: boxes around the marked regions; their outline is not known ({reason})"


def explanation(text: Explanation | None) -> Iterator[Element]:
    """The model's text, and the claims in it beside what was measured."""
    if text is None:
        yield Paragraph("An explanation was not asked for, or the model cannot write one.")
        return
    yield from _text_elements(text)
    if text.claims:
        yield Heading("Measured")
        yield Paragraph(MEASURED)
        headings = ("what", "marked region", "around it", "unit", "the model says", "agree?")
        yield Table(
            headings, [_claim_row(claim) for claim in text.claims[:CLAIMS]], open_rows=CLAIMS
        )
    else:
        yield Paragraph("The text names nothing that was measured.")


def _text_elements(text: Explanation) -> Iterator[Element]:
    parts = {**text.model_dump(include={"type", "areas", "content"})}
    parts |= text.inconsistencies.model_dump()
    rows = [(PART_NAMES[name], shortened(part)) for name, part in parts.items() if part is not None]
    if rows:
        yield Table(("", "the model writes"), rows)
    else:
        yield Paragraph(shortened(text.text))
    if not text.complete:
        yield Note("The text was cut short.", "warn")


def _claim_row(claim: Claim) -> tuple[str | float | None, ...]:
    cue = CUES.get(claim.cue)
    name, unit = CUE_NAMES.get(claim.cue, claim.cue), cue.unit if cue else None
    return shortened(name), claim.inside, claim.outside, unit, shortened(claim.text), _agree(claim)


def _agree(claim: Claim) -> str | None:
    """`yes` or `no` where the words agree with the figures or not; None where neither is known."""
    if claim.cue not in CUES or (statement := read_cue(claim.text, claim.cue)) is None:
        return None
    cue, direction = statement
    measured = Cue(claim.cue, claim.inside, claim.outside, CUES[claim.cue].unit).direction
    return None if cue != claim.cue else "yes" if direction == measured else "no"
