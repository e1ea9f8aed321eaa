"""Altering a region: splice, copy-move, removal, regeneration by a network.

Every function takes a picture (height, width, 3) uint8, returns `Tampered`, and changes no pixel
outside the returned mask, but for the variants "whole", whose every pixel went through a decoder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from sida.forge.detail import match_detail
from sida.forge.patches import fill_from_patches
from sida.forge.regions import Parameters, TargetRegion
from sida.image.arrays import Mask, Pixels
from sida.image.geometry import bounding_box

__all__ = [
    "Codec",
    "Painter",
    "Tampered",
    "blend",
    "copy_move",
    "draw_codec",
    "inpaint",
    "regenerate",
    "regenerate_filled",
    "remove",
    "splice",
    "splice_moved",
]

Latents = NDArray[np.float32]


@dataclass(frozen=True)
class Tampered:
    """An altered picture.

    Attributes:
        mask: (height, width) bool, what was altered.
        content: what was done, in words.
        unaltered: the picture that the region is to be compared with, if not the photograph: of a
            whole picture out of a decoder, the same without the change.
    """

    pixels: Pixels
    mask: Mask
    operation: str
    parameters: Parameters = field(default_factory=dict)
    content: str | None = None
    unaltered: Pixels | None = None

    def is_visible(self, photograph: Pixels, least: float = 2.0) -> bool:
        """True if the region differs by `least` levels on average; a copied sky does not."""
        if not self.mask.any():
            return False
        before = photograph if self.unaltered is None else self.unaltered
        # In int16, since a negative difference of uint8 wraps around.
        difference = np.abs(self.pixels[self.mask].astype(np.int16) - before[self.mask])
        return float(difference.mean()) >= least


class Codec(Protocol):
    """An autoencoder: a picture to latents (channels, height / factor, width / factor) and back.

    Attributes:
        largest_side: of a picture, in pixels, for which it is quick enough; None for any.
        takes_noise: whether noise in its latents gives something like a picture.
    """

    name: str
    factor: int
    largest_side: int | None
    takes_noise: bool

    def encode(self, pixels: Pixels) -> Latents: ...
    def decode(self, latents: Latents, height: int, width: int) -> Pixels: ...


class Painter(Protocol):
    """Paints the masked part of a picture anew, to a text; all pixels come from its decoder."""

    name: str

    def __call__(self, pixels: Pixels, mask: Mask, prompt: str, seed: int) -> Pixels: ...


def splice(
    pixels: Pixels, region: TargetRegion, donor: Pixels, blending: str, rng: np.random.Generator
) -> Tampered:
    """Put the region of another picture of the same size in its place.

    Args:
        region: of the donor, and of the picture.
        blending: "plain", "alpha" or "poisson".
    """
    matched = blending != "poisson" and rng.random() < 0.5
    if matched:
        donor = _colours_matched(donor, region.mask, pixels)
    parameters: dict[str, JsonValue] = {"blending": blending, "colour_matching": matched}
    if blending == "poisson":
        changed = _poisson(pixels, donor, region.mask)
    else:
        width = round(float(rng.uniform(2, 7)), 1) if blending == "alpha" else 0.0
        parameters["feather"] = width
        changed = blend(pixels, donor, region.mask, width)
    operation = "splice" if blending == "plain" else f"splice_{blending}"
    subject = region.object or "a part"
    return Tampered(
        changed, region.mask, operation, parameters, f"{subject} out of another photograph"
    )


def blend(pixels: Pixels, inserted: Pixels, mask: Mask, feather: float) -> Pixels:
    """`inserted` inside the mask, faded in over `feather` pixels from its border inwards."""
    if not feather:
        return np.where(mask[..., None], inserted, pixels)
    padded = np.pad(mask, 1, mode="edge").astype(np.uint8)  # the picture's border is no seam
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    alpha = (depth / (feather + 1)).clip(0, 1)[..., None]
    mixed = pixels + alpha * (inserted.astype(np.float32) - pixels)
    return np.where(mask[..., None], np.rint(mixed), pixels).astype(np.uint8)


def _poisson(pixels: Pixels, inserted: Pixels, mask: Mask) -> Pixels:
    """Gradients of `inserted`, levels of the picture (Pérez et al., "Poisson image editing")."""
    margin = 4  # OpenCV wants room around the mask
    padded = [
        cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
        for image in (inserted, pixels)
    ]
    levels = np.pad(mask.astype(np.uint8) * 255, margin)
    box = bounding_box(levels > 0)
    assert box is not None
    left, top, right, bottom = box
    centre = (left + (right - left) // 2, top + (bottom - top) // 2)
    cloned = cv2.seamlessClone(padded[0], padded[1], levels, centre, cv2.NORMAL_CLONE)
    inner = cloned[margin:-margin, margin:-margin]
    return np.where(mask[..., None], inner, pixels).astype(np.uint8)


def _colours_matched(donor: Pixels, mask: Mask, pixels: Pixels) -> Pixels:
    """The donor with mean and spread of the target's surroundings in Lab (Reinhard et al. 2001)."""
    source = cv2.cvtColor(donor, cv2.COLOR_RGB2LAB).astype(np.float32)
    target = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    ring = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool) & ~mask
    around = target[ring] if ring.any() else target.reshape(-1, 3)
    inside = source[mask]
    # The ratio is limited: a flat surrounding would wash the donor out.
    ratio = (around.std(axis=0) / (inside.std(axis=0) + 1)).clip(0.7, 1.4)
    moved = (source - inside.mean(axis=0)) * ratio + around.mean(axis=0)
    matched = cv2.cvtColor(np.rint(moved).clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    return np.asarray(matched, np.uint8)


def splice_moved(
    pixels: Pixels, region: TargetRegion, donor: Pixels, rng: np.random.Generator
) -> Tampered:
    """Put the region of another picture of the same size elsewhere: turned, scaled or mirrored."""
    inserted, mask, move = _moved(donor, region.mask, np.zeros_like(region.mask), rng, (0.6, 1.5))
    matched = bool(rng.random() < 0.5)
    if matched and mask.any():
        inserted = _colours_matched(inserted, mask, pixels)
    feather = round(float(rng.uniform(1, 5)), 1) if rng.random() < 0.6 else 0.0
    return Tampered(
        blend(pixels, inserted, mask, feather), mask, "splice_moved",
        {**move, "colour_matching": matched, "feather": feather},
        f"{region.object or 'a part'} out of another photograph",
    )  # fmt: skip


def copy_move(pixels: Pixels, region: TargetRegion, rng: np.random.Generator) -> Tampered:
    """Copy the region to another place, turned, scaled or mirrored; the mask is that place.

    Some copies are retouched, as a person hides them: other levels, or blended by gradients.
    """
    copied, mask, move = _moved(pixels, region.mask, region.mask, rng, (0.7, 1.4))
    feather = round(float(rng.uniform(1, 4)), 1) if rng.random() < 0.5 else 0.0
    retouch = ("none", "levels", "poisson")[int(rng.choice(3, p=(0.6, 0.25, 0.15)))]
    if retouch == "levels":
        gain, offset = rng.uniform(0.85, 1.15), rng.uniform(-12, 12)
        copied = np.rint(copied * gain + offset).clip(0, 255).astype(np.uint8)
    if retouch == "poisson" and mask.any():
        changed = _poisson(pixels, copied, mask)
    else:
        changed = blend(pixels, copied, mask, feather)
    return Tampered(
        changed, mask, "copy_move", {**move, "feather": feather, "retouch": retouch},
        f"{region.object or 'a part'} copied from the same picture",
    )  # fmt: skip


def _moved(
    source: Pixels,
    mask: Mask,
    avoided: Mask,
    rng: np.random.Generator,
    scales: tuple[float, float],
) -> tuple[Pixels, Mask, Parameters]:
    """The source with its region somewhere else, the moved mask, and the move's parameters."""
    angle = round(float(rng.uniform(-30, 30)), 1) if rng.random() < 0.6 else 0.0
    scale = round(float(rng.uniform(*scales)), 3) if rng.random() < 0.6 else 1.0
    mirrored = bool(rng.random() < 0.3)
    if mirrored:
        source, mask = source[:, ::-1], mask[:, ::-1]
    shift, moved = _elsewhere(mask, avoided, angle, scale, rng)
    height, width = mask.shape
    copied = cv2.warpAffine(
        np.ascontiguousarray(source), shift, (width, height),
        flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    parameters: Parameters = {
        "angle": angle, "scale": scale, "mirrored": mirrored,
        "matrix": [round(float(value), 4) for value in shift.ravel()],
    }  # fmt: skip
    return np.asarray(copied, np.uint8), moved, parameters


def _elsewhere(
    mask: Mask, original: Mask, angle: float, scale: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], Mask]:
    """The 2 x 3 matrix of a move, and the moved mask; of some tries the one that overlaps least."""
    height, width = mask.shape
    box = bounding_box(mask)
    assert box is not None
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    turn = np.asarray(cv2.getRotationMatrix2D(centre, angle, scale), float)
    half = np.array([box[2] - box[0], box[3] - box[1]]) * scale / 2
    # Always twelve draws, however good the first is: the draws that follow keep their place.
    best: tuple[float, NDArray[np.float64], Mask] | None = None
    for _ in range(12):
        low = np.minimum(half, (width / 2, height / 2))
        target = rng.uniform(low, np.array([width, height]) - low)
        shift = turn.copy()
        shift[:, 2] += target - centre
        warped = cv2.warpAffine(
            mask.astype(np.uint8), shift, (width, height), flags=cv2.INTER_NEAREST
        )
        moved = np.asarray(warped, bool)
        missing_share = 1 - moved.sum() / max(1, mask.sum() * scale**2)
        cost = float((moved & original).sum() / max(1, original.sum()) + max(0.0, missing_share))
        if best is None or cost < best[0]:
            best = cost, shift, moved
    assert best is not None
    return best[1], best[2]


def remove(pixels: Pixels, region: TargetRegion, method: str, rng: np.random.Generator) -> Tampered:
    """Fill the region; from its border by "telea" (2004) or "ns" (Bertalmio 2001), or "patches"."""
    parameters: dict[str, JsonValue] = {}
    filled: NDArray[Any]
    if method == "patches":
        filled = fill_from_patches(pixels, region.mask, rng)
    else:
        parameters["radius"] = radius = int(rng.integers(2, 8))
        flag = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}[method]
        filled = cv2.inpaint(pixels, region.mask.astype(np.uint8), radius, flag)
    changed = np.where(region.mask[..., None], filled, pixels).astype(np.uint8)
    return Tampered(
        changed, region.mask, f"remove_{method}", parameters,
        f"{region.object or 'a part'} removed and filled",
    )  # fmt: skip


