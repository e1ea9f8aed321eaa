"""Perturbations: what platforms do to pictures, done to picture and mask together.

A `Step` says completely what is done (a step with chance in it holds its seed), so a list of steps
can be written down, and `apply` gives the same picture again. `random_chain` is for training,
`platform_chain` imitates a kind of platform, `perturb` is a named point of the robustness grid.

Pictures are (height, width, 3) uint8 RGB; masks (height, width) bool or uint8 in the same pixels,
or None. Masks follow every change of geometry by nearest neighbour and no other.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from sida.errors import ConfigError
from sida.formats import FORMATS
from sida.image.arrays import Pixels

__all__ = [
    "PERTURBATIONS",
    "PLATFORMS",
    "Platform",
    "Step",
    "apply",
    "encode",
    "perturb",
    "platform_chain",
    "random_chain",
    "random_steps",
]

MaskLevels = NDArray[Any]
"""(height, width), of any dtype: what happens to a picture happens to it."""

PictureAndMask = tuple[Pixels, MaskLevels | None]

_LONGEST = {format.name: format.longest_side for format in FORMATS if format.longest_side}
"""Sides that the formats can hold; a longer picture is made smaller first, as platforms do."""


@dataclass(frozen=True)
class Step:
    """Step of a perturbation: a name of `STEPS`, and all parameters that decide its outcome."""

    name: str
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.name}({arguments})"


def apply(pixels: Pixels, mask: MaskLevels | None, steps: Sequence[Step]) -> PictureAndMask:
    """Picture and mask after all steps; what was given stays as it was.

    Raises ConfigError for a step of an unknown name.
    """
    for step in steps:
        if step.name not in STEPS:
            raise ConfigError(
                f"there is no post-processing step {step.name!r}: expected one of "
                f"{', '.join(STEPS)}"
            )
        pixels, mask = STEPS[step.name](pixels, mask, **step.parameters)
    return pixels, mask


def _resize(
    pixels: Pixels, mask: MaskLevels | None, scale: float, filter: str = "lanczos"
) -> PictureAndMask:
    """Both sides times `scale`, at least one pixel each; `filter` of `FILTERS`."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return _to_size(pixels, mask, width, height, filter)


def _fit(
    pixels: Pixels, mask: MaskLevels | None, long_side: int, filter: str = "lanczos"
) -> PictureAndMask:
    """Made smaller until the longer side is at most `long_side`; smaller pictures stay."""
    scale = long_side / max(pixels.shape[:2])
    return _resize(pixels, mask, scale, filter) if scale < 1 else (pixels, mask)


