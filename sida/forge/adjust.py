"""Local adjustments: what a retoucher does to a region without replacing it.

Every function takes a picture (height, width, 3) uint8 and changes no pixel outside the region.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.forge.regions import Parameters, TargetRegion
from sida.forge.tamper import Tampered, blend
from sida.image.arrays import Pixels
from sida.image.geometry import bounding_box
from sida.image.perturbation import Step, apply

__all__ = ["ADJUSTMENTS", "adjust"]


def adjust(pixels: Pixels, region: TargetRegion, name: str, rng: np.random.Generator) -> Tampered:
    """Adjust the region; `name` is one of `ADJUSTMENTS`."""
    box = bounding_box(region.mask)
    assert box is not None, "an empty region has nothing to adjust"
    left, top, right, bottom = (int(value) for value in box)
    margin = 16  # filters look around the region
    part = np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    result, parameters = ADJUSTMENTS[name](np.ascontiguousarray(pixels[part]), rng)
    # Rounded before it is used: the manifest notes exactly that value.
    feather = round(float(rng.uniform(1, 8)), 1) if rng.random() < 0.5 else 0.0
    changed = pixels.copy()
    changed[part] = blend(pixels[part], np.asarray(result, np.uint8), region.mask[part], feather)
    subject = region.object or "a part"
    return Tampered(
        changed,
        region.mask,
        name,
        {**parameters, "feather": feather},
        f"{subject} {_PHRASES[name]}",
    )


def _blur(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[Any], Parameters]:
    """Gaussian, or as of a moving hand."""
    if rng.random() < 0.7:
        sigma = round(float(rng.uniform(1.2, 5)), 2)
        return cv2.GaussianBlur(pixels, (0, 0), sigma), {"blur": "gaussian", "sigma": sigma}
    length, angle = int(rng.integers(5, 16)) | 1, float(rng.uniform(0, 180))
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), angle, 1)
    kernel = cv2.warpAffine(line, turn, (length, length))
    result = cv2.filter2D(pixels, -1, kernel / kernel.sum())
    return result, {"blur": "motion", "length": length, "angle": round(angle, 1)}


def _sharpen(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[Any], Parameters]:
    """Unsharp masking."""
    sigma, amount = round(float(rng.uniform(0.8, 2.5)), 2), round(float(rng.uniform(1, 3)), 2)
    soft = cv2.GaussianBlur(pixels, (0, 0), sigma)
    result = cv2.addWeighted(pixels, 1 + amount, soft, -amount, 0)
    return result, {"sigma": sigma, "amount": amount}


def _denoise(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[Any], Parameters]:
    """Median or bilateral filter, as skin is smoothed."""
    if rng.random() < 0.4:
        size = int(rng.choice((5, 7)))
        return cv2.medianBlur(pixels, size), {"filter": "median", "size": size}
    strength = round(float(rng.uniform(25, 70)), 1)
    result = cv2.bilateralFilter(pixels, 9, strength, 5)
    return result, {"filter": "bilateral", "strength": strength}


def _noise(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[Any], Parameters]:
    """Gaussian grain."""
    sigma = round(float(rng.uniform(4, 14)), 2)
    grain = rng.standard_normal(pixels.shape, np.float32) * np.float32(sigma)
    return np.rint(pixels + grain).clip(0, 255).astype(np.uint8), {"sigma": sigma}


def _recolour(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[Any], Parameters]:
    """Another hue and saturation, or all of it tinted."""
    if rng.random() < 0.6:
        hue, factor = int(rng.integers(15, 166)), round(float(rng.uniform(0.7, 1.6)), 2)
        levels = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.float32)
        levels[..., 0] = (levels[..., 0] + hue) % 180
        levels[..., 1] = (levels[..., 1] * factor).clip(0, 255)
        result = cv2.cvtColor(np.rint(levels).astype(np.uint8), cv2.COLOR_HSV2RGB)
        return result, {"hue": hue, "saturation": factor}
    # In Lab a and b carry the tint, so lightness stays.
    shift = rng.choice((-1, 1), 2) * rng.uniform(10, 45, 2)
    levels = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    levels[..., 1:] += shift
    result = cv2.cvtColor(np.rint(levels).clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    return result, {"tint": [round(float(value), 1) for value in shift]}


def _relight(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[Any], Parameters]:
    """Brighter or darker, towards one side more than towards the other."""
    angle = float(rng.uniform(0, 2 * np.pi))
    weak, strong = sorted(rng.uniform(0.1, 0.6, 2))
    sign = float(rng.choice((-1, 1)))
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    # 2.83 is the diagonal of the square from -1 to 1: the share runs from 0 to 1.
    share = (x * np.cos(angle) + y * np.sin(angle)) / 2.83 + 0.5
    exponent = -sign * (weak + share * (strong - weak)) * 2
    result = 255 * (pixels / 255.0) ** np.exp(exponent)[..., None]
    parameters = {"angle": round(angle, 2), "sign": sign, "weak": round(weak, 2)}
    return np.rint(result).astype(np.uint8), {**parameters, "strong": round(strong, 2)}


def _recompress(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[Any], Parameters]:
    """The same content with another history: coded more strongly, or at another size and back."""
    steps = [Step("jpeg", {"quality": int(rng.integers(20, 65)), "subsampling": "4:2:0"})]
    if rng.random() < 0.2:
        steps = [Step("webp", {"quality": int(rng.integers(10, 50))})]
    elif rng.random() < 0.3:
        steps = [Step("resize", {"scale": round(float(rng.uniform(0.35, 0.7)), 3)}), *steps]
    result: NDArray[Any] = apply(pixels, None, steps)[0]
    if result.shape != pixels.shape:
        result = cv2.resize(result, pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return result, {"steps": [str(step) for step in steps]}


ADJUSTMENTS: Mapping[
    str, Callable[[Pixels, np.random.Generator], tuple[NDArray[Any], Parameters]]
] = {
    "blur": _blur,
    "sharpen": _sharpen,
    "denoise": _denoise,
    "noise": _noise,
    "recolour": _recolour,
    "relight": _relight,
    "recompress": _recompress,
}

_PHRASES = {
    "blur": "blurred",
    "sharpen": "sharpened",
    "denoise": "smoothed",
    "noise": "made grainy",
    "recolour": "given another colour",
    "relight": "lit in another way",
    "recompress": "with another compression history",
}
