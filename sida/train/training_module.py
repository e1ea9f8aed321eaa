"""A forward pass of training: the sums of all losses, and the counts that make them means."""

import torch
import torch.nn.functional as F
from torch import nn

from sida.model import Sida
from sida.model.clip_windows import ClipWindows
from sida.model.frame import to_canvas
from sida.model.inputs import Inputs
from sida.model.sida import SidaOutput
from sida.train.cache import FeatureCache
from sida.train.config import LossWeights
from sida.train.loader import Batch
from sida.train.losses import (
    altered_sum,
    class_sum,
    generated_sum,
    mask_sums,
    supervised,
    text_sum,
)
from sida.verdict import LABELS

__all__ = ["LOSSES", "TrainingModule", "counts"]

LOSSES = (
    *("class", "mask_bce", "mask_dice", "text", "image_tokens"),
    *("altered", "generated", "synthetic"),
)


class TrainingModule(nn.Module):
    """A model with the parts that only training needs; wrapped as one for several devices.

    Attributes:
        cache: of the features of frozen encoders, where the recipe asks for it.
        distillation: share of the class target that the evidence head gives.
        token_head: predicts the class from the mean image token alone. Through the language model
            the gradient of an encoder that begins from scratch is faint at first.
    """

    _no_split_modules = ("LlamaDecoderLayer",)
    """Layers that FSDP gathers one by one. Not SAM's, which only pictures with masks pass."""

    def __init__(
        self,
        model: Sida,
        weights: LossWeights,
        cache: FeatureCache | None = None,
        distillation: float = 0.0,
    ) -> None:
        super().__init__()
        self.model, self.weights, self.cache = model, weights, cache
        self.distillation = distillation
        width = model.config.language.hidden_size
        has_evidence_head = isinstance(model.encoder, ClipWindows)
        needed = bool(weights.image_tokens) and not has_evidence_head
        self.token_head = nn.Linear(width, len(LABELS)) if needed else None

    def forward(self, batch: Batch) -> torch.Tensor:
        """Weighted sums (losses,) of a micro-batch, in the order of `LOSSES`."""
        if self.weights.local:
            return self._local_sums(batch)
        if self.weights.synthetic:
            return self._synthetic_sums(batch)
        text = bool((batch.text_labels >= 0).any())
        output = self.model(
            self._inputs(batch),
            batch.input_ids,
            batch.attention_mask,
            batch.class_positions,
            batch.mask_positions,
            text=text,
        )
        size = (batch.masks.shape[-2], batch.masks.shape[-1])
        bce, dice_loss = mask_sums(to_canvas(output.mask_logits, size), batch.masks, batch.inside)
        zero = bce.new_zeros(())
        weights = self.weights
        sums = (
            class_sum(output.class_logits, batch.labels, output.evidence_logits, self.distillation)
            * weights.classes,
            bce * weights.mask_bce,
            dice_loss * weights.mask_dice,
            text_sum(output.logits, batch.text_labels) * weights.text if text else zero,
            self._token_sum(output, batch.labels, zero),
            *(zero, zero, zero),
        )
        return torch.stack(sums)

    def _local_sums(self, batch: Batch) -> torch.Tensor:
        """The losses of local maps (losses,), for which the language model does not run."""
        encoder, windows = self.model.encoder, batch.inputs.mask
        assert isinstance(encoder, ClipWindows)
        assert windows is not None
        maps = encoder.local_maps(windows)
        has_mask = batch.mask_positions[windows.owner] >= 0
        stride = batch.masks.shape[-1] // maps.altered.shape[-1]
        labels = batch.labels[windows.owner]
        # Of a tampered picture nobody knows which patches a generator made.
        untampered = labels != LABELS.index("tampered")
        generated = (labels[untampered] == LABELS.index("full_synthetic")).float()
        sums = torch.zeros(len(LOSSES), device=windows.pixels.device)
        sums[LOSSES.index("altered")] = self.weights.altered * altered_sum(
            maps.altered[has_mask], F.avg_pool2d(batch.masks, stride)
        )
        sums[LOSSES.index("generated")] = self.weights.generated * generated_sum(
            maps.generated[untampered], generated
        )
        return sums

    def _synthetic_sums(self, batch: Batch) -> torch.Tensor:
        """The loss of the whole picture (losses,), for which windows are not encoded."""
        encoder = self.model.encoder
        assert isinstance(encoder, ClipWindows)
        untampered = batch.labels != LABELS.index("tampered")
        logits = encoder.synthetic_logits(batch.inputs.vision.pixels[untampered])
        target = (batch.labels[untampered] == LABELS.index("full_synthetic")).float()
        sums = torch.zeros(len(LOSSES), device=logits.device)
        sums[LOSSES.index("synthetic")] = (
            self.weights.synthetic
            * F.binary_cross_entropy_with_logits(logits.float(), target, reduction="sum")
        )
        return sums

    def _inputs(self, batch: Batch) -> Inputs:
        inputs = batch.inputs
        if self.cache is None or inputs.features is not None:
            return inputs
        masked = (batch.mask_positions >= 0).tolist()
        return inputs._replace(features=self.cache.make(inputs, batch.keys, masked))

    def _token_sum(
        self, output: SidaOutput, labels: torch.Tensor, zero: torch.Tensor
    ) -> torch.Tensor:
        if not self.weights.image_tokens:
            return zero
        logits = output.evidence_logits
        if self.token_head is not None:
            assert output.image_tokens is not None
            logits = self.token_head(output.image_tokens.mean(1))
        assert logits is not None
        return class_sum(logits, labels) * self.weights.image_tokens


def counts(batch: Batch) -> torch.Tensor:
    """Numbers of items that each of `LOSSES` adds up over (losses,).

    Pictures, masks, filled masks, tokens, pictures, windows with a true mask, windows of
    photographs and synthetic pictures, and these pictures.
    """
    filled = (batch.masks * batch.inside).flatten(1).any(1).sum()
    pictures, masks = len(batch.labels), len(batch.masks)
    tokens = supervised(batch.text_labels)
    owner = (batch.inputs.vision if batch.inputs.mask is None else batch.inputs.mask).owner
    untampered = batch.labels != LABELS.index("tampered")
    numbers = [pictures, masks, int(filled), tokens, pictures, masks]
    numbers += [int(untampered[owner].sum()), int(untampered.sum())]
    return torch.tensor(numbers, dtype=torch.float64)
