"""Frozen CLIP over a picture and windows of it, as image tokens and as evidence that can be drawn.

The whole picture is seen at 224 pixels, which shows what is depicted, and windows at native
resolution, which show how pixels were made. Of each view the class token and the mean patch of a
few layers are read. One linear head weighs them (the evidence); its weighing becomes an image
token beside the features themselves. As it is linear, the weighing of a window, or of a single
patch, is the same head on less of the picture.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionModel

from sida.model.config import ClipWindowsConfig, SidaConfig
from sida.model.inputs import Inputs, Windows
from sida.model.native import NativeMaps
from sida.model.statistics import Statistics
from sida.model.views import CLIP_MEAN, CLIP_STD

__all__ = ["ClipWindows", "ClipWindowsState", "Evidence", "ViewFeatures"]

MEASURED_TOKENS = 2
"""Image tokens that are made of `Statistics`."""
POINTS = 2
"""Vectors that are read of a layer: the class token, and the mean patch."""
BATCH = 16
"""Views that a CPU encodes at once; more gain nothing and take memory."""


class ViewFeatures(NamedTuple):
    """What CLIP gives of some views.

    Attributes:
        points: (views, layers * 2, dim), class token and mean patch of each layer, unit length.
        patches: (views, layers, patches, dim), divided by the length of their mean; None where
            they were not asked for.
    """

    points: torch.Tensor
    patches: torch.Tensor | None


class ClipWindowsState(NamedTuple):
    """Features that the evidence of single windows is weighed from.

    Attributes:
        rows: (windows, points * dim + measurements) of each window.
        means: (pictures, the same), their mean over each picture.
        owner: (windows,) the picture of each window.
        logits: (pictures, 3) of the evidence head.
    """

    rows: torch.Tensor
    means: torch.Tensor
    owner: torch.Tensor
    logits: torch.Tensor


class Evidence(NamedTuple):
    """How far parts of a picture move its class logits, to first order.

    Attributes:
        windows: (windows, 3), each native window, had the picture no other.
        whole: (side, side, 3), the patches of the whole picture.
        patches: (windows, side, side, 3), those of each native window. The deviation of a patch is
            divided by the root of their number, so that it is on the scale of windows: a mean
            over n patches deviates less by as much.
    """

    windows: torch.Tensor
    whole: torch.Tensor
    patches: torch.Tensor


class ClipWindows(NativeMaps):
    """The image encoder of `small`; its masks are made as those of `Native`."""

    cached = ("vision",)
    """What a cache of features may keep of a picture (`sida.train.cache`)."""

    def __init__(self, config: SidaConfig) -> None:
        vision: ClipWindowsConfig = config.vision
        super().__init__(vision.native(), config.mask.output_channels)
        self.layers, self.max_windows = tuple(vision.layers), vision.max_windows
        self.clip = CLIPVisionModel(vision.clip())
        self.clip.post_layernorm = nn.Identity()  # of a layer that is not there
        self.clip.requires_grad_(False)
        self.statistics = Statistics()
        dim, width = vision.hidden_size, config.language.hidden_size
        self.dim = dim
        self.points = POINTS * len(self.layers)
        count = self.feature_count = 2 * self.points * dim + Statistics.count
        self.image_tokens = 2 * self.points + MEASURED_TOKENS + 1
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.evidence = nn.Linear(count, 3)
        self.projectors = nn.ModuleList(nn.Linear(dim, width) for _ in range(2 * self.points))
        self.measured = nn.Linear(Statistics.count, MEASURED_TOKENS * width)
        self.weighed = nn.Linear(3, width)
        self.dropout = nn.Dropout(vision.dropout)

    def encode(self, pixels: torch.Tensor, patches: bool = False) -> ViewFeatures:
        """Features of views (views, 3, side, side)."""
        size = BATCH if pixels.device.type == "cpu" else max(1, len(pixels))
        parts = [self._encode(part, patches) for part in pixels.split(size)]
        points, kept = zip(*parts, strict=True)
        return ViewFeatures(torch.cat(points), torch.cat(kept) if patches else None)

    @torch.no_grad()
    def _encode(
        self, pixels: torch.Tensor, patches: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        pixels = pixels.to(self.clip.dtype)
        states = self.clip(pixel_values=pixels, output_hidden_states=True).hidden_states
        read = torch.stack([states[layer] for layer in self.layers], 1).float()
        mean = read[:, :, 1:].mean(2)
        points = F.normalize(torch.stack([read[:, :, 0], mean], 2), dim=-1)
        length = mean.norm(dim=-1)[:, :, None, None].clamp_min(1e-12)
        return points.flatten(1, 2), read[:, :, 1:] / length if patches else None

    def vision_features(self, inputs: Inputs, number: int) -> torch.Tensor:
        """The vector (feature_count,) of one picture of a batch, made by itself."""
        vision = inputs.vision
        own = vision.owner == number
        alone = Windows(vision.pixels[own], vision.valid[own], vision.owner[own] - number)
        return self.features(alone)[0][0]

    def features(self, vision: Windows) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Vectors (pictures, feature_count); and rows, means and owner of `ClipWindowsState`.

        A vector holds the points of the whole picture, the mean over its windows of theirs, and
        the measurements of noise and spectrum, mean over its windows.
        """
        pixels, valid, owner = vision
        points = self.encode(pixels).points
        native = ~first_of_each(owner)
        measured = self.statistics.measured(to_measure(pixels[native]), valid[native])
        rows = torch.cat([points[native].flatten(1), measured], dim=1)
        means = mean_by_owner(rows, owner[native], int(owner[-1]) + 1)
        vectors = torch.cat([points[~native].flatten(1), means], dim=1)
        return vectors, (rows, means, owner[native])

    def standardized(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (…, feature_count) on the scales of training, within 5 deviations."""
        scaled = (vectors - self.get_buffer("mean")) / self.get_buffer("deviation")
        return scaled.clamp(-5, 5).to(self.evidence.weight.dtype)

    def tokens(self, inputs: Inputs) -> tuple[torch.Tensor, ClipWindowsState]:
        """Image tokens (pictures, image_tokens, language width), and the features behind them.

        Of features that were kept there are no single windows, and `rows` is empty.
        """
        if inputs.features is not None:
            vectors = inputs.features.vision
            empty = vectors.new_zeros(0, self.feature_count - self.points * self.dim)
            rows, means, owner = empty, empty, inputs.vision.owner[:0]
        else:
            vectors, (rows, means, owner) = self.features(inputs.vision)
        tokens, logits = self.project(vectors)
        return tokens, ClipWindowsState(rows, means, owner, logits)

    def project(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image tokens (pictures, image_tokens, width) of vectors, and their evidence logits."""
        scaled = self.dropout(self.standardized(vectors))
        points, measured = scaled.split([scaled.shape[1] - Statistics.count, Statistics.count], 1)
        parts = points.unflatten(1, (2 * self.points, -1)).unbind(1)
        tokens = [layer(part) for layer, part in zip(self.projectors, parts, strict=True)]
        tokens += self.measured(measured).unflatten(1, (MEASURED_TOKENS, -1)).unbind(1)
        logits = self.evidence(scaled)
        tokens.append(self.weighed(logits))
        return torch.stack(tokens, 1), logits

    def evidence_of(self, inputs: Inputs, state: ClipWindowsState, picture: int) -> Evidence:
        """The evidence of one picture of a batch; its views are encoded once more, for patches."""
        weight = self.evidence.weight.float() / self.get_buffer("deviation")
        whole, native = weight.tensor_split([self.points * self.dim], 1)
        own = state.owner == picture
        windows = (state.rows[own] - state.means[picture]) @ native.T
        patches = self.encode(inputs.vision.pixels[inputs.vision.owner == picture], True).patches
        assert patches is not None
        apart = (patches - patches.mean(2, keepdim=True)) / patches.shape[2] ** 0.5
        moved = [
            torch.einsum("vlpd,cld->vpc", part, self._mean_weights(w))
            for part, w in ((apart[:1], whole), (apart[1:], native))
        ]
        side = int(patches.shape[2] ** 0.5)
        grids = [part.unflatten(1, (side, side)) for part in moved]
        return Evidence(windows, grids[0][0], windows[:, None, None] + grids[1])

    def _mean_weights(self, weight: torch.Tensor) -> torch.Tensor:
        """The part (3, layers, dim) of weights that is for mean patches."""
        points = weight[:, : self.points * self.dim].unflatten(1, (-1, POINTS, self.dim))
        means: torch.Tensor = points[:, :, 1]
        return means

    def embed(self, inputs: Inputs, windows: torch.Tensor, state: object) -> torch.Tensor:
        """Mask embedding (windows, channels, h / 4, w / 4) of the chosen windows of `inputs.mask`.

        Windows of a picture are chosen together, as each is compared with all of them.
        """
        if not len(windows):
            return inputs.vision.pixels.new_zeros(0, self.smooth.out_channels, 4, 4)
        assert inputs.mask is not None
        chosen = Windows(*(tensor[windows] for tensor in inputs.mask))
        owner = chosen.owner.unique(return_inverse=True)[1]
        compared = self.compared(chosen._replace(owner=owner))
        return self.embedding(compared.features, chosen.valid)


def to_measure(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels (views, 3, h, w) as CLIP takes them, in -1..1 as `Statistics` does."""
    mean, deviation = (torch.from_numpy(2 * x)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
    return pixels * deviation.to(pixels) + (mean - 1).to(pixels)


def first_of_each(owner: torch.Tensor) -> torch.Tensor:
    """True (views,) for the first view of each picture; `owner` (views,) ascends."""
    return torch.cat([owner.new_ones(1, dtype=torch.bool), owner[1:] != owner[:-1]])


def mean_by_owner(rows: torch.Tensor, owner: torch.Tensor, pictures: int) -> torch.Tensor:
    """Mean over the rows (rows, features) of each picture: (pictures, features)."""
    sums = rows.new_zeros(pictures, rows.shape[1]).index_add(0, owner, rows)
    return sums / torch.bincount(owner, minlength=pictures)[:, None]
