"""Deliveries: the ways in which a picture reaches the people who ask about it.

Messengers and sites write pictures anew and make them smaller, and people crop them or capture
their screens. Nothing in a delivery is random, so it can be named and made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sida.image.arrays import Pixels
from sida.image.perturbation import Step, apply

__all__ = ["DELIVERIES", "Delivery", "deliver", "shrink"]

_LIMIT = Step("fit", {"long_side": 1600})
"""Messengers hand on nothing larger unless they are asked to."""


@dataclass(frozen=True)
class Delivery:
    """A way in which pictures arrive: its name for people, and the step that it consists of."""

    title: str
    step: Step


DELIVERIES: Mapping[str, Delivery] = {
    "jpeg_85": Delivery("JPEG 85", Step("jpeg", {"quality": 85})),
    "jpeg_70": Delivery("JPEG 70", Step("jpeg", {"quality": 70})),
    "jpeg_50": Delivery("JPEG 50", Step("jpeg", {"quality": 50})),
    "half_size": Delivery("half size", Step("resize", {"scale": 0.5})),
    "cropped": Delivery(
        "cropping", Step("crop", {"left": 0.05, "top": 0.05, "width": 0.9, "height": 0.9})
    ),
    "screenshot": Delivery(
        "a screenshot", Step("screenshot", {"scale": 0.75, "bar": 0.06, "shade": 24})
    ),
}


def shrink(pixels: Pixels) -> Pixels:
    """A picture (height, width, 3) uint8 at the largest size that is handed on: 1600 pixels.

    Every delivery begins so. Where one picture gets several, it is worth doing once.
    """
    return apply(pixels, None, [_LIMIT])[0]


def deliver(pixels: Pixels, name: str) -> Pixels:
    """The picture (height, width, 3) uint8 as that one of `DELIVERIES` brings it."""
    return apply(shrink(pixels), None, [DELIVERIES[name].step])[0]
