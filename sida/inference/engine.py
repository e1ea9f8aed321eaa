"""From decoded pictures to logits, masks and texts: one prefill each, masks where asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from sida.errors import PictureError
from sida.inference.attention import fuse
from sida.inference.generate import generate_batch
from sida.inference.llama import SPARE_SLOTS, KVCache, prefill
from sida.model.clip_windows import ClipWindows, ClipWindowsState
from sida.model.encoders import EncoderState
from sida.model.frame import Frame
from sida.model.inputs import Inputs, Windows
from sida.model.processor import HasPixels, SidaProcessor
from sida.model.prompt import IMAGE_TOKEN, conversation
from sida.model.sida import Sida

__all__ = [
    "Engine",
    "ForwardOutput",
    "GeneratedText",
    "ImageOutput",
    "MaskRule",
    "TextPrompt",
    "WindowLogits",
]

MaskRule = Callable[[np.ndarray], bool]
"""True where class logits (3,) call for a mask."""

TEXT_LIMIT = 512
"""Most tokens of an explanation, as published."""


@dataclass(frozen=True)
class GeneratedText:
    """A generated explanation; `complete` where the model ended it by itself."""

    text: str
    complete: bool


@dataclass(frozen=True)
class ImageOutput:
    """The network's output for one picture.

    Attributes:
        class_logits: (3,) float32, in the order of `LABELS`.
        mask_logits: (height, width) float32 in pixels of the original, or None where not asked for.
        evidence: how windows of the picture spoke, where it was asked for and the model can say.
        cache: keys and values of the question about this picture, from which an explanation goes
            on; None where none was asked for, or the model was not trained to explain.
    """

    class_logits: np.ndarray
    mask_logits: np.ndarray | None
    cache: KVCache | None
    evidence: "WindowLogits | None" = None


class WindowLogits(NamedTuple):
    """Class logits that a picture would have, were all of it like a part of it.

    Attributes:
        boxes: left, top, right, bottom of each window in the original.
        windows: (windows, 3) float32.
        patches: (windows, side, side, 3) float32 of the patches of each window.
    """

    boxes: tuple[tuple[int, int, int, int], ...]
    windows: np.ndarray
    patches: np.ndarray


class ForwardOutput(NamedTuple):
    """The output of one forward pass over a micro-batch.

    Attributes:
        class_logits: (pictures, 3).
        prompts: (pictures, out_dim), of the masks.
        state: kept by the encoder for masks.
        cache: keys and values, where they were asked for.
        class_hidden: (pictures, dim) hidden states that the class was read from.
    """

    class_logits: torch.Tensor
    prompts: torch.Tensor
    state: EncoderState
    cache: KVCache
    class_hidden: torch.Tensor


class TextPrompt(NamedTuple):
    """An explanation to be written: the picture's prefill, the label, and the measured facts."""

    cache: KVCache
    label: str
    facts: str