FILTERS: Mapping[str, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def _to_size(
    pixels: Pixels, mask: MaskLevels | None, width: int, height: int, filter: str
) -> PictureAndMask:
    resized = np.array(Image.fromarray(pixels).resize((width, height), FILTERS[filter]))
    return resized, None if mask is None else _nearest(mask, width, height)


def _nearest(mask: MaskLevels, width: int, height: int) -> MaskLevels:
    """Each new pixel takes the old one under its middle."""
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(np.intp)
    resized: MaskLevels = mask[rows[:, None], columns]
    return resized


def _crop(
    pixels: Pixels, mask: MaskLevels | None, left: float, top: float, width: float, height: float
) -> PictureAndMask:
    """A part, given in fractions of the picture; at least one pixel."""
    (y0, y1), (x0, x1) = (
        _stretch(start, length, side)
        for start, length, side in zip((top, left), (height, width), pixels.shape[:2], strict=True)
    )
    part = np.s_[y0:y1, x0:x1]
    return np.ascontiguousarray(pixels[part]), None if mask is None else mask[part].copy()


def _stretch(start: float, length: float, side: int) -> tuple[int, int]:
    first = min(side - 1, max(0, round(start * side)))
    return first, min(side, max(first + 1, round((start + length) * side)))


def _jpeg(
    pixels: Pixels, mask: MaskLevels | None, quality: int, subsampling: str = "4:2:0"
) -> PictureAndMask:
    """Written as JPEG and read again."""
    return _recoded(pixels, mask, "JPEG", quality=quality, subsampling=subsampling)


def _webp(pixels: Pixels, mask: MaskLevels | None, quality: int) -> PictureAndMask:
    """Written as lossy WebP and read again."""
    return _recoded(pixels, mask, "WEBP", quality=quality)


def _recoded(
    pixels: Pixels, mask: MaskLevels | None, format: str, **options: object
) -> PictureAndMask:
    pixels, mask = _fit(pixels, mask, _LONGEST[format])
    with Image.open(io.BytesIO(encode(pixels, format, **options))) as image:
        return np.array(image.convert("RGB")), mask


def encode(pixels: Pixels, format: str, **options: object) -> bytes:
    """The bytes of a picture in a format of Pillow's; the same pixels give the same bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def _noise(pixels: Pixels, mask: MaskLevels | None, sigma: float, seed: int) -> PictureAndMask:
    """Gaussian noise of standard deviation `sigma` levels, each channel for itself."""
    noise = np.random.default_rng(seed).standard_normal(pixels.shape, np.float32)
    noise *= np.float32(sigma)
    noise += pixels
    return np.rint(noise, out=noise).clip(0, 255).astype(np.uint8), mask


def _blur(pixels: Pixels, mask: MaskLevels | None, sigma: float) -> PictureAndMask:
    """Gaussian blur of `sigma` pixels."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma))), mask


def _sharpen(pixels: Pixels, mask: MaskLevels | None, percent: int) -> PictureAndMask:
    """Unsharp masking of radius one pixel, as after making a picture smaller."""
    sharp = Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(1, percent, 2))
    return np.array(sharp), mask


def _colour(
    pixels: Pixels,
    mask: MaskLevels | None,
    brightness: float = 1,
    contrast: float = 1,
    saturation: float = 1,
) -> PictureAndMask:
    """Factors; 1 leaves as it is."""
    image = ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(brightness)
    image = ImageEnhance.Contrast(image).enhance(contrast)
    return np.array(ImageEnhance.Color(image).enhance(saturation)), mask


def _screenshot(
    pixels: Pixels, mask: MaskLevels | None, scale: float, bar: float, shade: int
) -> PictureAndMask:
    """Shown at another scale and captured, with plain bars of `shade` above and below.

    `bar` is the height of each bar as a fraction of the picture's; 0 captures the picture alone.
    """
    pixels, mask = _resize(pixels, mask, scale, "bilinear")
    rows = round(bar * pixels.shape[0])
    framed = np.pad(pixels, ((rows, rows), (0, 0), (0, 0)), constant_values=shade)
    return framed, None if mask is None else np.pad(mask, ((rows, rows), (0, 0)))


STEPS: Mapping[str, Callable[..., PictureAndMask]] = {
    "resize": _resize,
    "fit": _fit,
    "crop": _crop,
    "jpeg": _jpeg,
    "webp": _webp,
    "noise": _noise,
    "blur": _blur,
    "sharpen": _sharpen,
    "colour": _colour,
    "screenshot": _screenshot,
}


@dataclass(frozen=True)
class Platform:
    """Treatment of uploads by a sort of platform, approximate: platforms do not publish theirs.

    Attributes:
        long_side: larger pictures are made smaller to this, in pixels.
        format: "JPEG" or "WEBP".
        quality: lowest and highest, of the format's own scale.
        subsampling: of a JPEG.
        sharpen: percent of unsharp masking after making smaller.
    """

    long_side: int
    format: str
    quality: tuple[int, int]
    subsampling: str = "4:2:0"
    sharpen: int = 0


PLATFORMS: Mapping[str, Platform] = {
    "messenger": Platform(1600, "JPEG", (68, 80)),
    "messenger_small": Platform(1280, "JPEG", (55, 72)),
    "photo_network": Platform(1440, "JPEG", (72, 88), sharpen=40),
    "social_network": Platform(2048, "JPEG", (70, 86), sharpen=25),
    "microblog": Platform(4096, "JPEG", (82, 90)),
    "image_host": Platform(5000, "JPEG", (85, 95), subsampling="4:4:4"),
    "web_shop": Platform(1600, "WEBP", (70, 85)),
    "news_site": Platform(1200, "WEBP", (60, 80)),
}


