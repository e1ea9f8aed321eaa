"""The way of a picture to its reader, the same for an altered one and its original."""

from collections.abc import Sequence

import numpy as np

from sida.image.arrays import Mask, Pixels
from sida.image.perturbation import FILTERS, Step, apply

__all__ = ["redeliver_pair", "redelivery_steps"]


def redeliver_pair(
    altered: Pixels,
    original: Pixels,
    mask: Mask,
    rng: np.random.Generator,
    sides: tuple[int, int] = (128, 1024),
) -> tuple[Pixels, Pixels, Mask]:
    """Both pictures after the same random steps, and the mask in their pixels.

    Args:
        sides: shortest and longest side that a change of size may lead to, pixels.
    """
    # Drawn once for both: the pair must differ in the alteration alone.
    steps = redelivery_steps(altered.shape[:2], rng, sides)
    altered, moved = apply(altered, mask, steps)
    original, _ = apply(original, None, steps)
    assert moved is not None
    return altered, original, moved


def redelivery_steps(
    size: tuple[int, ...], rng: np.random.Generator, sides: tuple[int, int] = (128, 1024)
) -> Sequence[Step]:
    """Up to three codings of a picture of (height, width), and what happens before each of them.

    One in ten pictures is delivered as it was made, nearly as many without any coding. Crops leave
    the grid of blocks that earlier codings have made.
    """
    if rng.random() < 0.1:
        return ()
    steps: list[Step] = []
    codings = int(rng.choice(4, p=(0.1, 0.5, 0.27, 0.13)))
    resized = int(rng.integers(max(1, codings))) if rng.random() < 0.5 else None
    for number in range(max(1, codings)):
        if number == resized:
            steps.append(_resize(size, rng, sides))
        if rng.random() < 0.2:
            steps.append(_filter(rng))
        if rng.random() < (0.15 if number == 0 else 0.5):
            steps.append(_crop(rng))
        if codings:
            steps.append(_coding(rng))
    if rng.random() < 0.25:
        steps.append(_crop(rng))
    return steps


def _resize(size: tuple[int, ...], rng: np.random.Generator, sides: tuple[int, int]) -> Step:
    """To half up to twice the size, within the sides that are allowed."""
    low = min(1.0, max(0.5, sides[0] / min(size)))
    high = max(1.0, min(2.0, sides[1] / max(size)))
    scale = round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 3)
    return Step("resize", {"scale": scale, "filter": list(FILTERS)[int(rng.integers(3))]})


def _crop(rng: np.random.Generator) -> Step:
    """A few percent off each side, so that blocks start anywhere."""
    left, top, right, bottom = rng.uniform(0, 0.06, 4)
    return Step(
        "crop",
        {
            "left": round(float(left), 4), "top": round(float(top), 4),
            "width": round(float(1 - left - right), 4), "height": round(float(1 - top - bottom), 4),
        },
    )  # fmt: skip


def _filter(rng: np.random.Generator) -> Step:
    name = ("blur", "sharpen", "colour", "noise")[int(rng.integers(4))]
    if name == "blur":
        return Step(name, {"sigma": round(float(rng.uniform(0.3, 0.9)), 2)})
    if name == "sharpen":
        return Step(name, {"percent": int(rng.integers(20, 90))})
    if name == "noise":
        sigma = round(float(rng.uniform(0.5, 4)), 2)
        return Step(name, {"sigma": sigma, "seed": int(rng.integers(2**31))})
    # Not contrast: it turns on the mean of the whole picture, which the alteration has changed.
    factors = ("brightness", "saturation")
    return Step(name, {factor: round(float(rng.uniform(0.85, 1.15)), 3) for factor in factors})


def _coding(rng: np.random.Generator) -> Step:
    """JPEG of quality 50 to 98, mostly high; one in eight as WebP."""
    if rng.random() < 0.12:
        return Step("webp", {"quality": int(rng.integers(55, 96))})
    quality = int(98 - 48 * rng.beta(1.2, 2.2))
    subsampling = ("4:2:0", "4:4:4")[int(rng.random() < 0.3)]
    return Step("jpeg", {"quality": quality, "subsampling": subsampling})
