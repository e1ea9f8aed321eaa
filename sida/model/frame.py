"""Where the windows that the network saw lie in the original picture, and the way back.

The published model sees one window, the whole picture at 1024 pixels; the native encoder sees
one or more at the picture's own resolution. Nothing here asks which.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

__all__ = ["Frame", "Window"]


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, as the network sees it.

    Attributes:
        box: left, top, right, bottom in the original, right and bottom exclusive.
        size: (height, width) of the box after scaling, at the top left of the canvas.
        canvas: (height, width) of what the network is given; beyond `size` it is padding.
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    canvas: tuple[int, int]

    @property
    def box_size(self) -> tuple[int, int]:
        """(height, width) of the box in pixels of the original."""
        left, top, right, bottom = self.box
        return bottom - top, right - left


@dataclass(frozen=True)
class Frame:
    """The geometry of one picture: its size, and the windows that masks are made in."""

    height: int
    width: int
    windows: tuple[Window, ...]

    def restore(self, logits: torch.Tensor) -> torch.Tensor:
        """Bring mask logits back to the original picture.

        Each window's logits are resized to its canvas, cropped to its content and resized to its
        box, bilinearly and in float32, as published; where windows overlap they are blended.

        Args:
            logits: (windows, h, w), at any resolution of the canvas.

        Returns:
            (height, width) float32.

        Raises:
            ValueError: another number of windows than this frame has.
        """
        if len(logits) != len(self.windows):
            raise ValueError(f"{len(logits)} masks for a frame of {len(self.windows)} windows")
        parts = [
            self._to_box(row, window) for row, window in zip(logits, self.windows, strict=True)
        ]
        # One window over all of it is given as it is: blending would round.
        if len(parts) == 1 and self.windows[0].box == (0, 0, self.width, self.height):
            return parts[0]
        total = torch.zeros(self.height, self.width, device=logits.device)
        weights = torch.zeros_like(total)
        for part, window in zip(parts, self.windows, strict=True):
            left, top, right, bottom = window.box
            weight = _tent(*window.box_size, device=logits.device)
            total[top:bottom, left:right] += part * weight
            weights[top:bottom, left:right] += weight
        # Where no window lies, 0 / tiny stays 0.
        return total / weights.clamp_min(torch.finfo(weights.dtype).tiny)

    @staticmethod
    def _to_box(logits: torch.Tensor, window: Window) -> torch.Tensor:
        # Cropped between the two resizes, or the padding would bleed into the edge.
        content = to_canvas(logits[None], window.canvas)[:, : window.size[0], : window.size[1]]
        return _resize(content, window.box_size)[0]

    def on_canvas(self, canvas: tuple[int, int]) -> "Frame":
        """The same where the windows were padded to another canvas, as in a batch."""
        windows = tuple(replace(window, canvas=canvas) for window in self.windows)
        return Frame(self.height, self.width, windows)

    def project(self, mask: np.ndarray) -> torch.Tensor:
        """Bring a true mask into the windows, for training: the inverse of `restore`.

        Args:
            mask: (height, width) uint8, 0-255, of the original picture.

        Returns:
            (windows, canvas height, canvas width) float32 in 0-1 with soft edges, zero in the
            padding. Pillow's bilinear resize of a grey picture, as published.
        """
        return torch.stack([self._project(mask, window) for window in self.windows])

    def _project(self, mask: np.ndarray, window: Window) -> torch.Tensor:
        if mask.shape != (self.height, self.width):
            raise ValueError(
                f"mask is {mask.shape}, the picture is {(self.height, self.width)}: "
                "save masks at the picture's size"
            )
        left, top, right, bottom = window.box
        part = Image.fromarray(mask[top:bottom, left:right], mode=None)
        part = part.resize(window.size[::-1], Image.Resampling.BILINEAR)
        canvas = torch.zeros(window.canvas)
        canvas[: window.size[0], : window.size[1]] = torch.from_numpy(np.array(part)) / 255
        return canvas

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of each window's content."""
        return tuple(window.size for window in self.windows)


def to_canvas(logits: torch.Tensor, canvas: tuple[int, int]) -> torch.Tensor:
    """Logits (windows, h, w) as float32 (windows, canvas height, canvas width)."""
    if not len(logits):  # nothing to interpolate, which torch refuses
        return logits.new_zeros(0, *canvas, dtype=torch.float32)
    return _resize(logits.float(), canvas)


def _resize(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(values[None], size, mode="bilinear", align_corners=False)[0]


def _tent(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Weights (height, width) that fall off towards the edges, never reaching zero."""
    rows = torch.minimum(torch.arange(1, height + 1), torch.arange(height, 0, -1))
    columns = torch.minimum(torch.arange(1, width + 1), torch.arange(width, 0, -1))
    return rows.to(device, torch.float32)[:, None] * columns.to(device, torch.float32)[None, :]