def platform_chain(name: str, seed: int) -> tuple[Step, ...]:
    """The steps of an upload to a kind of platform, its quality drawn by the seed."""
    if name not in PLATFORMS:
        raise ConfigError(f"there is no platform {name!r}: expected one of {', '.join(PLATFORMS)}")
    platform, rng = PLATFORMS[name], np.random.default_rng(seed)
    steps = [Step("fit", {"long_side": platform.long_side})]
    if platform.sharpen:
        steps.append(Step("sharpen", {"percent": platform.sharpen}))
    quality = int(rng.integers(platform.quality[0], platform.quality[1] + 1))
    if platform.format == "WEBP":
        return (*steps, Step("webp", {"quality": quality}))
    coding: dict[str, float | str] = {"quality": quality, "subsampling": platform.subsampling}
    return (*steps, Step("jpeg", coding))


def random_chain(
    pixels: Pixels, mask: MaskLevels | None, rng: np.random.Generator
) -> PictureAndMask:
    """Picture and mask after one to about five random steps; nothing is cut off."""
    return apply(pixels, mask, random_steps(rng))


def random_steps(rng: np.random.Generator) -> tuple[Step, ...]:
    """A plausible history: an upload or two, a screenshot, or an edit and one more saving."""
    draw = rng.random()
    if draw < 0.4:
        return tuple(step for _ in range(1 + int(rng.random() < 0.3)) for step in _upload(rng))
    if draw < 0.5:
        return (_some_screenshot(rng), *_upload(rng))
    changed = [make(rng) for make, share in _CHANGES if rng.random() < share]
    return (*changed, _some_coding(rng))


def _upload(rng: np.random.Generator) -> tuple[Step, ...]:
    """Steps of a platform; half of the time the picture is sent smaller than it would take."""
    name = list(PLATFORMS)[int(rng.integers(len(PLATFORMS)))]
    smaller = [_some_resize(rng)] if rng.random() < 0.5 else []
    return (*smaller, *platform_chain(name, int(rng.integers(2**31))))


def _some_resize(rng: np.random.Generator) -> Step:
    scale = round(float(np.exp(rng.uniform(np.log(0.5), np.log(1.25)))), 3)
    return Step("resize", {"scale": scale, "filter": list(FILTERS)[int(rng.integers(3))]})


def _some_screenshot(rng: np.random.Generator) -> Step:
    bar = round(float(rng.uniform(0.02, 0.12)), 3) if rng.random() < 0.4 else 0.0
    shade = int(rng.choice((0, 24, 245, 255)))
    scale = round(float(rng.uniform(0.6, 1.3)), 3)
    return Step("screenshot", {"scale": scale, "bar": bar, "shade": shade})


def _some_noise(rng: np.random.Generator) -> Step:
    sigma = round(float(rng.uniform(0.5, 5)), 2)
    return Step("noise", {"sigma": sigma, "seed": int(rng.integers(2**31))})


def _some_blur(rng: np.random.Generator) -> Step:
    return Step("blur", {"sigma": round(float(rng.uniform(0.3, 1.2)), 2)})


def _some_colour(rng: np.random.Generator) -> Step:
    names = ("brightness", "contrast", "saturation")
    return Step("colour", {name: round(float(rng.uniform(0.85, 1.15)), 3) for name in names})


def _some_coding(rng: np.random.Generator) -> Step:
    if rng.random() < 0.2:
        return Step("webp", {"quality": int(rng.integers(60, 96))})
    subsampling = ("4:2:0", "4:4:4")[int(rng.random() < 0.3)]
    return Step("jpeg", {"quality": int(rng.integers(60, 97)), "subsampling": subsampling})


_CHANGES: Sequence[tuple[Callable[[np.random.Generator], Step], float]] = (
    (_some_resize, 0.5),
    (_some_blur, 0.15),
    (_some_colour, 0.3),
    (_some_noise, 0.2),
)

