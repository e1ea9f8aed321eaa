"""Inserting what no camera saw: words in the place of others, and stickers.

Every function takes a picture (height, width, 3) uint8 and changes no pixel outside the mask.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.forge.lettering import draw_words, random_words
from sida.forge.regions import TargetRegion
from sida.forge.tamper import Tampered
from sida.image.arrays import Pixels
from sida.image.geometry import bounding_box

__all__ = ["replace_text", "stick"]


def replace_text(pixels: Pixels, region: TargetRegion, rng: np.random.Generator) -> Tampered:
    """Wipe the region's box and write words on it, as figures on a document are changed.

    The ground is filled from the border or is of one colour, so all of the box is altered; words
    laid over an untouched ground are an ordinary caption, see `decorate`.
    """
    box = bounding_box(region.mask)
    assert box is not None, "an empty region has no room for words"
    left, top, right, bottom = box
    mask = np.zeros(region.mask.shape, bool)
    part = np.s_[top:bottom, left:right]
    mask[part] = True
    plain = bool(rng.random() < 0.4)
    if plain:
        around = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~mask
        source = pixels[around] if around.any() else pixels.reshape(-1, 3)
        ground = np.broadcast_to(np.median(source, axis=0), (bottom - top, right - left, 3))
        ground = ground + rng.normal(0, rng.uniform(0, 4), ground.shape)
    else:
        ground = cv2.inpaint(pixels, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)[part]
    text = random_words(rng)
    ink = draw_words(text, (bottom - top, right - left), rng)[..., None]
    # Mostly ink that contrasts with its ground, as on documents.
    dark = ground.mean() > 128
    colour = rng.uniform(0, 70, 3) if dark else rng.uniform(185, 255, 3)
    if rng.random() < 0.25:
        colour = rng.uniform(0, 255, 3)
    changed = pixels.copy()
    changed[part] = np.rint(ground + ink * (colour - ground)).clip(0, 255).astype(np.uint8)
    parameters = {"text": text, "ground": "plain" if plain else "filled"}
    return Tampered(changed, mask, "replace_text", parameters, "words written over a part")


def stick(
    pixels: Pixels, region: TargetRegion, donor: Pixels, rng: np.random.Generator
) -> Tampered:
    """Lay an opaque sticker on the region: a cut-out of a donor of the same size, or a drawing."""
    edge = int(rng.integers(0, 5))
    cut_out = bool(rng.random() < 0.5)
    mask = region.mask
    if cut_out:
        ink = donor
    else:
        ink = np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), pixels.shape).copy()
        _draw_face(ink, mask, rng)
    inner = mask
    if edge:
        size = 2 * edge + 1
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        inner = cv2.erode(mask.astype(np.uint8), ellipse).astype(bool)
    # The rim is drawn even without an edge: later draws stay in step.
    rim = rng.choice(np.array([[255, 255, 255], [0, 0, 0]], np.uint8))
    changed = np.where(mask[..., None], rim, pixels)
    changed = np.where(inner[..., None], ink, changed).astype(np.uint8)
    parameters = {"sticker": "cut_out" if cut_out else "drawing", "edge": edge}
    return Tampered(changed, mask, "sticker", parameters, "a sticker laid over a part")


def _draw_face(ink: Pixels, mask: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Two eyes and a mouth in the mask's box, in place."""
    box = bounding_box(mask)
    assert box is not None, "an empty region has no room for a sticker"
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    radius = max(1, round(min(width, height) * float(rng.uniform(0.06, 0.12))))
    for share in (0.33, 0.67):
        eye = (left + round(width * share), top + round(height * 0.4))
        cv2.circle(ink, eye, radius, colour, -1, cv2.LINE_AA)
    centre = (left + width // 2, top + round(height * 0.6))
    axes = (max(1, width // 4), max(1, round(height * float(rng.uniform(0.08, 0.2)))))
    cv2.ellipse(ink, centre, axes, 0, 0, 180, colour, max(1, radius // 2), cv2.LINE_AA)
