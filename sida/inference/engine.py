"""From decoded pictures to logits, masks and texts: one prefill each, masks where wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from sida.errors import PictureError
from sida.inference.attention import fuse
from sida.inference.generate import generate_together
from sida.inference.language import ROOM, Past, prefill
from sida.model.clip_windows import ClipWindows
from sida.model.frame import Frame
from sida.model.inputs import Inputs
from sida.model.processor import HasPixels, SidaProcessor
from sida.model.prompt import IMAGE_TOKEN, conversation
from sida.model.sida import Sida

__all__ = ["Begun", "Engine", "Judged", "Looked", "Text", "WantsMask", "WindowLogits"]

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
        evidence: how windows of the picture spoke, where it was asked for and the model can say.
        past: keys and values of the question about this picture, from which an explanation goes on;
            None where none was asked for, or the model was not trained to.
    """

    class_logits: np.ndarray
    mask_logits: np.ndarray | None
    past: Past | None
    evidence: "WindowLogits | None" = None


class WindowLogits(NamedTuple):
    """Class logits that a picture would have, were all of it like a part of it.

    Attributes:
        boxes: left, top, right, bottom of each window in the original.
        windows: (windows, 3) float32.
        whole: (side, side, 3) float32 of the patches of the picture as a whole.
        patches: (windows, side, side, 3) float32 of those of each window.
    """

    boxes: tuple[tuple[int, int, int, int], ...]
    windows: np.ndarray
    whole: np.ndarray
    patches: np.ndarray


class Looked(NamedTuple):
    """What one pass says of a micro-batch.

    Attributes:
        class_logits: (pictures, 3).
        prompts: (pictures, out_dim), of the masks.
        state: what the encoder keeps for masks.
        past: keys and values, where they were wanted.
    """

    class_logits: torch.Tensor
    prompts: torch.Tensor
    state: Any
    past: Past


class Begun(NamedTuple):
    """An explanation to be written: the picture's prefill, the label, and the measured facts."""

    past: Past
    label: str
    facts: str