PERTURBATIONS = (
    "jpeg_70", "jpeg_80", "resize_0.5", "resize_0.75", "noise_5", "noise_10",
    "jpeg_50", "jpeg_90", "webp_50", "webp_80", "resize_0.25", "resize_1.5", "noise_25",
    "blur_1", "blur_2", "crop_0.5", "crop_0.75", "double_jpeg_70", "brightness_0.8",
    "brightness_1.2", "contrast_0.8", "contrast_1.2", "saturation_0.5", "screenshot",
    *PLATFORMS,
)  # fmt: skip
"""The robustness grid. The first six are the published ones; others with another number work as
well, such as `jpeg_35`."""


def perturb(name: str, pixels: Pixels, mask: MaskLevels | None, seed: int) -> PictureAndMask:
    """Picture and mask after one named perturbation.

    Args:
        name: `jpeg_Q` and `webp_Q` (quality), `double_jpeg_Q` (Q, then 90 off the first one's
            block grid), `resize_F` and `crop_F` (factor of both sides), `noise_V` (variance in
            squared levels, as in the published grid), `blur_S` (pixels), `brightness_F`,
            `contrast_F`, `saturation_F`, `screenshot`, or a name of `PLATFORMS`.
        seed: decides noise, the place of a crop, and a platform's quality.

    Raises:
        ConfigError: an unknown name, or a number that is none.
    """
    return apply(pixels, mask, _named_steps(name, seed))


def _named_steps(name: str, seed: int) -> tuple[Step, ...]:
    if name in PLATFORMS:
        return platform_chain(name, seed)
    rng = np.random.default_rng(seed)
    if name == "screenshot":
        return (_some_screenshot(rng),)
    operation, _, number = name.rpartition("_")
    try:
        (low, high), steps = _GRID[operation]
        if not low <= (value := float(number)) <= high:
            raise ValueError
    except (KeyError, ValueError):
        raise ConfigError(
            f"there is no perturbation {name!r}: expected one such as {', '.join(PERTURBATIONS)}"
        ) from None
    return steps(value, rng)


def _crop_of(factor: float, rng: np.random.Generator) -> tuple[Step, ...]:
    left, top = (round(float(rng.uniform(0, 1 - factor)), 4) for _ in range(2))
    return (Step("crop", {"left": left, "top": top, "width": factor, "height": factor}),)


def _twice(quality: float, rng: np.random.Generator) -> tuple[Step, ...]:
    shifted = Step("crop", {"left": 0.02, "top": 0.02, "width": 0.98, "height": 0.98})
    return Step("jpeg", {"quality": int(quality)}), shifted, Step("jpeg", {"quality": 90})


def _noise_of(variance: float, rng: np.random.Generator) -> tuple[Step, ...]:
    return (Step("noise", {"sigma": variance**0.5, "seed": int(rng.integers(2**31))}),)


def _colour_by(name: str) -> "_Make":
    return lambda factor, rng: (Step("colour", {name: factor}),)


_Make = Callable[[float, np.random.Generator], tuple[Step, ...]]
_GRID: Mapping[str, tuple[tuple[float, float], _Make]] = {
    "jpeg": ((1, 100), lambda n, rng: (Step("jpeg", {"quality": int(n)}),)),
    "webp": ((0, 100), lambda n, rng: (Step("webp", {"quality": int(n)}),)),
    "double_jpeg": ((1, 100), _twice),
    "resize": ((0.01, 8), lambda n, rng: (Step("resize", {"scale": n}),)),
    "crop": ((0.01, 1), _crop_of),
    "noise": ((0, 65_025), _noise_of),
    "blur": ((0, 100), lambda n, rng: (Step("blur", {"sigma": n}),)),
    "brightness": ((0, 10), _colour_by("brightness")),
    "contrast": ((0, 10), _colour_by("contrast")),
    "saturation": ((0, 10), _colour_by("saturation")),
}
"""Range of the number, and what makes the steps of it."""
