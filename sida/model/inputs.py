"""What the network is fed: windows of pictures, each with the picture that owns it."""

from typing import NamedTuple

import torch

__all__ = ["Inputs", "Windows"]


class Windows(NamedTuple):
    """Windows of several pictures, padded to one size.

    Attributes:
        pixels: (windows, 3, height, width) float, normalised as the encoder wants it.
        valid: (windows, 2) int64, height and width of the content at the top left.
        owner: (windows,) int64, ascending: the picture that each window belongs to.
    """

    pixels: torch.Tensor
    valid: torch.Tensor
    owner: torch.Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Windows":
        """The same on a device; `dtype` is for the pixels only."""
        return Windows(
            self.pixels.to(device, dtype, non_blocking=True),
            self.valid.to(device, non_blocking=True),
            self.owner.to(device, non_blocking=True),
        )


class Inputs(NamedTuple):
    """Windows for the class, and for masks; None where masks come from those of `vision`."""

    vision: Windows
    mask: Windows | None

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Inputs":
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device, dtype)
        return Inputs(self.vision.to(device, dtype), mask)