def draw_codec(codecs: Sequence[Codec], side: int, rng: np.random.Generator) -> Codec:
    """A codec, drawn from those quick enough for a picture of that longest side, in pixels."""
    quick = [codec for codec in codecs if side <= (codec.largest_side or side)]
    # Where all are too slow, the one for the largest pictures is the least so.
    quick = quick or [max(codecs, key=lambda codec: codec.largest_side or 0)]
    return quick[int(rng.integers(len(quick)))]


def regenerate(
    pixels: Pixels,
    region: TargetRegion,
    codec: Codec,
    donor: Callable[[], Pixels],
    variant: str,
    rng: np.random.Generator,
    detailed: bool = False,
) -> Tampered:
    """Let an autoencoder make the region anew, after a change of its latents there.

    Args:
        donor: gives another picture of the same size, whose latents may take the region's place.
        variant: "whole", all pixels come from the decoder; "paste", outside the region the
            original ones are put back.
        detailed: whether decoded pictures go through `match_detail`.
    """
    height, width = region.mask.shape

    def decoded(latents: Latents) -> Pixels:
        result = codec.decode(latents, height, width)
        return match_detail(result, pixels) if detailed else result

    latents = codec.encode(pixels)
    # Of a whole decoding without a change no region would differ.
    names = [name for name in _LATENT_CHANGES if name != "noise" or codec.takes_noise]
    if variant == "paste":
        names.insert(0, "none")
    change = names[int(rng.integers(len(names)))]
    if change != "none":
        part = _at_latents(region.mask, latents.shape[1:], codec.factor)
        latents = _LATENT_CHANGES[change](latents, part, lambda: codec.encode(donor()), rng)
    changed, unaltered = decoded(latents), None
    if variant == "paste":
        changed = np.where(region.mask[..., None], changed, pixels)
    else:
        # Compared with its own decoding, else the decoder's traces would count as the change.
        unaltered = decoded(codec.encode(pixels))
    subject = region.object or "a part"
    return Tampered(
        changed, region.mask, f"regenerate_{variant}",
        {"autoencoder": codec.name, "change": change, "detailed": detailed},
        f"{subject} made anew by an autoencoder", unaltered,
    )  # fmt: skip


