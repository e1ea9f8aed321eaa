"""CLIP over a picture and windows of it, as image tokens and as evidence that can be drawn.

The whole picture is seen at 224 pixels, which shows what is depicted: the class token and the mean
patch of a few layers are read. Windows that cover it, close to its own resolution, show how pixels
were made and which of them are unlike the rest (`LocalMaps`). One linear head weighs both (the
evidence): class logits begin with it, the class head adds to them, and it becomes an image token
beside the features themselves. "Altered" is read from local evidence alone: as a style of whole
pictures, it would be learned as the collection that a picture comes from.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionModel

from sida.model.config import ClipWindowsConfig, SidaConfig
from sida.model.image_processors import CLIP_MEAN, CLIP_STD
from sida.model.inputs import Inputs, Windows
from sida.model.local_maps import (
    LocalFeatures,
    LocalMaps,
    pooled_evidence,
    squares,
    uniform_evidence,
)
from sida.model.low_rank import LowRankAdditions, linear_layers

__all__ = ["SYNTHETIC", "TAMPERED", "ClipWindows", "ClipWindowsState", "LogitShifts", "points"]

POINTS = 2
"""Vectors that are read of a layer: the class token, and the mean patch."""
BATCH = 16
"""Windows that a CPU encodes at once; more gain nothing and take memory."""
SYNTHETIC, TAMPERED = 1, 2
"""Numbers of the classes, in the order of `LABELS`."""


class ClipWindowsState(NamedTuple):
    """Features that masks, and the evidence of single windows, are made of.

    Attributes:
        vectors: (pictures, feature_count).
        local: maps of the windows; None of features that were kept.
        logits: (pictures, 3) of the evidence head.
    """

    vectors: torch.Tensor
    local: LocalFeatures | None
    logits: torch.Tensor


class LogitShifts(NamedTuple):
    """How far parts of a picture are from its class logits.

    "Tampered" by the evidence head, "synthetic" by how generated a part looks against the mean of
    the picture: the head reads that class from the picture as a whole.

    Attributes:
        windows: (windows, 3), had the picture no other window.
        patches: (windows, side, side, 3), were the picture everywhere like that patch of a window.
    """

    windows: torch.Tensor
    patches: torch.Tensor


class ClipWindows(nn.Module):
    """The image encoder of `small`: frozen CLIP, with low-rank additions for either use of it."""

    cached = ("vision",)
    """Features of a picture that a cache may keep (`sida.train.cache`)."""

    def __init__(self, config: SidaConfig) -> None:
        super().__init__()
        vision: ClipWindowsConfig = config.vision
        self.layers, self.patch_layers = tuple(vision.layers), tuple(vision.patch_layers)
        self.max_windows = vision.max_windows
        self.clip = CLIPVisionModel(vision.clip())
        self.clip.post_layernorm = nn.Identity()  # of a layer that is not there
        self.clip.requires_grad_(False)
        layers = self.clip.encoder.layers[vision.first_adapted : max(self.layers)]
        self.whole_additions = LowRankAdditions(linear_layers(layers), vision.rank)
        layers = layers[: max(self.patch_layers) - vision.first_adapted]
        self.window_additions = LowRankAdditions(linear_layers(layers), vision.rank)
        self.local = LocalMaps(vision, config.mask.output_channels)
        dim, width = vision.hidden_size, config.language.hidden_size
        self.points = POINTS * len(self.layers)
        self.whole_count = self.points * dim
        count = self.feature_count = self.whole_count + LocalMaps.evidence_count
        self.image_tokens = self.points + 2
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.evidence = nn.Linear(count, 3)
        self.projectors = nn.ModuleList(nn.Linear(dim, width) for _ in range(self.points))
        self.located = nn.Linear(LocalMaps.evidence_count, width)
        self.weighed = nn.Linear(3, width)
        self.dropout = nn.Dropout(vision.dropout)

    @property
    def dtype(self) -> torch.dtype:
        """Of the pixels that go in."""
        return self.local.altered.weight.dtype

    def evidence_columns(self, label: int) -> slice:
        """Features that speak for a class.

        "Tampered" is read from local evidence alone, "synthetic" from the whole picture alone: maps
        know the pictures that they were trained on, and would be trusted too much by a head that is
        fitted to the same pictures.
        """
        if label == TAMPERED:
            return slice(self.whole_count, None)
        return slice(0, self.whole_count)

    def hidden_states(
        self, pixels: torch.Tensor, layers: tuple[int, ...], additions: LowRankAdditions
    ) -> list[torch.Tensor]:
        """States (images, 1 + patches, dim) behind the numbered layers, class token first.

        Args:
            pixels: (images, 3, side, side); a side that is not CLIP's own has the positions
                interpolated.
            additions: to the layers of CLIP.
        """
        size = BATCH if pixels.device.type == "cpu" else max(1, len(pixels))
        # Without a graph where nothing is trained: it would hold the states of every layer.
        trained = any(p.requires_grad for p in additions.parameters())
        with torch.set_grad_enabled(trained and torch.is_grad_enabled()), additions.active():
            parts = [self._hidden_states(part, layers) for part in pixels.split(size)]
        return [torch.cat(states) for states in zip(*parts, strict=True)]

    def _hidden_states(self, pixels: torch.Tensor, layers: tuple[int, ...]) -> list[torch.Tensor]:
        resized = pixels.shape[-1] != self.clip.config.image_size
        x = self.clip.embeddings(pixels.to(self.clip.dtype), interpolate_pos_encoding=resized)
        x = self.clip.pre_layrnorm(x)
        states = {}
        for number, layer in enumerate(self.clip.encoder.layers[: max(layers)], 1):
            x = layer(x, attention_mask=None)
            if number in layers:
                states[number] = x
        return [states[layer] for layer in layers]

    def whole_points(self, pixels: torch.Tensor) -> torch.Tensor:
        """`points` (pictures, whole_count) of whole pictures (pictures, 3, side, side)."""
        return points(self.hidden_states(pixels, self.layers, self.whole_additions))

    def local_maps(self, windows: Windows) -> LocalFeatures:
        """Maps of all windows of some pictures."""
        states = self.hidden_states(windows.pixels, self.patch_layers, self.window_additions)
        patches = [state[:, 1:] for state in states]
        maps: LocalFeatures = self.local(patches, to_unit(windows.pixels), windows.owner)
        return maps

    def vision_features(self, inputs: Inputs, number: int) -> torch.Tensor:
        """The vector (feature_count,) of one picture of a batch, made by itself."""
        assert inputs.mask is not None
        # By itself, so that a cached vector does not depend on its batch.
        alone = Inputs(_of_picture(inputs.vision, number), _of_picture(inputs.mask, number))
        return self.features(alone)[0][0]

    def features(self, inputs: Inputs) -> tuple[torch.Tensor, LocalFeatures]:
        """Vectors (pictures, feature_count), and the maps of all windows.

        A vector holds the points of the whole picture, and the pooled local evidence.
        """
        assert inputs.mask is not None
        picture_features = self.whole_points(inputs.vision.pixels)
        local = self.local_maps(inputs.mask)
        return torch.cat([picture_features, pooled_evidence(local, inputs.mask.owner)], 1), local

    def standardized(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (…, feature_count) on the scales of training, within 5 deviations."""
        scaled = (vectors - self.get_buffer("mean")) / self.get_buffer("deviation")
        return scaled.clamp(-5, 5).to(self.evidence.weight.dtype)

    def tokens(self, inputs: Inputs) -> tuple[torch.Tensor, ClipWindowsState]:
        """Image tokens (pictures, image_tokens, language width), and the features behind them."""
        if inputs.features is None:
            vectors, local = self.features(inputs)
        else:
            vectors, local = inputs.features.vision, None
        tokens, logits = self.project(vectors)
        return tokens, ClipWindowsState(vectors, local, logits)

    def project(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image tokens (pictures, image_tokens, width) of vectors, and their evidence logits."""
        scaled = self.dropout(self.standardized(vectors))
        picture_features, located = scaled.split([self.whole_count, LocalMaps.evidence_count], 1)
        parts = picture_features.unflatten(1, (self.points, -1)).unbind(1)
        tokens = [layer(part) for layer, part in zip(self.projectors, parts, strict=True)]
        logits = self.evidence(scaled)
        tokens += [self.located(located), self.weighed(logits)]
        return torch.stack(tokens, 1), logits

    def synthetic_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Evidence logits (pictures,) of "synthetic" for whole pictures (pictures, 3, side, side).

        As `project` gives them, with the dropout of training.
        """
        columns = self.evidence_columns(SYNTHETIC)
        local = pixels.new_zeros(len(pixels), self.feature_count - self.whole_count)
        scaled = self.standardized(torch.cat([self.whole_points(pixels), local], 1))[:, columns]
        weight = self.evidence.weight[SYNTHETIC, columns]
        logits: torch.Tensor = self.dropout(scaled) @ weight + self.evidence.bias[SYNTHETIC]
        return logits

    def evidence_of(
        self,
        owner: torch.Tensor,
        state: ClipWindowsState,
        picture: int,
        correction: nn.Linear | None = None,
    ) -> LogitShifts:
        """The evidence of one picture of a batch.

        Args:
            owner: (windows,) the picture of each window.
            correction: of the class logits, from the standardized vectors.
        """
        assert state.local is not None
        local = LocalFeatures(*(maps[owner == picture] for maps in state.local))
        vector = state.vectors[picture]
        altered = squares(local)
        generated = local.generated.view_as(altered)
        single = pooled_evidence(local, torch.arange(len(altered), device=altered.device))
        uniform = uniform_evidence(generated, altered)
        logits = self._weigh(vector, correction)
        shifts = LogitShifts(
            windows=self._weigh(self._with_local(vector, single), correction) - logits,
            patches=self._weigh(self._with_local(vector, uniform), correction) - logits,
        )
        apart = generated.float() - generated.float().mean()
        shifts.patches[..., SYNTHETIC] = apart
        shifts.windows[..., SYNTHETIC] = apart.mean((1, 2))
        return shifts

    def _with_local(self, vector: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
        """Vectors (…, feature_count) of a picture, were its local evidence (…, evidence_count)."""
        picture_features = vector[: self.whole_count].expand(*local.shape[:-1], -1)
        return torch.cat([picture_features, local], -1)

    def _weigh(self, vectors: torch.Tensor, correction: nn.Linear | None) -> torch.Tensor:
        """Evidence logits (…, 3) of vectors (…, feature_count), with the correction's."""
        scaled = self.standardized(vectors)
        logits: torch.Tensor = self.evidence(scaled)
        return logits if correction is None else logits + correction(scaled)

    def embed(
        self, inputs: Inputs, windows: torch.Tensor, state: ClipWindowsState | None
    ) -> torch.Tensor:
        """Mask embedding (windows, channels + 1, h / 4, w / 4) of the chosen windows."""
        if state is not None and state.local is not None:
            return state.local.embedding[windows]
        assert inputs.mask is not None
        if not len(windows):
            width = self.local.altered.in_channels + 1
            return inputs.mask.pixels.new_zeros(0, width, 4, 4)
        # Of features that were kept there are no maps. Windows of a picture come together, as
        # each is compared with all of them.
        subset = Windows(*(tensor[windows] for tensor in inputs.mask))
        owner = subset.owner.unique(return_inverse=True)[1]
        return self.local_maps(subset._replace(owner=owner)).embedding


def _of_picture(windows: Windows, number: int) -> Windows:
    """The windows of one picture, which is number 0 of them."""
    selected = windows.owner == number
    return Windows(
        windows.pixels[selected], windows.valid[selected], windows.owner[selected] - number
    )


def points(states: list[torch.Tensor]) -> torch.Tensor:
    """Class token and mean patch of each layer, of unit length: (images, layers * 2 * dim)."""
    vectors = [x for state in states for x in (state[:, 0].float(), state[:, 1:].float().mean(1))]
    return torch.cat([F.normalize(x, dim=-1) for x in vectors], 1)


def to_unit(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels (images, 3, h, w), normalised as for CLIP, in -1..1."""
    mean, deviation = (torch.from_numpy(2 * x)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
    return pixels * deviation.to(pixels) + (mean - 1).to(pixels)
