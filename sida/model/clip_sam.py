"""The published pair: CLIP for the class, SAM for masks."""

from collections.abc import Iterable

import torch
from torch import nn
from transformers import CLIPVisionModel
from transformers.models.sam.modeling_sam import (
    SamMaskDecoder,
    SamPromptEncoder,
    SamVisionEncoder,
)

from sida.model.config import SidaConfig
from sida.model.inputs import Inputs
from sida.model.neck import Neck

__all__ = ["ClipSam", "SamDecoder"]


class ClipSam(nn.Module):
    """CLIP ViT-L/14 with a linear projector for the class, SAM's image encoder for masks."""

    cached = ("vision", "mask")
    """Features of a picture that a cache may keep (`sida.train.cache`)."""

    def __init__(self, config: SidaConfig) -> None:
        super().__init__()
        vision = type(config.vision).from_dict(config.vision.to_dict())
        # Layers behind the one that is read would only cost time and memory.
        vision.num_hidden_layers += config.select_layer + 1
        vision._attn_implementation = config.vision._attn_implementation
        self.clip = CLIPVisionModel(vision)
        self.projector = nn.Linear(vision.hidden_size, config.language.hidden_size)
        self.sam = SamVisionEncoder(config.mask.encoder())
        self.sam.neck = Neck(config.mask.encoder())
        self.image_tokens = (vision.image_size // vision.patch_size) ** 2

    @property
    def dtype(self) -> torch.dtype:
        """Of the pixels that go in."""
        dtype: torch.dtype = self.clip.dtype
        return dtype

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """CLIP's patch features (pictures, image_tokens, clip width), class token dropped."""
        hidden: torch.Tensor = self.clip(pixel_values=pixels).last_hidden_state
        return hidden[:, 1:]

    def vision_features(self, inputs: Inputs, number: int) -> torch.Tensor:
        """CLIP's patch features (image_tokens, clip width) of one picture of a batch."""
        return self.features(inputs.vision.pixels[number : number + 1])[0]

    def fit(self, batches: Iterable[Inputs]) -> None:
        """Nothing: what goes in has fixed scales."""

    def tokens(self, inputs: Inputs) -> tuple[torch.Tensor, None]:
        """Image tokens (pictures, image_tokens, language width); there is one window a picture."""
        cached = inputs.features
        features = self.features(inputs.vision.pixels) if cached is None else cached.vision
        tokens: torch.Tensor = self.projector(features)
        return tokens, None

    def embed(self, inputs: Inputs, windows: torch.Tensor, state: None) -> torch.Tensor:
        """SAM's embedding (windows, channels, 64, 64) of the chosen windows of `inputs.mask`."""
        if inputs.features is not None and inputs.features.mask is not None:
            return inputs.features.mask
        assert inputs.mask is not None
        if not len(windows):  # transformers' attention cannot reshape an empty batch
            grid = self.sam.config.image_size // self.sam.config.patch_size
            return inputs.mask.pixels.new_zeros(0, self.sam.config.output_channels, grid, grid)
        embedding: torch.Tensor = self.sam(inputs.mask.pixels[windows]).last_hidden_state
        return embedding


class SamDecoder(nn.Module):
    """SAM's mask decoder, prompted by one vector a window."""

    def __init__(self, config: SidaConfig) -> None:
        super().__init__()
        self.prompt_encoder = SamPromptEncoder(config.mask.prompt())
        self.mask_decoder = SamMaskDecoder(config.mask.decoder())

    def forward(self, embedding: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """Mask logits (windows, 256, 256).

        Args:
            embedding: (windows, channels, 64, 64).
            prompt: (windows, channels), the only sparse token.
        """
        if not len(embedding):
            side = 4 * embedding.shape[-1]
            return embedding.new_zeros(0, side, side)
        # Without points, boxes and mask SAM takes a learned "no mask" embedding.
        _, dense = self.prompt_encoder(None, None, None, None)
        positions = self._positions(embedding)
        masks, _ = self.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=positions.expand(len(embedding), -1, -1, -1),
            sparse_prompt_embeddings=prompt[:, None, None],
            dense_prompt_embeddings=dense.expand(len(embedding), -1, -1, -1),
            multimask_output=False,
        )
        logits: torch.Tensor = masks[:, 0, 0]
        return logits

    def _positions(self, embedding: torch.Tensor) -> torch.Tensor:
        # Centres of cells in 0-1, as SAM itself has them; transformers' own method sits in a class
        # that is not used here.
        height, width = embedding.shape[-2:]
        y = (torch.arange(height, device=embedding.device) + 0.5) / height
        x = (torch.arange(width, device=embedding.device) + 0.5) / width
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        encoded: torch.Tensor = self.prompt_encoder.shared_embedding(centres[None])
        return encoded.permute(0, 3, 1, 2)
