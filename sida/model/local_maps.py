"""Maps of a picture's patches: how altered and how generated each looks.

An alteration is a difference inside one picture. So patches of the image encoder, which know what
is depicted, and convolutions on colour and residuals, which know how pixels were made, are both
compared with the rest of their picture before they are weighed.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sida.model.config import ClipWindowsConfig, SidaConfig
from sida.model.inputs import Windows, mean_by_owner
from sida.model.native import Conv, NativeDecoder, NativeMaps

__all__ = [
    "LocalDecoder",
    "LocalFeatures",
    "LocalMaps",
    "pooled_evidence",
    "squares",
    "uniform_evidence",
]

STRIDE = 4
"""Pixels a position of the maps."""
SHARES = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""Of a picture's positions, the strongest of which are averaged."""


class LocalFeatures(NamedTuple):
    """Maps of windows.

    Attributes:
        altered: (windows, h / 4, w / 4) logits.
        generated: (windows, patches) logits, of patches as the image encoder cuts them.
        embedding: (windows, channels + 1, h / 4, w / 4) for the mask decoder, `altered` at its end.
    """

    altered: torch.Tensor
    generated: torch.Tensor
    embedding: torch.Tensor


class LocalMaps(nn.Module):
    """Patches of a few encoder layers and native convolutions, joined at stride 4."""

    evidence_count = 2 * (len(SHARES) + 1)
    """Numbers that `pooled_evidence` gives."""

    def __init__(self, vision: ClipWindowsConfig, channels: int) -> None:
        super().__init__()
        levels, dim, width = len(vision.patch_layers), vision.hidden_size, vision.patch_width
        self.patch_size = vision.patch_size
        self.native = NativeMaps(vision.native(), channels)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(levels))
        self.reduce = nn.ModuleList(nn.Linear(dim, width) for _ in range(levels))
        self.generated = nn.Linear(levels * dim, 1)
        self.mix = Conv(2 * (levels * width + 1), width, 3, padding=1)
        self.refine = Conv(width, width, 3, padding=1)
        self.widen = Conv(width, channels, 1)
        self.join = Conv(2 * channels, channels, 3, padding=1)
        self.smooth = Conv(channels, channels, 3, padding=1)
        self.altered = nn.Conv2d(channels, 1, 1)

    def forward(
        self, patches: list[torch.Tensor], pixels: torch.Tensor, owner: torch.Tensor
    ) -> LocalFeatures:
        """Maps of all windows of some pictures.

        Args:
            patches: of each layer, (windows, patches, dim).
            pixels: (windows, 3, h, w) in -1..1, sides multiples of 16.
            owner: (windows,) the picture of each window, ascending.
        """
        height, width = pixels.shape[-2:]
        dtype = self.altered.weight.dtype
        normed = [norm(x.to(dtype)) for norm, x in zip(self.norms, patches, strict=True)]
        generated = self.generated(torch.cat(normed, -1))
        reduced = [layer(x) for layer, x in zip(self.reduce, normed, strict=True)]
        values = torch.cat([*reduced, generated], -1).float()
        # Means over the picture in float32: what is altered differs little from the rest.
        apart = values - mean_by_owner(values.mean(1), owner)[owner][:, None]
        grid = (height // self.patch_size, width // self.patch_size)
        joined = torch.cat([values, apart], -1).transpose(1, 2).unflatten(2, grid)
        x = F.gelu(self.mix(joined.to(dtype)))
        x = self.widen(x + F.gelu(self.refine(x)))
        size = (height // STRIDE, width // STRIDE)
        x = F.interpolate(x.float(), size, mode="bilinear", align_corners=False).to(x.dtype)
        # Windows cover the picture and hold nothing else: there is no padding.
        valid = torch.tensor([(height, width)] * len(pixels), device=pixels.device)
        native = self.native.compared(Windows(pixels, valid, owner)).features
        x = F.gelu(self.join(torch.cat([x, native.to(x.dtype)], 1)))
        x = x + F.gelu(self.smooth(x))
        altered = self.altered(x)
        return LocalFeatures(altered[:, 0], generated[..., 0], torch.cat([x, altered], 1))


def pooled_evidence(features: LocalFeatures, owner: torch.Tensor) -> torch.Tensor:
    """How strong the strongest areas of each picture are: (pictures, evidence_count) float32.

    Of `generated`, then of `altered` averaged over squares of 16 pixels: the means of the strongest
    64th, 16th and fourth of a picture's positions and of all, and the deviation.
    """
    maps = features.generated.float(), squares(features).flatten(1)
    rows = []
    # One by one, since pictures have different numbers of windows.
    for picture in range(int(owner[-1]) + 1):
        for values in maps:
            ordered = values[owner == picture].flatten().sort(descending=True).values
            counts = [max(1, round(len(ordered) * share)) for share in SHARES]
            rows += [ordered[:count].mean() for count in counts]
            rows.append(ordered.std(correction=0))
    pooled: torch.Tensor = torch.stack(rows).unflatten(0, (-1, LocalMaps.evidence_count))
    return pooled


def uniform_evidence(generated: torch.Tensor, altered: torch.Tensor) -> torch.Tensor:
    """`pooled_evidence` (…, evidence_count) of pictures that are everywhere like a patch.

    Args:
        generated, altered: (…) logits of patches.
    """
    parts = []
    for values in (generated.float(), altered.float()):
        parts += [values] * len(SHARES) + [torch.zeros_like(values)]
    return torch.stack(parts, -1)


def squares(features: LocalFeatures) -> torch.Tensor:
    """`altered` (windows, h / 16, w / 16) float32, averaged over squares of 16 pixels."""
    return F.avg_pool2d(features.altered.float()[:, None], 4)[:, 0]


class LocalDecoder(NativeDecoder):
    """Mask logits: those that the maps give by themselves, and what the prompt makes of them."""

    def __init__(self, config: SidaConfig) -> None:
        super().__init__(config)
        self.prompted = nn.Parameter(torch.zeros(1))  # a fresh decoder says what the maps say

    def forward(self, embedding: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """(windows, channels + 1, h, w) and (windows, out_dim) -> (windows, h, w)."""
        prompted: torch.Tensor = super().forward(embedding[:, :-1], prompt)
        return embedding[:, -1] + self.prompted * prompted
