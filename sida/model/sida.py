"""`Sida`: a language model that sees a picture, and at two positions says class and mask prompt.

What is unusual about it:
- Class and mask are read from hidden states after the final norm, at positions known beforehand:
  the token before `[CLS]` and the token before `[SEG]`. Nothing is generated for a verdict.
- The mask prompt is one vector; the mask decoder gets no points and no boxes.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, AutoProcessor, DynamicCache, LlamaModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from sida.model import encoders
from sida.model.clip_windows import ClipWindows, ClipWindowsState
from sida.model.config import FUSION_HEADS, SidaConfig
from sida.model.inputs import Inputs
from sida.model.processor import SidaProcessor
from sida.model.prompt import IMAGE_TOKEN
from sida.model.weights import Shards, is_quantized

__all__ = ["Fusion", "Sida", "SidaOutput"]

# transformers renamed the argument that takes a cache; the object is the same.
CACHE = (
    "cache" if "cache" in inspect.signature(LlamaModel.forward).parameters else "past_key_values"
)


@dataclass
class SidaOutput(ModelOutput):
    """Result of a pass over pictures and their conversations.

    Attributes:
        class_logits: (pictures, 3), in the order of `sida.verdict.LABELS`.
        mask_logits: (windows, h, w) of the pictures with a mask position, in their order.
        mask_windows: (windows,) which windows these are.
        logits: (pictures, embedded tokens, vocabulary), or None where not asked for.
        image_tokens: (pictures, image_token_count, dim), as they enter the conversation.
        evidence_logits: (pictures, 3) of the evidence head, of an encoder that has one.
    """

    class_logits: torch.Tensor | None = None
    mask_logits: torch.Tensor | None = None
    mask_windows: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    image_tokens: torch.Tensor | None = None
    evidence_logits: torch.Tensor | None = None


class FusionAttention(nn.MultiheadAttention):
    """torch's attention and its weights, in calls of modules alone.

    torch reads the weights of the projection at the end from outside of it; there they are not,
    where a device map keeps them elsewhere until the projection itself is called.
    """

    def forward(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """(batch, rows, dim) attends to (batch, others, dim), which are keys and values."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        heads = [
            F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, keys, keys), weights, biases, strict=True)
        ]
        attended = F.scaled_dot_product_attention(*heads)
        out: torch.Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out


