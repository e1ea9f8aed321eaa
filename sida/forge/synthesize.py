"""Pictures that are synthetic as a whole: reconstructions of photographs, and pictures to texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from sida.forge.detail import match_detail
from sida.forge.regions import Parameters
from sida.forge.tamper import Codec
from sida.image.arrays import Pixels

__all__ = ["Generator", "Synthetic", "from_text", "prompt_for", "reconstruct"]


@dataclass(frozen=True)
class Synthetic:
    """A synthetic picture, what made it, and how that is told."""

    pixels: Pixels
    operation: str
    parameters: Parameters = field(default_factory=dict)
    content: str | None = None


class Generator(Protocol):
    """Makes a picture to a text that is at least height x width."""

    name: str

    def __call__(self, prompt: str, height: int, width: int, seed: int) -> Pixels: ...


def reconstruct(pixels: Pixels, codec: Codec, detailed: bool = False) -> Synthetic:
    """The whole photograph through an autoencoder; with `detailed`, as `match_detail` leaves it."""
    height, width = pixels.shape[:2]
    decoded = codec.decode(codec.encode(pixels), height, width)
    if detailed:
        decoded = match_detail(decoded, pixels)
    return Synthetic(
        decoded, "reconstruct", {"autoencoder": codec.name, "detailed": detailed},
        "the whole photograph reconstructed by an autoencoder",
    )  # fmt: skip


def from_text(
    generator: Generator, prompt: str, height: int, width: int, rng: np.random.Generator
) -> Synthetic:
    """A picture to a text, height x width: a part of what was generated, at a scale up to 1."""
    # Seed, scale, position: the order of these draws is a contract, as in all of the forge.
    seed = int(rng.integers(2**31))
    generated = generator(prompt, height, width, seed)
    cover = max(height / generated.shape[0], width / generated.shape[1])
    scale = float(rng.uniform(min(1.0, cover), 1)) if cover < 1 else cover
    size = (
        max(width, round(generated.shape[1] * scale)),
        max(height, round(generated.shape[0] * scale)),
    )
    if size != generated.shape[1::-1]:
        generated = np.array(Image.fromarray(generated).resize(size, Image.Resampling.LANCZOS))
    top, left = (
        int(rng.integers(length - side + 1))
        for length, side in zip(generated.shape[:2], (height, width), strict=True)
    )
    part = np.ascontiguousarray(generated[top : top + height, left : left + width])
    parameters: Parameters = {
        "pipeline": generator.name, "prompt": prompt, "seed": seed, "size": list(size),
        "left": left, "top": top,
    }  # fmt: skip
    return Synthetic(
        part, "text_to_image", parameters, "the whole picture made to a text by a diffusion model"
    )


_THINGS = (
    "a dog", "a cat", "two children", "an old man", "a woman", "a bicycle", "a red car", "a boat",
    "a bowl of fruit", "a horse", "a wooden house", "a mountain lake", "a market stall", "a train",
)  # fmt: skip
_SETTINGS = (
    "in a park", "on a street", "by the sea", "in a kitchen", "in the snow", "under a bridge",
    "in a garden", "in front of a church", "in the evening sun", "on a rainy day",
)  # fmt: skip


def prompt_for(caption: str | None, captions: Sequence[str], rng: np.random.Generator) -> str:
    """The photograph's own caption, else one of all captions, else a simple scene."""
    if caption is not None:
        return caption
    if captions:
        return captions[int(rng.integers(len(captions)))]
    thing, setting = (choices[int(rng.integers(len(choices)))] for choices in (_THINGS, _SETTINGS))
    return f"a photograph of {thing} {setting}"
