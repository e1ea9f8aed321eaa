"""From decoded pictures to logits, masks and texts: one prefill each, masks where wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from sida.errors import PictureError
from sida.image.read import Picture
from sida.inference.generate import generate, part_of_cache
from sida.model.inputs import Inputs
from sida.model.processor import SidaProcessor
from sida.model.prompt import conversation
from sida.model.sida import Sida

__all__ = ["Engine", "Judged", "Text", "WantsMask"]

WantsMask = Callable[[np.ndarray], bool]

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
            prefill; None where none was asked for, or the model was not trained to.
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
        question = conversation(processor.tokenizer)
        self.ids = list(question.input_ids)
        self.prompt_length = question.embedded(model.image_token_count).class_position + 1

    @property
    def explains(self) -> bool:
        """Whether the model was trained to write explanations."""
        return self.processor.tokenizer.end_id is not None

    def judge(self, pictures: Sequence[Picture], wants_mask: Sequence[WantsMask]) -> list[Judged]:
        """Judge a micro-batch without explanations; as `judge_each`, but all or nothing.

        Raises:
            PictureError: one of them cannot be judged.
        """
        judged = []
        for each in self.judge_each(pictures, wants_mask, [False] * len(pictures)):
            if isinstance(each, PictureError):
                raise each
            judged.append(each)
        return judged

    @torch.inference_mode()
    def judge_each(
        self,
        pictures: Sequence[Picture],
        wants_mask: Sequence[WantsMask],
        wants_text: Sequence[bool],
    ) -> list[Judged | PictureError]:
        """Judge a micro-batch.

        Args:
            pictures: at least one.
            wants_mask: for each picture, whether its class logits (3,) call for a mask.
            wants_text: for each picture, whether an explanation may be asked for. Keys and values
                of the prefill are kept only if one may.

        Returns:
            One result a picture, in their order. A picture whose class or mask logits are not
            finite, as can happen in float16, is a PictureError; the others are not touched by it.
        """
        device, dtype = self.model.device, self.model.dtype
        inputs, frames = self.processor(pictures, masks=False)
        inputs = inputs.to(device, dtype)
        tokens, state = self.model.image_tokens(inputs)
        ids = torch.tensor([self.ids], device=device).expand(len(pictures), -1)
        cache = DynamicCache() if self.explains and any(wants_text) else None
        hidden = self.model.prefill(self.model.embed(ids, tokens), cache=cache)
        logits = self.model.classify(hidden[:, self.prompt_length - 1])
        prompts = self.model.mask_prompts(logits, hidden[:, -1:])[:, 0]
        scores = logits.float().cpu().numpy()
        lost = set(np.flatnonzero(~np.isfinite(scores).all(1)).tolist())
        chosen = [i for i, want in enumerate(wants_mask) if i not in lost and want(scores[i])]
        masks = self._masks(pictures, frames, inputs, state, prompts, chosen)
        lost |= set(chosen) - masks.keys()
        explainers = [
            self._explainer(cache, i) if text else None for i, text in enumerate(wants_text)
        ]
        return [
            _not_finite(dtype) if i in lost else Judged(scores[i], masks.get(i), explainers[i])
            for i in range(len(pictures))
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
        """Mask logits (height, width) of the chosen pictures by their place in the batch.

        One whose logits are not finite is left out.
        """
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
        parts = {i: logits[owners == i] for i in chosen}
        return {
            i: frames[i].restore(part).cpu().numpy()
            for i, part in parts.items()
            if torch.isfinite(part).all()
        }

    def _explainer(self, cache: DynamicCache | None, row: int) -> Callable[[str, str], Text] | None:
        if cache is None:
            return None
        return lambda label, facts: self._explain(cache, row, label, facts)

    def _explain(self, cache: DynamicCache, row: int, label: str, facts: str) -> Text:
        tokenizer = self.processor.tokenizer
        part = part_of_cache(cache, row, self.prompt_length)
        given = facts if self.model.config.facts else None
        ids = conversation(tokenizer, label, given).answer_ids
        stops = frozenset(i for i in (tokenizer.end_id, tokenizer.eos_id) if i is not None)
        written = list(generate(self.model, part, ids, stops, TEXT_LIMIT))
        complete = bool(written) and written[-1] in stops
        return Text(tokenizer.decode(written[:-1] if complete else written).strip(), complete)


def _not_finite(dtype: torch.dtype) -> PictureError:
    name = str(dtype).removeprefix("torch.")
    if dtype == torch.float16:
        return PictureError(
            f"the network leaves the range of {name} on this picture: use dtype bfloat16 or float32"
        )
    return PictureError(
        f"the network gives numbers that are not finite for this picture, in {name}: its weights "
        "may be broken; copy them again, or try another model"
    )