_FILLINGS = {"patches": 0.45, "telea": 0.15, "photograph": 0.2, "none": 0.2}
"""How often a region is filled in each way before an autoencoder makes it anew."""


def regenerate_filled(
    pixels: Pixels,
    region: TargetRegion,
    codecs: Sequence[Codec],
    donor: Callable[[], Pixels],
    rng: np.random.Generator,
    detailed: bool = False,
) -> Tampered:
    """Fill the region, or leave it as it is, and let an autoencoder make anew what is there then.

    The autoencoder gets the region's box with a margin alone, as a network that paints a part of a
    picture does; so it may be a slow one, and the filling looks as a network would have drawn it.

    Args:
        donor: gives another picture of the same size, which may take the region's place.
        detailed: whether the decoded box goes through `match_detail`.
    """
    mask, growth = region.mask, 0
    if rng.random() < 0.5:  # what removes a thing takes some of its surroundings, too
        growth = int(rng.integers(1, 8))
        square = np.ones((2 * growth + 1, 2 * growth + 1), np.uint8)
        mask = cv2.dilate(mask.astype(np.uint8), square) > 0
    filling = list(_FILLINGS)[int(rng.choice(len(_FILLINGS), p=list(_FILLINGS.values())))]
    filled = pixels
    if filling == "photograph":
        filled = _poisson(pixels, donor(), mask)
    elif filling != "none":
        filled = remove(pixels, replace(region, mask=mask), filling, rng).pixels
    margin = int(rng.integers(8, 41))
    part = _box_around(mask, margin)
    box = np.ascontiguousarray(filled[part])
    codec = draw_codec(codecs, max(box.shape[:2]), rng)
    decoded = codec.decode(codec.encode(box), *box.shape[:2])
    remade = filled.copy()
    remade[part] = match_detail(decoded, box) if detailed else decoded
    feather = round(float(rng.uniform(1, 8)), 1) if rng.random() < 0.35 else 0.0
    covered = {"none": "", "photograph": "covered with another photograph and "}
    history = covered.get(filling, "removed, filled and ")
    return Tampered(
        blend(pixels, remade, mask, feather), mask, "regenerate_filled",
        {"autoencoder": codec.name, "filling": filling, "growth": growth, "margin": margin,
         "detailed": detailed, "feather": feather},
        f"{region.object or 'a part'} {history}made anew by an autoencoder",
    )  # fmt: skip


