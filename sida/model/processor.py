"""`SidaProcessor`: pictures in, padded windows and their frames out; prompts as ids."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from transformers import AutoConfig

from sida.model.config import SidaConfig
from sida.model.encoders import parts
from sida.model.frame import Frame
from sida.model.inputs import Inputs, Windows
from sida.model.tokenizer import Tokenizer
from sida.model.views import View

__all__ = ["HasPixels", "PreparedImage", "SidaProcessor"]


class HasPixels(Protocol):
    """Anything with decoded pixels, such as `sida.image.Picture`."""

    @property
    def pixels(self) -> np.ndarray: ...


class PreparedImage(NamedTuple):
    """A picture cut into windows beforehand; it stands for the picture wherever one is taken.

    Attributes:
        pixels: of the picture, (height, width, 3) uint8.
        vision: its windows for the class.
        mask: its windows for masks; None where they are cut when they are wanted.
    """

    pixels: np.ndarray
    vision: list[View]
    mask: list[View] | None


class SidaProcessor:
    """Everything between a decoded picture and the tensors of the network.

    Args:
        config: decides how pictures are cut into windows.
        tokenizer: the model's own.
    """

    def __init__(self, config: SidaConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.views = parts(config).views(config)

    def __call__(
        self, pictures: Sequence[HasPixels | np.ndarray], masks: bool = True
    ) -> tuple[Inputs, list[Frame]]:
        """Windows of pictures, padded to one size, and the frames that masks are restored by.

        Args:
            pictures: decoded pictures, or arrays (height, width, 3) uint8.
            masks: whether pixels for masks are prepared, where the class does not need them; frames
                are given in any case.
        """
        prepared = [self.preprocess(picture) for picture in pictures]
        vision, windows = _collate([each.vision for each in prepared])
        masks = masks or self.views.always_masks
        inputs = Inputs(vision, self.mask_windows(prepared) if masks else None)
        frames = []
        for each, own in zip(prepared, windows, strict=True):
            height, width = each.pixels.shape[:2]
            mask_windows = self.views.mask_window(height, width)
            frames.append(
                Frame(height, width, tuple(own if mask_windows is None else mask_windows))
            )
        if inputs.mask is not None:
            canvas = (inputs.mask.pixels.shape[-2], inputs.mask.pixels.shape[-1])
            frames = [frame.on_canvas(canvas) for frame in frames]
        return inputs, frames

    def preprocess(self, picture: HasPixels | np.ndarray, masks: bool = False) -> PreparedImage:
        """Cut a picture into windows, as a thread can do while others are judged."""
        if isinstance(picture, PreparedImage):
            return picture
        pixels = picture if isinstance(picture, np.ndarray) else picture.pixels
        masks = masks or self.views.always_masks
        return PreparedImage(
            pixels, self.views.vision(pixels), self.views.mask(pixels) if masks else None
        )

    def mask_windows(self, pictures: Sequence[HasPixels | np.ndarray]) -> Windows | None:
        """Pixels for masks alone; None where masks are made from the pixels of `vision`."""
        views = [self._mask_views(picture) for picture in pictures]
        kept = [view for view in views if view is not None]
        return _collate(kept)[0] if kept else None

    def _mask_views(self, picture: HasPixels | np.ndarray) -> list[View] | None:
        if isinstance(picture, PreparedImage) and picture.mask is not None:
            return picture.mask
        return self.views.mask(picture if isinstance(picture, np.ndarray) else picture.pixels)

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write what `from_pretrained` reads; the configuration of a model there is left alone."""
        if not (Path(folder) / "config.json").exists():
            self.config.save_pretrained(folder)
        self.tokenizer.save(Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> "SidaProcessor":
        """Read a folder of ours; `AutoProcessor` comes here as well."""
        return cls(AutoConfig.from_pretrained(folder), Tokenizer.load(Path(folder)))


def _collate(pictures: Sequence[Sequence[View]]) -> tuple[Windows, list[list[Any]]]:
    """Pad the windows of several pictures to one canvas; the windows say which."""
    views = [view for picture in pictures for view in picture]
    height = max(view.window.canvas[0] for view in views)
    width = max(view.window.canvas[1] for view in views)
    pixels = torch.zeros(len(views), 3, height, width)
    for row, view in zip(pixels, views, strict=True):
        row[:, : view.pixels.shape[1], : view.pixels.shape[2]] = torch.from_numpy(view.pixels)
    valid = torch.tensor([view.window.size for view in views])
    owner = torch.tensor([i for i, picture in enumerate(pictures) for _ in picture])
    windows = [
        [dataclasses.replace(view.window, canvas=(height, width)) for view in picture]
        for picture in pictures
    ]
    return Windows(pixels, valid, owner), windows
