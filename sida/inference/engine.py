"""From decoded pictures to logits, masks and texts: one prefill each, masks where wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from sida.errors import DeviceError
from sida.image.read import Picture
from sida.inference.generate import generate, part_of_cache
from sida.model.inputs import Inputs
from sida.model.processor import SidaProcessor
from sida.model.prompt import IMAGE_TOKEN, facts_ids, fixed_question, stem
from sida.model.sida import Sida
from sida.verdict import LABELS

__all__ = ["Engine", "Judged", "Text"]

TEXT_LIMIT = 512
"""Most tokens of an explanation, as published."""


@dataclass(frozen=True)
class Text:
    """A generated explanation, and whether the model ended it by itself."""

    text: str
    complete: bool


@dataclass(frozen=True)
class Judged:
    """What the network says of one picture.

    Attributes:
        class_logits: (3,) float32, in the order of `LABELS`.
        mask_logits: (height, width) float32 in pixels of the original, or None where not wanted.
        explain: writes the explanation of a label after these facts, going on from this picture's
            prefill; None where the model was not trained to.
    """

    class_logits: np.ndarray
    mask_logits: np.ndarray | None
    explain: Callable[[str, str], Text] | None


class Engine:
    """A model in evaluation mode with its processor, and the fixed conversation they share.

    The conversation ends with the answer that a tampered picture would get. The class is read at
    its last prompt token and the mask prompt at its last token; because attention is causal, the
    class does not see the answer (`docs/faithfulness.md`).
    """

    def __init__(self, model: Sida, processor: SidaProcessor) -> None:
        self.model = model.eval()
        self.processor = processor
        tokenizer = processor.tokenizer
        prompt = fixed_question(tokenizer)
        self.stems: dict[str, list[int]] = {label: list(stem(tokenizer, label)) for label in LABELS}
        self.ids = [*prompt.before, IMAGE_TOKEN, *prompt.after, *self.stems["tampered"]]
        self.prompt_length = len(prompt.before) + model.image_token_count + len(prompt.after)

    @torch.inference_mode()
    def judge(
        self, pictures: Sequence[Picture], wants_mask: Sequence[Callable[[np.ndarray], bool]]
    ) -> list[Judged]:
        """Judge a micro-batch.

        Args:
            pictures: at least one.
            wants_mask: for each picture, whether its class logits (3,) call for a mask.

        Returns:
            One result a picture, in their order.

        Raises:
            DeviceError: class logits are not finite, as can happen in float16.
        """
        device, dtype = self.model.device, self.model.dtype
        inputs, frames = self.processor(pictures, masks=False)
        inputs = inputs.to(device, dtype)
        tokens, state = self.model.image_tokens(inputs)
        ids = torch.tensor([self.ids], device=device).expand(len(pictures), -1)
        cache = DynamicCache()
        hidden = self.model.prefill(self.model.embed(ids, tokens), cache=cache)
        logits = self.model.classify(hidden[:, self.prompt_length - 1])
        prompts = self.model.mask_prompts(logits, hidden[:, -1:])[:, 0]
        scores = logits.float().cpu().numpy()
        if not np.isfinite(scores).all():
            raise DeviceError(
                f"The network leaves the range of {dtype}: load it with dtype bfloat16 or float32."
            )
        chosen = [i for i, want in enumerate(wants_mask) if want(scores[i])]
        masks = self._masks(pictures, frames, inputs, state, prompts, chosen)
        return [
            Judged(scores[i], masks.get(i), self._explainer(cache, i)) for i in range(len(pictures))
        ]

    def _masks(
        self,
        pictures: Sequence[Picture],
        frames: Sequence[Any],
        inputs: Inputs,
        state: Any,
        prompts: torch.Tensor,
        chosen: list[int],
    ) -> dict[int, np.ndarray]:
        """Mask logits (height, width) of the chosen pictures by their place in the batch."""
        if not chosen:
            return {}
        own = self.processor.mask_windows([pictures[i] for i in chosen])
        if own is None:
            owner = inputs.vision.owner
        else:
            owner = torch.tensor(chosen)[own.owner].to(inputs.vision.owner.device)
            inputs = inputs._replace(mask=own.to(self.model.device, self.model.dtype))
        windows = torch.isin(owner, torch.tensor(chosen, device=owner.device)).nonzero()[:, 0]
        logits = self.model.decode_masks(inputs, windows, prompts[owner[windows]], state)
        owners = owner[windows]
        return {i: frames[i].restore(logits[owners == i]).cpu().numpy() for i in chosen}

    def _explainer(self, cache: DynamicCache, row: int) -> Callable[[str, str], Text] | None:
        if self.processor.tokenizer.end_id is None:
            return None
        return lambda label, facts: self._explain(cache, row, label, facts)

    def _explain(self, cache: DynamicCache, row: int, label: str, facts: str) -> Text:
        tokenizer = self.processor.tokenizer
        part = part_of_cache(cache, row, self.prompt_length)
        ids = list(self.stems[label])
        if label == "tampered":
            ids.append(tokenizer.seg_id)
        if self.model.config.facts:
            ids += facts_ids(tokenizer, facts)
        stops = frozenset(i for i in (tokenizer.end_id, tokenizer.eos_id) if i is not None)
        written = list(generate(self.model, part, ids, stops, TEXT_LIMIT))
        complete = bool(written) and written[-1] in stops
        return Text(tokenizer.decode(written[:-1] if complete else written).strip(), complete)
