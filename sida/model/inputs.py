"""Input of the network: windows of pictures, each with the picture that owns it."""

from typing import NamedTuple

import torch

__all__ = ["Features", "Inputs", "Windows", "mean_by_owner"]


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


class Features(NamedTuple):
    """Features of pictures, computed before by frozen encoders.

    Attributes:
        vision: (pictures, ...) as the encoder's `vision_features` gives them.
        mask: (windows, channels, h, w) of the windows that masks are made in, in their order;
            None where these are not kept.
    """

    vision: torch.Tensor
    mask: torch.Tensor | None

    def to(self, device: torch.device | str) -> "Features":
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        return Features(self.vision.to(device, non_blocking=True), mask)


class Inputs(NamedTuple):
    """Windows for the class, and for masks; None where masks come from those of `vision`.

    Where there are `features`, they are taken in place of the pixels.
    """

    vision: Windows
    mask: Windows | None
    features: Features | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Inputs":
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device, dtype)
        features = None if self.features is None else self.features.to(device)
        return Inputs(self.vision.to(device, dtype), mask, features)


def mean_by_owner(values: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """Mean over the windows of each picture.

    Args:
        values: (windows, features).
        owner: (windows,) the picture of each window, ascending.

    Returns:
        (pictures, features).
    """
    counts = torch.bincount(owner)
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, owner, values)
    means: torch.Tensor = sums / counts[:, None]
    return means
