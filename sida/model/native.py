"""A small convolutional encoder at the picture's own resolution, and its mask decoder."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sida.model.config import NativeVisionConfig, SidaConfig
from sida.model.inputs import Inputs, Windows
from sida.model.residuals import Residuals, valid_mask
from sida.model.statistics import Statistics, chunk_size

__all__ = [
    "ChannelNorm",
    "Conv",
    "Native",
    "NativeDecoder",
    "NativeMaps",
    "NativeState",
    "Pool",
]

MEASURED_TOKENS = 2
"""Image tokens that are made of `Statistics`; the others are pooled features."""


class NativeState(NamedTuple):
    """Features for masks: those of every window, compared with their picture's, at stride 4."""

    compared: torch.Tensor
    valid: torch.Tensor


class Conv(nn.Conv2d):
    """A convolution of the native parts, initialized by He's rule for the ReLU behind it."""


class Compared(NamedTuple):
    """Features of windows after the comparison with all windows of their picture.

    Attributes:
        features: (windows, channels, height / 4, width / 4), zero in the padding.
        last: (windows, widths[-1], height / 16, width / 16), before the comparison.
        maps: (windows, levels + channels, height / 16, width / 16), noise levels and `features`.
    """

    features: torch.Tensor
    last: torch.Tensor
    maps: torch.Tensor


