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
from sida.model.frame import Frame, Window
from sida.model.image_processors import ClipWindowsImageProcessor, PreparedWindow
from sida.model.inputs import Inputs, Windows
from sida.model.tokenizer import Tokenizer

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
    vision: list[PreparedWindow]
    mask: list[PreparedWindow] | None


class SidaProcessor:
    """Everything between a decoded picture and the tensors of the network.

    Args:
        config: decides how pictures are cut into windows.
        tokenizer: the model's own.
    """

    def __init__(self, config: SidaConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.image_processor = parts(config).image_processor(config)

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
        vision, windows = _collate([image.vision for image in prepared])
        masks = masks or self.image_processor.always_masks
        inputs = Inputs(vision, self.mask_windows(prepared) if masks else None)
        frames = []
        for image, vision_windows in zip(prepared, windows, strict=True):
            height, width = image.pixels.shape[:2]
            mask_windows = self.image_processor.mask_window(height, width)
            if mask_windows is None:
                mask_windows = vision_windows
            frames.append(Frame(height, width, tuple(mask_windows)))
        # Masks come on the canvas of the batch, which may be larger than a picture's own.
        if inputs.mask is not None:
            canvas = (inputs.mask.pixels.shape[-2], inputs.mask.pixels.shape[-1])
            frames = [frame.on_canvas(canvas) for frame in frames]
        return inputs, frames

    def preprocess(self, picture: HasPixels | np.ndarray, masks: bool = False) -> PreparedImage:
        """Cut a picture into windows, as a thread can do while others are in the network."""
        if isinstance(picture, PreparedImage):
            return picture
        pixels = _pixels(picture)
        masks = masks or self.image_processor.always_masks
        return PreparedImage(
            pixels,
            self.image_processor.vision(pixels),
            self.image_processor.mask(pixels) if masks else None,
        )

    def mask_windows(self, pictures: Sequence[HasPixels | np.ndarray]) -> Windows | None:
        """Pixels for masks alone; None where masks are made from the pixels of `vision`."""
        windows = [self._mask_windows(picture) for picture in pictures]
        mask_windows = [row for row in windows if row is not None]
        return _collate(mask_windows)[0] if mask_windows else None

    def _mask_windows(self, picture: HasPixels | np.ndarray) -> list[PreparedWindow] | None:
        if isinstance(picture, PreparedImage) and picture.mask is not None:
            return picture.mask
        return self.image_processor.mask(_pixels(picture))

    def further_windows(
        self, pictures: Sequence[HasPixels | np.ndarray]
    ) -> tuple[Windows | None, list[list[Window]]]:
        """More windows for masks, and the windows of each owner; None where there are none.

        Owner 2 n has those between the windows of picture n, owner 2 n + 1 its squeezed one, since
        the encoder compares the windows of one owner with each other.
        """
        processor = self.image_processor
        if not isinstance(processor, ClipWindowsImageProcessor):
            return None, [[] for _ in range(2 * len(pictures))]
        owned = []
        for picture in pictures:
            pixels = _pixels(picture)
            owned += [processor.between(pixels), processor.squeezed(pixels)]
        windows = [[window.window for window in prepared] for prepared in owned]
        return _collate(owned)[0] if any(owned) else None, windows

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write what `from_pretrained` reads; the configuration of a model there is left alone."""
        if not (Path(folder) / "config.json").exists():
            self.config.save_pretrained(folder)
        self.tokenizer.save(Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> "SidaProcessor":
        """Read a folder of ours; `AutoProcessor` comes here as well."""
        return cls(AutoConfig.from_pretrained(folder), Tokenizer.load(Path(folder)))


def _pixels(picture: HasPixels | np.ndarray) -> np.ndarray:
    return picture if isinstance(picture, np.ndarray) else picture.pixels


def _collate(pictures: Sequence[Sequence[PreparedWindow]]) -> tuple[Windows, list[list[Any]]]:
    """Pad the windows of several pictures to one canvas; the windows say which."""
    prepared = [window for picture in pictures for window in picture]
    height = max(window.canvas[0] for window, _ in prepared)
    width = max(window.canvas[1] for window, _ in prepared)
    pixels = torch.zeros(len(prepared), 3, height, width)
    for row, (_, content) in zip(pixels, prepared, strict=True):
        row[:, : content.shape[1], : content.shape[2]] = torch.from_numpy(content)
    valid = torch.tensor([window.size for window, _ in prepared])
    # Ascending, which every sum over the windows of a picture relies on.
    owner = torch.tensor([i for i, picture in enumerate(pictures) for _ in picture])
    windows = [
        [dataclasses.replace(window, canvas=(height, width)) for window, _ in picture]
        for picture in pictures
    ]
    return Windows(pixels, valid, owner), windows