class Fusion(nn.Module):
    """Lets the class influence the mask prompt by attention; see `SidaConfig.fusion`."""

    def __init__(self, config: SidaConfig) -> None:
        super().__init__()
        self.form = config.fusion
        self.class_query = nn.Linear(3, config.out_dim)
        self.attention = FusionAttention(config.out_dim, FUSION_HEADS, batch_first=True)

    def forward(self, class_logits: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """(pictures, 3) and (pictures, rows, out_dim) -> (pictures, rows, out_dim).

        As published the class is the query and the prompts are keys and values; all rows get the
        same sum. With one row the softmax is over one key, and the class cannot matter.
        """
        query = self.class_query(class_logits)[:, None]
        if self.form == "published":
            attended = self.attention(query, prompts)
        else:
            attended = self.attention(prompts, torch.cat([query, prompts], dim=1))
        fused: torch.Tensor = prompts + attended
        return fused


class Sida(PreTrainedModel):
    """The whole network: encoder, language model, heads, fusion, mask decoder.

    `forward` is for training, where the answer is known. For a verdict, `image_tokens`, `embed`,
    `prefill`, `classify`, `mask_prompts` and `decode_masks` are called one after another by
    `sida.inference.Engine`, which keeps what can be kept.
    """

    config: SidaConfig
    encoder: encoders.Encoder
    decoder: encoders.Decoder
    config_class = SidaConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    # Whole on one device under a device map, beside those of transformers' parts.
    _no_split_modules = (
        *("LlamaDecoderLayer", "CLIPEncoderLayer", "SamVisionLayer"),
        *("SamDecoder", "Native", "NativeDecoder", "Fusion"),
    )
    _tied_weights_keys = {"lm_head.weight": "language.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: SidaConfig) -> None:
        super().__init__(config)
        width = config.language.hidden_size
        self.encoder, self.decoder = encoders.build(config)
        self.language = LlamaModel(config.language)
        self.lm_head = nn.Linear(width, config.language.vocab_size, bias=False)
        self.class_head = nn.Sequential(
            nn.Linear(width, width // 2), nn.ReLU(), nn.Dropout(0.0), nn.Linear(width // 2, 3)
        )
        self.mask_prompt = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.out_dim), nn.Dropout(0.0)
        )
        self.fusion = Fusion(config)
        self.correction: nn.Linear | None = None
        self.post_init()

    @classmethod
    def from_pretrained(cls, path: Any, *args: Any, **kwargs: Any) -> "Sida":
        """As transformers', which does not know matrices that are stored as int8 with scales."""
        if isinstance(path, str | Path) and is_quantized(Path(path)):
            config = kwargs.pop("config", None) or SidaConfig.from_pretrained(path)
            state = dict(Shards(Path(path)).tensors())
            loaded: Sida = super().from_pretrained(
                None, *args, config=config, state_dict=state, **kwargs
            )
            return loaded
        loaded = super().from_pretrained(path, *args, **kwargs)
        return loaded

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        encoders.initialize(module)

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embedding of the language model."""
        words: nn.Embedding = self.language.embed_tokens
        return words

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding, as `resize_token_embeddings` does."""
        self.language.embed_tokens = value
        self.language.vocab_size = self.config.language.vocab_size

    def get_output_embeddings(self) -> nn.Module:
        """The language head."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replace the language head."""
        self.lm_head = value

    @property
    def dtype(self) -> torch.dtype:
        """Of the pixels that go in. In training a frozen encoder may be held in another."""
        return self.encoder.dtype

    @property
    def image_token_count(self) -> int:
        """Vectors that stand for the picture in a conversation."""
        return self.encoder.image_tokens

    def image_tokens(self, inputs: Inputs) -> tuple[torch.Tensor, encoders.EncoderState]:
        """Image tokens (pictures, image_token_count, dim), and the encoder's state for masks."""
        return self.encoder.tokens(inputs)

    def embed(self, input_ids: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        """Put image tokens in the place of the one image id of each row.

        Args:
            input_ids: (pictures, ids), `IMAGE_TOKEN` once a row, in the same column.
            image_tokens: (pictures, image_token_count, dim).

        Returns:
            (pictures, ids - 1 + image_token_count, dim).

        Raises:
            ValueError: the image id is missing, or in different columns.
        """
        image_positions = (input_ids == IMAGE_TOKEN).nonzero()
        if len(image_positions) != len(input_ids) or image_positions[:, 1].unique().numel() > 1:
            raise ValueError("each row needs the image id exactly once, in the same column")
        column = int(image_positions[0, 1])
        words = self.get_input_embeddings()
        before, after = words(input_ids[:, :column]), words(input_ids[:, column + 1 :])
        return torch.cat([before, image_tokens.to(before), after], dim=1)

    def prefill(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: DynamicCache | None = None,
    ) -> torch.Tensor:
        """Hidden states (pictures, tokens, dim) after the final norm.

        Args:
            embeds: (pictures, tokens, dim).
            attention_mask: (pictures, tokens with those of the cache), 0 in the padding, which is
                always on the right.
            cache: keys and values so far; it is extended.
        """
        if attention_mask is not None:
            attention_mask = attention_mask.to(embeds.device)
        arguments: dict[str, Any] = {CACHE: cache, "use_cache": cache is not None}
        hidden: torch.Tensor = self.language(
            inputs_embeds=embeds, attention_mask=attention_mask, **arguments
        ).last_hidden_state
        return hidden

    @property
    def class_feature_count(self) -> int:
        """Numbers that `class_features` gives of a picture."""
        if isinstance(self.encoder, ClipWindows):
            return self.encoder.feature_count
        count: int = self.config.language.hidden_size
        return count

    def class_features(self, hidden: torch.Tensor, state: encoders.EncoderState) -> torch.Tensor:
        """Features (pictures, class_feature_count) from which a correction is learned.

        Those of the encoder where it has a vector for each picture, else the hidden states that the
        class head reads.

        Args:
            hidden: (pictures, dim) at class positions.
            state: of the encoder, from `image_tokens`.
        """
        if isinstance(self.encoder, ClipWindows):
            assert isinstance(state, ClipWindowsState)
            return self.encoder.standardized(state.vectors)
        return hidden

    def evidence(self, hidden: torch.Tensor, state: encoders.EncoderState) -> torch.Tensor:
        """Class logits (pictures, 3) that the encoder gives itself; zeros where it gives none.

        Arguments as of `class_features`.
        """
        if isinstance(self.encoder, ClipWindows):
            assert isinstance(state, ClipWindowsState)
            return state.logits.to(hidden)
        return hidden.new_zeros(*hidden.shape[:-1], 3)

    def add_correction(self) -> None:
        """Add a linear layer from `class_features` to the class logits, with zeros as weights.

        It holds what was learned of a user's own pictures (`sida.train.adaptation`).
        """
        like = self.class_head[0].weight
        layer = nn.Linear(self.class_feature_count, 3, device=like.device, dtype=like.dtype)
        self.correction = layer.requires_grad_(False)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)

    def classify(self, hidden: torch.Tensor, state: encoders.EncoderState = None) -> torch.Tensor:
        """Hidden states (pictures, dim) at class positions -> logits (pictures, 3).

        An encoder's own evidence is where they begin: the class head adds to it. Read through the
        language model alone, it would be told less well than it was before.

        Args:
            state: of the encoder, which may hold evidence, and which a correction may read.
        """
        logits: torch.Tensor = self.class_head(hidden) + self.evidence(hidden, state)
        if self.correction is not None:
            logits = logits + self.correction(self.class_features(hidden, state))
        return logits

    def mask_prompts(self, class_logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states at mask positions -> fused mask prompts.

        Args:
            class_logits: (pictures, 3).
            hidden: (pictures, rows, dim); one row unless a text holds several `[SEG]`.

        Returns:
            (pictures, rows, out_dim).
        """
        fused: torch.Tensor = self.fusion(class_logits, self.mask_prompt(hidden))
        return fused

    def mask_embedding(
        self, inputs: Inputs, windows: torch.Tensor, state: encoders.EncoderState
    ) -> torch.Tensor:
        """The embedding (windows, …) that the mask decoder reads; arguments as `decode_masks`."""
        # An encoder gets the state that it gave itself, which no type can say.
        return self.encoder.embed(inputs, windows, state)  # type: ignore[arg-type]

    def decode_masks(
        self,
        inputs: Inputs,
        windows: torch.Tensor,
        prompts: torch.Tensor,
        state: encoders.EncoderState,
    ) -> torch.Tensor:
        """Mask logits (windows, h, w) of the chosen windows.

        Args:
            inputs: the windows of the call to `image_tokens` that gave `state`; other windows of
                the same pictures with None.
            windows: (windows,) indices into those that masks are made in.
            prompts: (windows, out_dim), the prompt of each window's picture.
        """
        logits: torch.Tensor = self.decoder(self.mask_embedding(inputs, windows, state), prompts)
        return logits

    def forward(
        self,
        inputs: Inputs,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        class_positions: torch.Tensor,
        mask_positions: torch.Tensor,
        text: bool = False,
    ) -> SidaOutput:
        """Teacher-forced pass over a batch of any mixture of classes.

        Args:
            inputs: windows of all pictures.
            input_ids: (pictures, ids), right-padded, with the image id once a row.
            attention_mask: (pictures, ids), 0 in the padding.
            class_positions: (pictures,) embedded index of the token before `[CLS]`.
            mask_positions: (pictures,) embedded index of the token before `[SEG]`; -1 for a picture
                of which no mask is wanted.
            text: whether next-token logits are wanted.
        """
        tokens, state = self.image_tokens(inputs)
        embeds = self.embed(input_ids, tokens)
        # Image tokens are never padding, which is on the right: ones go in front.
        grown = embeds.shape[1] - attention_mask.shape[1]
        attended = torch.cat([attention_mask.new_ones(len(tokens), grown), attention_mask], dim=1)
        hidden = self.prefill(embeds, attended)
        class_logits = self.classify(_at(hidden, class_positions), state)
        # Rows without a mask read position 0 here; none of their windows is decoded.
        prompts = self.mask_prompts(class_logits, _at(hidden, mask_positions.clamp_min(0))[:, None])
        owner = (inputs.vision if inputs.mask is None else inputs.mask).owner
        windows = (mask_positions.to(owner.device)[owner] >= 0).nonzero()[:, 0]
        prompts = prompts[owner[windows].to(prompts.device), 0]
        return SidaOutput(
            class_logits=class_logits,
            mask_logits=self.decode_masks(inputs, windows, prompts, state),
            mask_windows=windows,
            logits=self.lm_head(hidden) if text else None,
            image_tokens=tokens,
            evidence_logits=getattr(state, "logits", None),
        )


def _at(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Hidden state of each row at its position (rows, dim).

    Under a device map positions may come from another device.
    """
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, positions.to(hidden.device)]


AutoModel.register(SidaConfig, Sida)
AutoProcessor.register(SidaConfig, SidaProcessor)
