"""SAM's neck as the published model runs it: in float32 where all else is in float16."""

import torch
from torch.func import functional_call
from transformers.models.sam.modeling_sam import SamVisionNeck

__all__ = ["Neck"]


class Neck(SamVisionNeck):
    """transformers' neck; what would overflow in float16 is worked out in float32."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(windows, height, width, width of SAM) -> (windows, channels, height, width)."""
        embedding: torch.Tensor
        if hidden_states.dtype != torch.float16:
            embedding = super().forward(hidden_states)
            return embedding
        weights = {name: weight.float() for name, weight in self.named_parameters()}
        with torch.autocast(hidden_states.device.type, enabled=False):
            embedding = functional_call(self, weights, hidden_states.float())
        return embedding.to(torch.float16)