class Engine:
    """A model in evaluation mode with its processor, and the fixed conversation they share.

    The conversation ends with the answer that a tampered picture would get. The class is read at
    its last prompt token and the mask prompt at its last token; because attention is causal, the
    class does not see the answer (`docs/faithfulness.md`).

    Args:
        model: its weights, device and number type stay as they are from the first pass on.
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
    def _prefix(self) -> Past:
        """Keys and values of the tokens before the picture, the same for all pictures."""
        past = Past([None] * len(self.model.language.layers), 0)
        ids = torch.tensor([self.ids[: self._image]], device=self.model.device)
        prefill(self.model.language, self.model.get_input_embeddings()(ids), past)
        return past

    @property
    def explains(self) -> bool:
        """Whether the model was trained to write explanations."""
        return self.processor.tokenizer.end_id is not None

    @property
    def talks(self) -> bool:
        """Whether it answers questions: a model that goes on from facts has learned only that."""
        return not self.model.config.facts

    def judge(self, pictures: Sequence[HasPixels], wants_mask: Sequence[WantsMask]) -> list[Judged]:
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
        pictures: Sequence[HasPixels],
        wants_mask: Sequence[WantsMask],
        wants_text: Sequence[bool],
        wants_evidence: Sequence[bool] = (),
    ) -> list[Judged | PictureError]:
        """Judge a micro-batch.

        Args:
            pictures: at least one.
            wants_mask: for each picture, whether its class logits (3,) call for a mask.
            wants_text: for each picture, whether an explanation may be asked for. Keys and values
                of the prefill are kept only if one may.
            wants_evidence: for each picture, whether the evidence of its windows is wanted; of
                none where it is empty.

        Returns:
            One result a picture, in their order. A picture whose class or mask logits are not
            finite, as can happen in float16, is a PictureError; the others are not touched by it.
        """
        device, dtype = self.model.device, self.model.dtype
        prepared = [self.processor.see(picture) for picture in pictures]
        inputs, frames = self.processor(prepared, masks=False)
        inputs = inputs.to(device, dtype)
        keep = self.explains and any(wants_text)
        looked = self.look(inputs, keep)
        scores = looked.class_logits.float().cpu().numpy()
        lost = set(np.flatnonzero(~np.isfinite(scores).all(1)).tolist())
        chosen = [i for i, want in enumerate(wants_mask) if i not in lost and want(scores[i])]
        masks = self._masks(prepared, frames, inputs, looked, chosen)
        lost |= set(chosen) - masks.keys()
        evidence = {
            i: self._evidence(frames[i], inputs, looked, i)
            for i, want in enumerate(wants_evidence)
            if want and i not in lost
        }
        return [
            _not_finite(dtype)
            if i in lost
            else Judged(
                class_logits=scores[i],
                mask_logits=masks.get(i),
                past=looked.past.part(i, self.prompt_length) if keep and wants_text[i] else None,
                evidence=evidence.get(i),
            )
            for i in range(len(pictures))
        ]

    @torch.inference_mode()
    def look(self, inputs: Inputs, keep: bool = False) -> Looked:
        """The one pass over a micro-batch, up to class and mask prompt.

        Args:
            inputs: on the model's device, in its number type.
            keep: whether keys and values are wanted afterwards.
        """
        tokens, state = self.model.image_tokens(inputs)
        return self.ask(tokens, state, keep)

    @torch.inference_mode()
    def ask(self, tokens: torch.Tensor, state: Any, keep: bool = False) -> Looked:
        """The language model's part of `look`.

        Args:
            tokens: (pictures, image tokens, dim).
            state: of the encoder, handed on.
        """
        ids = torch.tensor([self.ids[self._image :]], device=tokens.device)
        embeds = self.model.embed(ids.expand(len(tokens), -1), tokens)
        known = self._prefix
        past = Past(known.layers, known.length, 0 if keep else None)
        read = [self.prompt_length - 1 - known.length, embeds.shape[1] - 1]
        hidden = prefill(self.model.language, embeds, past, read)
        logits = self.model.classify(hidden[:, 0])
        return Looked(logits, self.model.mask_prompts(logits, hidden[:, 1:])[:, 0], state, past)

    def _evidence(
        self, frame: Frame, inputs: Inputs, looked: Looked, number: int
    ) -> WindowLogits | None:
        encoder = self.model.encoder
        if not isinstance(encoder, ClipWindows):
            return None
        logits = looked.class_logits[number].float()
        evidence = encoder.evidence_of(inputs, looked.state, number)
        windows, whole, patches = ((logits + part.float()).cpu().numpy() for part in evidence)
        boxes = tuple(window.box for window in frame.windows)
        return WindowLogits(boxes, windows, whole, patches)

    @torch.inference_mode()
    def begin(self, picture: HasPixels) -> Past:
        """Keys and values up to the end of the picture, for a conversation that goes on from it."""
        inputs, _ = self.processor([picture], masks=False)
        tokens, _ = self.model.image_tokens(inputs.to(self.model.device, self.model.dtype))
        ids = torch.tensor([[IMAGE_TOKEN]], device=tokens.device)
        past = Past(self._prefix.layers, self._prefix.length, ROOM)
        prefill(self.model.language, self.model.embed(ids, tokens), past, read=[-1])
        return past

    def _masks(
        self,
        pictures: Sequence[HasPixels],
        frames: Sequence[Any],
        inputs: Inputs,
        looked: Looked,
        chosen: list[int],
    ) -> dict[int, np.ndarray]:
        """Mask logits (height, width) of the chosen pictures by their place in the batch.

        One whose logits are not finite is left out.
        """
        if not chosen:
            return {}
        if inputs.mask is not None:
            owner = inputs.mask.owner
        elif (own := self.processor.mask_windows([pictures[i] for i in chosen])) is None:
            owner = inputs.vision.owner
        else:
            owner = torch.tensor(chosen)[own.owner].to(inputs.vision.owner.device)
            inputs = inputs._replace(mask=own.to(self.model.device, self.model.dtype))
            frames = [
                frame.on_canvas((own.pixels.shape[-2], own.pixels.shape[-1])) for frame in frames
            ]
        # A CPU is busy with one picture; of several at once nothing would stay in its cache.
        together = [[i] for i in chosen] if owner.device.type == "cpu" else [chosen]
        restored: dict[int, np.ndarray] = {}
        for some in together:
            windows = torch.isin(owner, torch.tensor(some, device=owner.device)).nonzero()[:, 0]
            owners = owner[windows]
            logits = self.model.decode_masks(inputs, windows, looked.prompts[owners], looked.state)
            parts = {i: logits[owners == i] for i in some}
            restored |= {
                i: frames[i].restore(part).cpu().numpy()
                for i, part in parts.items()
                if torch.isfinite(part).all()
            }
        return restored

    def explain(self, begun: Sequence[Begun]) -> list[Text]:
        """Write explanations together, each going on from its own picture's prefill."""
        if not begun:
            return []
        tokenizer, facts = self.processor.tokenizer, self.model.config.facts
        answers = [
            conversation(tokenizer, each.label, each.facts if facts else None).answer_ids
            for each in begun
        ]
        stops = frozenset(i for i in (tokenizer.end_id, tokenizer.eos_id) if i is not None)
        past = Past.together([each.past for each in begun])
        written: list[list[int]] = [[] for _ in begun]
        for said in generate_together(self.model, past, answers, stops, TEXT_LIMIT):
            for text, one in zip(written, said, strict=True):
                if one is not None:
                    text.append(one)
        return [self._text(ids, stops) for ids in written]

    def _text(self, ids: list[int], stops: frozenset[int]) -> Text:
        complete = bool(ids) and ids[-1] in stops
        decoded = self.processor.tokenizer.decode(ids[:-1] if complete else ids)
        return Text(decoded.strip(), complete)


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