class NativeMaps(nn.Module):
    """Convolutions over windows at native resolution, compared with the rest of their picture.

    Traces of editing are small and local, so nothing is resized: the input is colour beside
    high-pass residuals. Norms act on one position at a time and padding is kept at zero before
    every convolution that looks around; a picture's result therefore does not depend on
    what it is batched with.

    Args:
        vision: sizes of the convolutions.
        channels: of the features that are compared.
    """

    def __init__(self, vision: NativeVisionConfig, channels: int) -> None:
        super().__init__()
        widths = list(vision.widths)
        self.residuals = Residuals()
        self.stem = nn.Sequential(
            Conv(3 + Residuals.filters, vision.stem, 4, stride=2, padding=1), nn.ReLU()
        )
        self.enter = Conv(vision.stem, widths[0], 4, stride=2, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(width) for _ in range(depth))
            for width, depth in zip(widths, vision.depths, strict=True)
        )
        self.downs = nn.ModuleList(
            Conv(narrow, wide, 2, stride=2) for narrow, wide in pairwise(widths)
        )
        self.laterals = nn.ModuleList(
            nn.Sequential(ChannelNorm(width), Conv(width, channels, 1)) for width in widths
        )
        self.compare = Conv(2 * channels + Residuals.levels, channels, 1)
        self.smooth = Conv(channels, channels, 3, padding=1)

    def compared(self, windows: Windows) -> Compared:
        """Features of all windows of some pictures, compared over each picture."""
        pixels, valid, owner = windows
        # A few windows at once, so that their maps stay in the cache of a CPU; those of a picture
        # meet in the comparison alone.
        chunk = chunk_size(pixels)
        parts = [
            self._features(*part)
            for part in zip(pixels.split(chunk), valid.split(chunk), strict=True)
        ]
        last, joined, count, mean, squares = (
            torch.cat(tensors) for tensors in zip(*parts, strict=True)
        )
        with torch.autocast(pixels.device.type, enabled=False):  # differences of large numbers
            weight, bias = self._comparison(*_over_pictures(count, mean, squares, owner))
            arguments = (joined, valid, weight[owner], bias[owner])
            outputs = [
                self._compared(*part)
                for part in zip(*(x.split(chunk) for x in arguments), strict=True)
            ]
        features, maps = (torch.cat(tensors) for tensors in zip(*outputs, strict=True))
        return Compared(features, last, maps)

    def embedding(self, features: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Mask embedding (windows, channels, height / 4, width / 4) from compared features."""
        return _extend(self.smooth(features), valid, 4)

    def _features(self, pixels: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of some windows (windows, 3, height, width), each by itself.

        Returns:
            Features at stride 16; those of all strides merged at stride 4, with the levels of noise
            behind them (windows, channels + 8, height / 4, width / 4); and of the latter
            number, mean and sum of squares about it of each window (`_over_pictures`).
        """
        inside = valid_mask(valid, pixels.shape[-2:], 1)
        residuals, noise = self.residuals(pixels, valid)
        x = torch.cat([pixels * inside, residuals], dim=1)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        x = self.enter(x * valid_mask(valid, x.shape[-2:], 2))
        features = []
        for level, stage in enumerate(self.stages):
            inside = valid_mask(valid, x.shape[-2:], 2 ** (level + 2)).to(x.dtype)
            for block in stage.children():
                x = block(x, inside)
            x = x * inside
            features.append(x)
            if level < len(self.downs):
                x = self.downs[level](x)
        merged = self.laterals[-1](x)
        for lateral, feature in zip(self.laterals[-2::-1], features[-2::-1], strict=True):
            merged = F.interpolate(merged, feature.shape[-2:], mode="nearest") + lateral(feature)
        joined = torch.cat([merged, noise], dim=1)
        inside = valid_mask(valid, joined.shape[-2:], 4).float()
        count = inside.sum((2, 3))
        # Squares about the window's mean: without it, small deviations would be lost in the
        # difference of two large sums.
        mean = (joined.float() * inside).sum((2, 3)) / count
        squares = ((joined.float() - mean[..., None, None]).square() * inside).sum((2, 3))
        return x, joined, count, mean, squares

    def _comparison(
        self, mean: torch.Tensor, deviation: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight (pictures, channels, channels + 8) and bias (pictures, channels) of `compare`.

        An altered region shows by what sets it apart: beside each feature stands how far it, and
        each level of noise, is from its mean over the whole picture, in standard deviations.
        Both are linear in the features, so they are weighed in one product.
        """
        kernel = self.compare.weight[:, :, 0, 0].float()
        raw, apart = kernel.tensor_split([mean.shape[1] - Residuals.levels], 1)
        scaled = apart / deviation[:, None]
        bias = -(scaled @ mean[..., None])[..., 0]
        if self.compare.bias is not None:
            bias = bias + self.compare.bias.float()
        return F.pad(raw, (0, Residuals.levels)) + scaled, bias

    def _compared(
        self, joined: torch.Tensor, valid: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of some windows, compared with those of their picture.

        Args:
            joined: (windows, channels + 8, h, w), features and levels of noise.
            valid: (windows, 2) height and width of the content.
            weight, bias: of each window's picture (`_comparison`).

        Returns:
            (windows, channels, h, w), and levels and features averaged to a fourth of the length.
        """
        product = torch.baddbmm(bias[..., None], weight, joined.flatten(2).float())
        compared = F.gelu(product).to(joined.dtype).unflatten(2, joined.shape[-2:])
        compared = compared * valid_mask(valid, joined.shape[-2:], 4)
        noise = joined[:, -Residuals.levels :]
        return compared, F.avg_pool2d(torch.cat([noise, compared], dim=1), 4)


class Native(NativeMaps):
    """The convolutional encoder of `tiny`: its maps, pooled, and measurements as image tokens."""

    def __init__(self, config: SidaConfig) -> None:
        vision, channels = config.vision, config.mask.output_channels
        super().__init__(vision, channels)
        self.image_tokens = vision.image_tokens
        width = config.language.hidden_size
        self.statistics = Statistics()
        self.weigh = nn.Linear(Statistics.count, MEASURED_TOKENS * width)
        maps = Residuals.levels + channels
        self.pool = Pool(vision.widths[-1], maps, vision.image_tokens - MEASURED_TOKENS, width)

    @property
    def dtype(self) -> torch.dtype:
        """Of the pixels that go in."""
        return self.enter.weight.dtype

    def tokens(self, inputs: Inputs) -> tuple[torch.Tensor, NativeState]:
        """Image tokens (pictures, image_tokens, language width), and the features for masks."""
        pixels, valid, owner = inputs.vision
        compared = self.compared(inputs.vision)
        inside = valid_mask(valid, compared.last.shape[-2:], 16)
        pooled = self.pool(compared.last, compared.maps, inside, owner)
        weighed = self.weigh(self.statistics(pixels, valid, owner))
        tokens = torch.cat([weighed.unflatten(1, (MEASURED_TOKENS, -1)), pooled], dim=1)
        return tokens, NativeState(compared.features, valid)

    def embed(self, inputs: Inputs, windows: torch.Tensor, state: NativeState) -> torch.Tensor:
        """Mask embedding (windows, channels, height / 4, width / 4) of the chosen windows."""
        return self.embedding(state.compared[windows], state.valid[windows])

    def fit(self, batches: Iterable[Inputs]) -> None:
        """Fit the scales of what is measured, to pictures such as it will be trained on."""
        measured = [self.statistics.measured(*batch.vision[:2]) for batch in batches]
        self.statistics.fit(torch.cat(measured))


def _over_pictures(
    count: torch.Tensor, mean: torch.Tensor, squares: torch.Tensor, owner: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation (pictures, channels) over all windows of each picture.

    Args:
        count: (windows, 1) positions.
        mean, squares: (windows, channels) over a window's positions, and the sum of squares about
            it; they are put together as Chan, Golub and LeVeque (1983) do.
        owner: (windows,) the picture of each window.
    """
    pictures = int(owner[-1]) + 1

    def summed(terms: torch.Tensor) -> torch.Tensor:
        return terms.new_zeros(pictures, terms.shape[1]).index_add(0, owner, terms)

    counts = summed(count)
    means = summed(count * mean) / counts
    squares = summed(squares + count * (mean - means[owner]).square())
    # A picture of one colour deviates by 0, and features are divided by this.
    return means, (squares / counts + 1e-4).sqrt()


class Block(nn.Module):
    """Residual block: norm, 3x3, ReLU, 1x1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.spatial = Conv(width, width, 3, padding=1)
        self.mix = Conv(width, width, 1)

    def forward(self, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """(windows, width, h, w) -> the same; `inside` (windows, 1, h, w) is 0 in the padding."""
        scaled = x * (self.norm.scale(x) * inside)
        # The norm's weight goes into the kernel, which is smaller than what it is laid over.
        kernel = self.spatial.weight * self.norm.weight[:, None, None]
        mixed = F.conv2d(scaled, kernel, self.spatial.bias, padding=1)
        change: torch.Tensor = self.mix(F.relu(mixed, inplace=True))
        return x + change


class ChannelNorm(nn.Module):
    """Root mean square norm over the channels of each position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(windows, width, h, w) -> the same."""
        return x * self.scale(x) * self.weight[:, None, None]

    def scale(self, x: torch.Tensor) -> torch.Tensor:
        """(windows, 1, h, w): one over the root mean square of each position."""
        return torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-6).to(x.dtype)


class Pool(nn.Module):
    """The positions of each window -> tokens, and of each picture's windows -> one set of tokens.

    Token 0 is the mean, token 1 the standard deviation; each further one is a softmax-weighted mean
    with a weighting of its own. A window is pooled by itself, as the crops of training are: over
    more positions a softmax would always find something. Windows are then weighted by what
    their tokens say, at first equally.
    """

    def __init__(self, width: int, maps: int, tokens: int, out: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        width += maps
        self.scores = nn.Conv2d(width, tokens - 2, 1)
        self.out = nn.Linear(width, out)
        self.kinds = nn.Parameter(torch.zeros(tokens, out))
        self.statistics = nn.ModuleList(nn.Linear(width, out) for _ in range(2))
        self.windows = nn.Linear(out, 1, bias=False)

    def forward(
        self, x: torch.Tensor, maps: torch.Tensor, inside: torch.Tensor, owner: torch.Tensor
    ) -> torch.Tensor:
        """(windows, width, h, w) and (windows, maps, h, w) -> (pictures, tokens, out)."""
        normed = torch.cat([self.norm(x), maps], dim=1)
        inside = inside.flatten(2).float()
        scores = self.scores(normed).flatten(2).float().masked_fill(inside == 0, -torch.inf)
        values = normed.flatten(2).transpose(1, 2).float()
        share = inside / inside.sum(2, keepdim=True)
        mean = (share @ values)[:, 0]
        # Rounding can take the difference below 0.
        deviation = ((share @ values.square())[:, 0] - mean.square()).clamp_min(1e-6).sqrt()
        statistics = [
            layer(value.to(x.dtype))
            for layer, value in zip(self.statistics, (mean, deviation), strict=True)
        ]
        weighted = self.out((scores.softmax(2) @ values).to(x.dtype))
        tokens = torch.cat([torch.stack(statistics, 1), weighted], dim=1) + self.kinds
        return _weighted_by_owner(tokens, self.windows(tokens), owner)


def _weighted_by_owner(
    tokens: torch.Tensor, scores: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    """(windows, tokens, dim) -> (pictures, tokens, dim).

    Args:
        scores: (windows, tokens, 1); their softmax over each picture's windows is the weighting.
        owner: (windows,) the picture of each window.
    """
    pictures = int(owner[-1]) + 1
    # A softmax for each picture, less its highest score against overflow, as torch does; a constant
    # for the gradient, which it would not change.
    scores = scores.float()
    index = owner[:, None, None].expand_as(scores)
    highest = scores.new_full((pictures, *scores.shape[1:]), -torch.inf)
    highest = highest.scatter_reduce(0, index, scores.detach(), "amax")
    powers = (scores - highest[owner]).exp()
    sums = torch.zeros_like(highest).index_add(0, owner, powers)
    weights = (powers / sums[owner]).to(tokens.dtype)
    pooled = tokens.new_zeros(pictures, *tokens.shape[1:])
    return pooled.index_add(0, owner, tokens * weights)


class NativeDecoder(nn.Module):
    """Mask logits from features and a prompt: modulated features, plus their product with it."""

    def __init__(self, config: SidaConfig) -> None:
        super().__init__()
        channels = config.mask.output_channels
        self.modulation = nn.Linear(config.out_dim, 2 * channels)
        self.direction = nn.Linear(config.out_dim, channels)
        self.mix = Conv(channels, channels, 1)
        self.out = Conv(channels, 1, 1)

    def forward(self, embedding: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """(windows, channels, h, w) and (windows, out_dim) -> (windows, h, w)."""
        scale, shift = self.modulation(prompt)[:, :, None, None].chunk(2, dim=1)
        features = F.gelu(self.mix(embedding) * (1 + scale) + shift)
        direction = self.direction(prompt)[:, :, None, None]
        logits: torch.Tensor = self.out(features) + (features * direction).mean(1, keepdim=True)
        return logits[:, 0]


def _extend(x: torch.Tensor, valid: torch.Tensor, stride: int) -> torch.Tensor:
    """Repeat the last row and column of the content into the padding.

    What is interpolated across the border of a window then does not depend on its padding.
    """
    height, width = x.shape[-2:]
    last = (valid + stride - 1) // stride - 1
    rows = torch.minimum(torch.arange(height, device=x.device), last[:, :1])
    columns = torch.minimum(torch.arange(width, device=x.device), last[:, 1:])
    x = x.gather(2, rows[:, None, :, None].expand_as(x))
    return x.gather(3, columns[:, None, None, :].expand_as(x))