def _box_around(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the mask's bounding box with a margin, in pixels."""
    box = bounding_box(mask)
    assert box is not None
    left, top, right, bottom = box
    return np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]


def _at_latents(mask: Mask, size: tuple[int, ...], factor: int) -> Mask:
    """The latents of which at least half lies inside the mask; one at least."""
    height, width = size[0] * factor, size[1] * factor
    padded = np.zeros((height, width), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    share = padded.reshape(size[0], factor, size[1], factor).mean(axis=(1, 3))
    return np.asarray(share >= min(0.5, float(share.max())))


_Change = Callable[[Latents, Mask, Callable[[], Latents], np.random.Generator], Latents]


def _noised(
    latents: Latents, part: Mask, donor: Callable[[], Latents], rng: np.random.Generator
) -> Latents:
    """Mixed with noise of the latents' own spread."""
    share = float(rng.uniform(0.35, 0.8))
    spread = latents.std(axis=(1, 2), keepdims=True)
    noise = rng.standard_normal(latents.shape, np.float32) * spread
    noise += latents.mean(axis=(1, 2), keepdims=True)
    return np.where(part, (1 - share) * latents + share * noise, latents).astype(np.float32)


def _swapped(
    latents: Latents, part: Mask, donor: Callable[[], Latents], rng: np.random.Generator
) -> Latents:
    """Those of another picture."""
    return np.where(part, donor(), latents)


def _smoothed(
    latents: Latents, part: Mask, donor: Callable[[], Latents], rng: np.random.Generator
) -> Latents:
    """Filled from the border inwards, as a thing that is taken away."""
    filled, outside = latents.copy(), ~part
    filled[:, part] = latents[:, outside].mean(axis=1, keepdims=True) if outside.any() else 0
    # Jacobi iterations; twice the longer side is enough for the border to reach the middle.
    for _ in range(2 * max(part.shape)):
        wide = np.pad(filled, ((0, 0), (1, 1), (1, 1)), mode="edge")
        near = wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1] + wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2]
        filled = np.where(part, near / 4, latents).astype(np.float32)
    return filled


_LATENT_CHANGES: Mapping[str, _Change] = {
    "noise": _noised,
    "swap": _swapped,
    "smooth": _smoothed,
}


def inpaint(
    pixels: Pixels,
    region: TargetRegion,
    painter: Painter,
    prompt: str,
    variant: str,
    seed: int,
    replacement: str | None = None,
) -> Tampered:
    """Let a diffusion pipeline paint the region to a text; variants as in `regenerate`.

    `replacement` is the word for what shall be there now.
    """
    painted = painter(pixels, region.mask, prompt, seed)
    if variant == "paste":
        painted = np.where(region.mask[..., None], painted, pixels)
    parameters: dict[str, JsonValue] = {"pipeline": painter.name, "prompt": prompt, "seed": seed}
    subject = region.object or "a part"
    if replacement is not None:
        parameters["replacement"] = replacement
        subject = f"{replacement} in the place of {subject}"
    content = f"{subject} painted by a diffusion model"
    return Tampered(painted, region.mask, f"inpaint_{variant}", parameters, content)