class Engine:
    """A model in evaluation mode with its processor, and the fixed conversation they share.

    The conversation ends with the answer that a tampered picture would get. The class is read at
    its last prompt token and the mask prompt at its last token; because attention is causal, the
    class does not see the answer (`docs/faithfulness.md`).

    Args:
        model: its weights, device and dtype stay as they are from the first pass on.
    """

    def __init__(self, model: Sida, processor: SidaProcessor) -> None:
        self.model = model.eval()
        self.processor = processor
        fuse(model)
        question = conversation(processor.tokenizer)
        self.ids = list(question.input_ids)
        self.prompt_length = question.embedded(model.image_token_count).class_position + 1
        self._image = self.ids.index(IMAGE_TOKEN)

    @cached_property
    def _prefix(self) -> KVCache:
        """Keys and values of the tokens before the picture, the same for all pictures."""
        cache = KVCache([None] * len(self.model.language.layers), 0)
        ids = torch.tensor([self.ids[: self._image]], device=self.model.device)
        prefill(self.model.language, self.model.get_input_embeddings()(ids), cache)
        return cache

    @property
    def explains(self) -> bool:
        """True for a model that was trained to write explanations."""
        return self.processor.tokenizer.end_id is not None

    @property
    def converses(self) -> bool:
        """True for a model that answers questions; one that goes on from facts does only that."""
        return not self.model.config.facts

    def infer(self, pictures: Sequence[HasPixels], rules: Sequence[MaskRule]) -> list[ImageOutput]:
        """Outputs of a micro-batch without explanations; as `infer_each`, but all or nothing.

        Raises:
            PictureError: one of them has logits that are not finite.
        """
        outputs = []
        for output in self.infer_each(pictures, rules, [False] * len(pictures)):
            if isinstance(output, PictureError):
                raise output
            outputs.append(output)
        return outputs

    @torch.inference_mode()
    def infer_each(
        self,
        pictures: Sequence[HasPixels],
        rules: Sequence[MaskRule],
        explain: Sequence[bool],
        evidence: Sequence[bool] = (),
    ) -> list[ImageOutput | PictureError]:
        """Outputs of a micro-batch.

        Args:
            pictures: at least one.
            rules: for each picture, the rule by which its class logits call for a mask.
            explain: for each picture, True where an explanation may be asked for. Keys and values
                of the prefill are kept only if one may.
            evidence: for each picture, True where the evidence of its windows is asked for; of
                none where it is empty.

        Returns:
            One result a picture, in their order. A picture whose class or mask logits are not
            finite, as can happen in float16, is a PictureError; the others are not touched by it.
        """
        device, dtype = self.model.device, self.model.dtype
        prepared = [self.processor.preprocess(picture) for picture in pictures]
        # Pixels for masks are made below, of those pictures alone that get one.
        inputs, frames = self.processor(prepared, masks=False)
        inputs = inputs.to(device, dtype)
        keep_cache = self.explains and any(explain)
        output = self.forward(inputs, keep_cache)
        scores = output.class_logits.float().cpu().numpy()
        failed = set(np.flatnonzero(~np.isfinite(scores).all(1)).tolist())
        masked = [i for i, rule in enumerate(rules) if i not in failed and rule(scores[i])]
        masks = self._masks(prepared, frames, inputs, output, masked)
        failed |= set(masked) - masks.keys()
        window_logits = {
            i: self._evidence(frames[i], inputs, output, i)
            for i, enabled in enumerate(evidence)
            if enabled and i not in failed
        }
        caches = {
            i: output.cache.row(i, self.prompt_length)
            for i, may_explain in enumerate(explain)
            if keep_cache and may_explain
        }
        return [
            _not_finite(dtype)
            if i in failed
            else ImageOutput(scores[i], masks.get(i), caches.get(i), window_logits.get(i))
            for i in range(len(pictures))
        ]

    @torch.inference_mode()
    def forward(self, inputs: Inputs, keep_cache: bool = False) -> ForwardOutput:
        """The one pass over a micro-batch, up to class and mask prompt.

        Args:
            inputs: on the model's device, in its dtype.
            keep_cache: keys and values are needed afterwards.
        """
        tokens, state = self.model.image_tokens(inputs)
        return self.prefill(tokens, state, keep_cache)

    @torch.inference_mode()
    def prefill(
        self, image_tokens: torch.Tensor, state: EncoderState, keep_cache: bool = False
    ) -> ForwardOutput:
        """The language model's part of `forward`.

        Args:
            image_tokens: (pictures, image tokens, dim).
            state: of the encoder, handed on.
        """
        ids = torch.tensor([self.ids[self._image :]], device=image_tokens.device)
        embeds = self.model.embed(ids.expand(len(image_tokens), -1), image_tokens)
        prefix = self._prefix
        # Without spare slots nothing is kept: keys and values of a layer are freed after it.
        cache = KVCache(prefix.layers, prefix.length, 0 if keep_cache else None)
        read = [self.prompt_length - 1 - prefix.length, embeds.shape[1] - 1]
        hidden = prefill(self.model.language, embeds, cache, read)
        logits = self.model.classify(hidden[:, 0], state)
        prompts = self.model.mask_prompts(logits, hidden[:, 1:])[:, 0]
        return ForwardOutput(logits, prompts, state, cache, hidden[:, 0])

    def _evidence(
        self, frame: Frame, inputs: Inputs, output: ForwardOutput, index: int
    ) -> WindowLogits | None:
        encoder = self.model.encoder
        if not isinstance(encoder, ClipWindows):
            return None
        logits = output.class_logits[index].float()
        assert inputs.mask is not None
        assert isinstance(output.state, ClipWindowsState)
        evidence = encoder.evidence_of(
            inputs.mask.owner, output.state, index, self.model.correction
        )
        arrays = ((logits + part.float()).cpu().numpy() for part in evidence)
        return WindowLogits(tuple(window.box for window in frame.windows), *arrays)

    @torch.inference_mode()
    def prefill_picture(self, picture: HasPixels) -> KVCache:
        """Keys and values up to the end of the picture, for a conversation that goes on from it."""
        inputs, _ = self.processor([picture], masks=False)
        tokens, _ = self.model.image_tokens(inputs.to(self.model.device, self.model.dtype))
        ids = torch.tensor([[IMAGE_TOKEN]], device=tokens.device)
        cache = KVCache(self._prefix.layers, self._prefix.length, SPARE_SLOTS)
        prefill(self.model.language, self.model.embed(ids, tokens), cache, read=[-1])
        return cache

    def _masks(
        self,
        pictures: Sequence[HasPixels],
        frames: Sequence[Frame],
        inputs: Inputs,
        output: ForwardOutput,
        masked: list[int],
    ) -> dict[int, np.ndarray]:
        """Mask logits (height, width) by the index of their picture, of those in `masked`.

        One whose logits are not finite is left out.
        """
        if not masked:
            return {}
        if inputs.mask is not None:
            owner = inputs.mask.owner
        elif (windows := self.processor.mask_windows([pictures[i] for i in masked])) is None:
            owner = inputs.vision.owner
        else:
            # Owners count the pictures that get a mask; here they become indices of the batch.
            owner = torch.tensor(masked)[windows.owner].to(inputs.vision.owner.device)
            inputs = inputs._replace(mask=windows.to(self.model.device, self.model.dtype))
            canvas = (windows.pixels.shape[-2], windows.pixels.shape[-1])
            frames = [frame.on_canvas(canvas) for frame in frames]
        masks: dict[int, np.ndarray] = {}
        for group in _groups(masked, owner.device):
            members = torch.tensor(group, device=owner.device)
            indices = torch.isin(owner, members).nonzero()[:, 0]
            owners = owner[indices]
            logits = self.model.decode_masks(inputs, indices, output.prompts[owners], output.state)
            windows, views = self.processor.further_windows([pictures[i] for i in group])
            further = self._further_logits(windows, output.prompts[members])
            for n, i in enumerate(group):
                between, squeezed = further[2 * n : 2 * n + 2]
                parts = [([*frames[i].windows, *views[2 * n]], [logits[owners == i], between])]
                if len(squeezed):
                    # With as much say as all others together (docs/experiments.md).
                    parts.append((views[2 * n + 1], [squeezed]))
                if all(torch.isfinite(rows).all() for _, part in parts for rows in part):
                    maps = [
                        replace(frames[i], windows=tuple(placed)).restore(torch.cat(part))
                        for placed, part in parts
                    ]
                    masks[i] = torch.stack(maps).mean(0).cpu().numpy()
        return masks

    def _further_logits(
        self, windows: Windows | None, prompts: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """Mask logits (windows, h, w) by the owners of `further_windows`, two of each picture.

        Args:
            prompts: (pictures, out_dim).
        """
        if windows is None:
            return [prompts.new_zeros(0)] * (2 * len(prompts))
        windows = windows.to(self.model.device, self.model.dtype)
        numbers = torch.arange(len(windows.owner), device=windows.owner.device)
        inputs = Inputs(windows, windows)
        logits = self.model.decode_masks(inputs, numbers, prompts[windows.owner // 2], None)
        return [logits[windows.owner == owner] for owner in range(2 * len(prompts))]

    def explain(self, prompts: Sequence[TextPrompt]) -> list[GeneratedText]:
        """Write explanations together, each going on from its own picture's prefill."""
        if not prompts:
            return []
        tokenizer, takes_facts = self.processor.tokenizer, self.model.config.facts
        answers = [
            conversation(tokenizer, prompt.label, prompt.facts if takes_facts else None).answer_ids
            for prompt in prompts
        ]
        stops = frozenset(i for i in (tokenizer.end_id, tokenizer.eos_id) if i is not None)
        cache = KVCache.concatenate([prompt.cache for prompt in prompts])
        texts: list[list[int]] = [[] for _ in prompts]
        for next_ids in generate_batch(self.model, cache, answers, stops, TEXT_LIMIT):
            for text, next_id in zip(texts, next_ids, strict=True):
                if next_id is not None:
                    text.append(next_id)
        return [self._decode(ids, stops) for ids in texts]

    def _decode(self, ids: list[int], stops: frozenset[int]) -> GeneratedText:
        complete = bool(ids) and ids[-1] in stops
        text = self.processor.tokenizer.decode(ids[:-1] if complete else ids)
        return GeneratedText(text.strip(), complete)


def _groups(pictures: list[int], device: torch.device) -> list[list[int]]:
    """Pictures whose masks are made together."""
    # A CPU is busy with one picture; of several at once nothing would stay in its cache.
    return [[picture] for picture in pictures] if device.type == "cpu" else [pictures]


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
