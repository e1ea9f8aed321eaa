"""CLIP over a picture and windows of it, as image tokens and as evidence that can be drawn.

The whole picture is seen at 224 pixels, which shows what is depicted, and windows that cover it,
close to its own resolution, which show how pixels were made and which of them are unlike the
rest. Of each the class token and the mean patch of a few layers are read. One linear head weighs
them (the evidence); its weighing becomes an image token beside the features themselves. As it is
linear, the weighing of a window, or of a single patch, is the same head on less of the picture.
"Altered" is read from local evidence alone: as a style of whole pictures, it would be learned as
the collection that a picture comes from.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionModel

from sida.model.config import ClipWindowsConfig, SidaConfig
from sida.model.inputs import Inputs, Windows
from sida.model.local_maps import LocalFeatures, LocalMaps, mean_by_owner, pooled_evidence
from sida.model.low_rank import add_low_rank, without_additions
from sida.model.statistics import Statistics
from sida.model.views import CLIP_MEAN, CLIP_STD

__all__ = ["SYNTHETIC", "TAMPERED", "ClipWindows", "ClipWindowsState", "Evidence", "points"]

MEASURED_TOKENS = 2
"""Image tokens that are made of `Statistics`."""
POINTS = 2
"""Vectors that are read of a layer: the class token, and the mean patch."""
BATCH = 16
"""Views that a CPU encodes at once; more gain nothing and take memory."""
SYNTHETIC, TAMPERED = 1, 2
"""Numbers of the classes, in the order of `LABELS`."""


class ClipWindowsState(NamedTuple):
    """Features that the evidence of single windows is weighed from, and masks are made of.

    Attributes:
        rows: (windows, patch layers * 2 * dim + measurements) of each window.
        means: (pictures, the same), their mean over each picture.
        owner: (windows,) the picture of each window.
        local: maps of the windows; None of features that were kept.
        logits: (pictures, 3) of the evidence head.
    """

    rows: torch.Tensor
    means: torch.Tensor
    owner: torch.Tensor
    local: LocalFeatures | None
    logits: torch.Tensor


class Evidence(NamedTuple):
    """How far parts of a picture move its class logits.

    To first order for "generated": had the picture no other windows, or patches. "Altered" is the
    map of altered positions itself, as far as it is from the strongest 16th of the picture.

    Attributes:
        windows: (windows, 3), each window.
        whole: (side, side, 3), the patches of the whole picture.
        patches: (windows, side, side, 3), those of each window. The deviation of a patch is
            divided by the root of their number, so that it is on the scale of windows: a mean
            over n patches deviates less by as much.
    """

    windows: torch.Tensor
    whole: torch.Tensor
    patches: torch.Tensor


class ClipWindows(nn.Module):
    """The image encoder of `small`: frozen CLIP, with low-rank additions where it reads windows."""

    cached = ("vision",)
    """What a cache of features may keep of a picture (`sida.train.cache`)."""

    def __init__(self, config: SidaConfig) -> None:
        super().__init__()
        vision: ClipWindowsConfig = config.vision
        self.layers, self.patch_layers = tuple(vision.layers), tuple(vision.patch_layers)
        self.max_windows = vision.max_windows
        self.clip = CLIPVisionModel(vision.clip())
        self.clip.post_layernorm = nn.Identity()  # of a layer that is not there
        for layer in self.clip.encoder.layers[vision.first_adapted : max(self.patch_layers)]:
            add_low_rank(layer, vision.rank)
        self.clip.requires_grad_(False)
        self.local = LocalMaps(vision, config.mask.output_channels)
        self.statistics = Statistics()
        dim, width = vision.hidden_size, config.language.hidden_size
        self.whole_count = POINTS * len(self.layers) * dim
        self.points = POINTS * (len(self.layers) + len(self.patch_layers))
        count = self.points * dim + Statistics.count + LocalMaps.evidence_count
        self.feature_count = count
        self.image_tokens = self.points + MEASURED_TOKENS + 2
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.evidence = nn.Linear(count, 3)
        self.projectors = nn.ModuleList(nn.Linear(dim, width) for _ in range(self.points))
        self.measured = nn.Linear(Statistics.count, MEASURED_TOKENS * width)
        self.located = nn.Linear(LocalMaps.evidence_count, width)
        self.weighed = nn.Linear(3, width)
        self.dropout = nn.Dropout(vision.dropout)

    def evidence_columns(self, label: int) -> slice:
        """Features that speak for a class: of "tampered" only the local evidence."""
        local = self.feature_count - LocalMaps.evidence_count
        return slice(local, None) if label == TAMPERED else slice(0, local)

    def hidden_states(self, pixels: torch.Tensor, layers: tuple[int, ...]) -> list[torch.Tensor]:
        """States (views, 1 + patches, dim) behind the numbered layers, class token first.

        Args:
            pixels: (views, 3, side, side); a side that is not CLIP's own has the positions
                interpolated.
        """
        size = BATCH if pixels.device.type == "cpu" else max(1, len(pixels))
        adapted = any(p.requires_grad for p in self.clip.parameters())
        with torch.set_grad_enabled(adapted and torch.is_grad_enabled()):
            parts = [self._hidden_states(part, layers) for part in pixels.split(size)]
        return [torch.cat(states) for states in zip(*parts, strict=True)]

    def _whole_states(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """States of whole pictures, by CLIP as it is: additions are for the windows."""
        with without_additions(self.clip):
            return self.hidden_states(pixels, self.layers)

    def _hidden_states(self, pixels: torch.Tensor, layers: tuple[int, ...]) -> list[torch.Tensor]:
        own = pixels.shape[-1] == self.clip.config.image_size
        pixels = pixels.to(self.clip.dtype)
        x = self.clip.embeddings(pixels, interpolate_pos_encoding=not own)
        x = self.clip.pre_layrnorm(x)
        states = {}
        for number, layer in enumerate(self.clip.encoder.layers[: max(layers)], 1):
            x = layer(x, attention_mask=None)
            if number in layers:
                states[number] = x
        return [states[layer] for layer in layers]

    def vision_features(self, inputs: Inputs, number: int) -> torch.Tensor:
        """The vector (feature_count,) of one picture of a batch, made by itself."""
        assert inputs.mask is not None
        alone = Inputs(_of_picture(inputs.vision, number), _of_picture(inputs.mask, number))
        return self.features(alone)[0][0]

    def features(
        self, inputs: Inputs
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, LocalFeatures]]:
        """Vectors (pictures, feature_count); and rows, means and maps of `ClipWindowsState`.

        A vector holds the points of the whole picture; the mean over its windows of theirs, and of
        the measurements of noise and spectrum; and the pooled local evidence.
        """
        assert inputs.mask is not None
        pixels, valid, owner = inputs.mask
        whole = points(self._whole_states(inputs.vision.pixels))
        states = self.hidden_states(pixels, self.patch_layers)
        local = self._maps(states, pixels, owner)
        measured = self.statistics.measured(to_measure(pixels), valid)
        rows = torch.cat([points(states), measured], dim=1)
        means = mean_by_owner(rows, owner, len(whole))
        vectors = torch.cat([whole, means, pooled_evidence(local, owner)], dim=1)
        return vectors, (rows, means, local)

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
            empty = vectors.new_zeros(0, 0)
            tokens, logits = self.project(vectors)
            return tokens, ClipWindowsState(empty, empty, inputs.vision.owner[:0], None, logits)
        assert inputs.mask is not None
        vectors, (rows, means, local) = self.features(inputs)
        tokens, logits = self.project(vectors)
        return tokens, ClipWindowsState(rows, means, inputs.mask.owner, local, logits)

    def project(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image tokens (pictures, image_tokens, width) of vectors, and their evidence logits."""
        scaled = self.dropout(self.standardized(vectors))
        counts = [LocalMaps.evidence_count, Statistics.count]
        read, measured, located = scaled.split([scaled.shape[1] - sum(counts), *counts[::-1]], 1)
        parts = read.unflatten(1, (self.points, -1)).unbind(1)
        tokens = [layer(part) for layer, part in zip(self.projectors, parts, strict=True)]
        tokens += self.measured(measured).unflatten(1, (MEASURED_TOKENS, -1)).unbind(1)
        logits = self.evidence(scaled)
        tokens += [self.located(located), self.weighed(logits)]
        return torch.stack(tokens, 1), logits

    def evidence_of(self, inputs: Inputs, state: ClipWindowsState, picture: int) -> Evidence:
        """The evidence of one picture of a batch; its views are encoded once more, for patches."""
        assert inputs.mask is not None
        assert state.local is not None
        weight = self.evidence.weight.float() / self.get_buffer("deviation")
        rows = self.feature_count - LocalMaps.evidence_count
        whole, native = weight[:, : self.whole_count], weight[:, self.whole_count : rows]
        own = state.owner == picture
        windows = (state.rows[own] - state.means[picture]) @ native.T
        views = inputs.vision.pixels[inputs.vision.owner == picture]
        grids = [
            self._moved(self._whole_states(views), whole),
            self._moved(self.hidden_states(inputs.mask.pixels[own], self.patch_layers), native),
        ]
        patches = windows[:, None, None] + grids[1]
        altered = F.avg_pool2d(state.local.altered[own].float()[:, None], 4)[:, 0]
        strongest = pooled_altered(altered)
        patches[..., TAMPERED] = altered - strongest
        windows[:, TAMPERED] = torch.stack([pooled_altered(x) for x in altered]) - strongest
        return Evidence(windows, grids[0][0], patches)

    def _moved(self, states: list[torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        """How far each patch moves the logits: (views, side, side, 3).

        Args:
            states: (views, 1 + patches, dim) of each layer.
            weight: (3, features), the points of these layers first.
        """
        dim = states[0].shape[-1]
        starts = [(POINTS * layer + 1) * dim for layer in range(len(states))]  # of mean patches
        parts = [
            apart_patches(state) @ weight[:, start : start + dim].T
            for state, start in zip(states, starts, strict=True)
        ]
        side = math.isqrt(parts[0].shape[1])
        moved: torch.Tensor = torch.stack(parts).sum(0).unflatten(1, (side, side))
        return moved

    def embed(self, inputs: Inputs, windows: torch.Tensor, state: ClipWindowsState) -> torch.Tensor:
        """Mask embedding (windows, channels + 1, h / 4, w / 4) of the chosen windows."""
        if state.local is not None:
            return state.local.embedding[windows]
        assert inputs.mask is not None
        if not len(windows):
            width = self.local.altered.in_channels + 1
            return inputs.mask.pixels.new_zeros(0, width, 4, 4)
        # Of features that were kept there are no maps. Windows of a picture come together, as
        # each is compared with all of them.
        owner = inputs.mask.owner[windows].unique(return_inverse=True)[1]
        return self.local_maps(inputs.mask.pixels[windows], owner).embedding

    def local_maps(self, pixels: torch.Tensor, owner: torch.Tensor) -> LocalFeatures:
        """Maps of all windows (windows, 3, side, side) of some pictures.

        Args:
            owner: (windows,) the picture of each, ascending from 0.
        """
        return self._maps(self.hidden_states(pixels, self.patch_layers), pixels, owner)

    def _maps(
        self, states: list[torch.Tensor], pixels: torch.Tensor, owner: torch.Tensor
    ) -> LocalFeatures:
        maps: LocalFeatures = self.local([x[:, 1:] for x in states], to_measure(pixels), owner)
        return maps


def _of_picture(windows: Windows, number: int) -> Windows:
    """The windows of one picture, which is number 0 of them."""
    own = windows.owner == number
    return Windows(windows.pixels[own], windows.valid[own], windows.owner[own] - number)


def points(states: list[torch.Tensor]) -> torch.Tensor:
    """Class token and mean patch of each layer, of unit length: (views, layers * 2 * dim)."""
    vectors = [x for state in states for x in (state[:, 0].float(), state[:, 1:].float().mean(1))]
    return torch.cat([F.normalize(x, dim=-1) for x in vectors], 1)


def apart_patches(state: torch.Tensor) -> torch.Tensor:
    """How far patches (views, patches, dim) are from their mean, on the scale of `points`."""
    patches = state[:, 1:].float()
    mean = patches.mean(1, keepdim=True)
    length = mean.norm(dim=-1, keepdim=True).clamp_min(1e-12) * math.sqrt(patches.shape[1])
    apart: torch.Tensor = (patches - mean) / length
    return apart


def pooled_altered(altered: torch.Tensor) -> torch.Tensor:
    """Mean of the strongest 16th of logits of any shape."""
    values = altered.flatten()
    mean: torch.Tensor = values.topk(max(1, round(len(values) / 16))).values.mean()
    return mean


def to_measure(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels (views, 3, h, w) as CLIP takes them, in -1..1 as `Statistics` does."""
    mean, deviation = (torch.from_numpy(2 * x)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
    return pixels * deviation.to(pixels) + (mean - 1).to(pixels)
