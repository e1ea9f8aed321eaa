"""The evidence of a verdict as elements: where, what the model writes, and what was measured."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sida.errors import PictureError
from sida.explanation.cues import CUES, Cue
from sida.explanation.phrases import read_cue
from sida.image.overlay import heat_map
from sida.image.read import Picture
from sida.page import Gallery, Heading, Note, Table, Text, Thumb, thumbnail
from sida.page.elements import Element
from sida.report.wording import PART_NAMES, shortened
from sida.verdict import LABELS, Claim, Evidence, Explanation, Localization, Verdict

__all__ = ["CUE_NAMES", "drawn_mask", "explanation", "shown"]

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


def shown(verdict: Verdict, picture: Picture | None) -> Iterator[Element]:
    """The picture, its overlay, and the regions in numbers; without a picture, the numbers."""
    found = verdict.localization
    generated = verdict.evidence_map
    if picture is not None:
        thumbs = [Thumb(thumbnail(picture.pixels, side=SIDE), "the picture")]
        if found is not None and found.regions:
            mask, caption = drawn_mask(verdict, found)
            thumbs.append(Thumb(thumbnail(picture.pixels, mask, side=SIDE), caption))
        if generated is not None:
            drawn = thumbnail(heat_map(picture.pixels, generated), side=SIDE)
            thumbs.append(Thumb(drawn, "bright: what looks generated to the model"))
        yield Gallery(thumbs, wide=True)
    if verdict.evidence is not None and verdict.evidence.windows:
        yield _windows(verdict.evidence)
    if found is None:
        if verdict.label == "tampered":
            yield Text("Where it was altered was not asked for.")
        return
    yield Text(f"Marked as altered: {100 * found.area:.1f} % of the picture.")
    if found.regions:
        largest = found.regions[:REGIONS]
        rows = [
            (each.position, f"{100 * each.area:.1f} %", f"{100 * each.score:.0f} %")
            for each in largest
        ]
        more = len(found.regions) - len(largest)
        caption = f"the largest regions; {more} smaller ones are left out" if more else ""
        yield Table(("region", "share of the picture", "the model's figure"), rows, caption)


def _windows(evidence: Evidence) -> Table:
    rows = [
        (window.position, *(f"{100 * window.probabilities[label]:.0f} %" for label in LABELS))
        for window in evidence.windows
    ]
    caption = "what the verdict would be, were all of the picture like a part of it"
    return Table(("part looked at closely", "real", "fully synthetic", "tampered"), rows, caption)


def drawn_mask(verdict: Verdict, found: Localization) -> tuple[NDArray[np.bool_], str]:
    """The mask (height, width), or the boxes of its regions where it was not kept; a caption."""
    try:
        if (mask := verdict.mask) is not None:
            return mask, "red: what the model marks as altered"
        reason = "it was not kept"
    except PictureError as error:
        reason = str(error)
    boxes = np.zeros((verdict.height, verdict.width), bool)
    for left, top, right, bottom in (region.box for region in found.regions):
        boxes[top:bottom, left:right] = True
    return boxes, f"red: boxes around the marked regions; their outline is not known ({reason})"


def explanation(said: Explanation | None) -> Iterator[Element]:
    """What the model writes, and the claims in it beside what was measured."""
    if said is None:
        yield Text("An explanation was not asked for, or the model cannot write one.")
        return
    yield from _written(said)
    if said.claims:
        yield Heading("Measured")
        yield Text(MEASURED)
        headings = ("what", "marked region", "around it", "unit", "the model says", "agree?")
        yield Table(headings, [_claim(each) for each in said.claims[:CLAIMS]], shown=CLAIMS)
    else:
        yield Text("The text names nothing that was measured.")


def _written(said: Explanation) -> Iterator[Element]:
    parts = {**said.model_dump(include={"type", "areas", "content"})}
    parts |= said.inconsistencies.model_dump()
    rows = [(PART_NAMES[name], shortened(text)) for name, text in parts.items() if text is not None]
    if rows:
        yield Table(("", "the model writes"), rows)
    else:
        yield Text(shortened(said.text))
    if not said.complete:
        yield Note("The text was cut short.", "warn")


def _claim(claim: Claim) -> tuple[str | float | None, ...]:
    kind = CUES.get(claim.cue)
    name, unit = CUE_NAMES.get(claim.cue, claim.cue), kind.unit if kind else None
    return shortened(name), claim.inside, claim.outside, unit, shortened(claim.text), _agree(claim)


def _agree(claim: Claim) -> str | None:
    """Whether the words agree with the figures; None where that cannot be told."""
    if claim.cue not in CUES or (said := read_cue(claim.text, claim.cue)) is None:
        return None
    cue, direction = said
    measured = Cue(claim.cue, claim.inside, claim.outside, CUES[claim.cue].unit).direction
    return None if cue != claim.cue else "yes" if direction == measured else "no"
