"""Conversations: templates, the fixed questions and answers, and where class and mask are read.

The texts are facts of the published model, its slips of spelling included.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sida.model.tokenizer import MARKERS, SPECIAL, Tokenizer

__all__ = [
    "CHAT_REPLIES",
    "IMAGE_TOKEN",
    "QUESTIONS",
    "TEMPLATES",
    "Example",
    "Prompt",
    "Template",
    "answer",
    "build_prompt",
    "clean_reply",
    "encode",
    "facts_ids",
    "fixed_question",
    "neutral",
    "stem",
    "training_example",
]

IMAGE_TOKEN = -200
"""Stands in ids where the image tokens go; it is no row of the embedding."""
IGNORED = -100
IMAGE = "<im_start><image><im_end>"

_STAGE_1 = (
    "Can you identify if this image is real, full synthetic, or tampered image? "
    "Please mask the tampered regions if it is tampered"
)
_README = (
    "Please answer begin with [CLS] for classification, if the image is  tampered, "
    "ouput mask the tampered region"
)
QUESTIONS = {
    "stage1": f"{_STAGE_1}.",
    "stage2": f"{_STAGE_1} and answer why.",
    "readme_detection": f"{_README}. ",
    "readme_description": f"{_README} and explain why. ",
}
_SAID = {"real": "real", "full_synthetic": "full synthetic", "tampered": "tampered"}
CHAT_REPLIES = {
    "real": "[CLS] This image is classified as real. It shows no signs of tampering or synthesis.",
    "full_synthetic": "[CLS] This image is classified as full synthetic. "
    "It appears entirely artificially generated.",
    "tampered": "[CLS] This image is classified as tampered. It has been altered. "
    "[SEG] A mask highlighting the tampered region is provided.",
}


@dataclass(frozen=True)
class Template:
    """What stands around a question and its answer."""

    before: str
    after: str
    end: str

    def prompt(self, question: str) -> str:
        """The text up to where the answer begins; the picture comes first."""
        return f"{self.before}{IMAGE}\n{question.replace('<image>', IMAGE)}{self.after}"

    def conversation(self, question: str, reply: str) -> str:
        """The text with its answer, as trained."""
        return f"{self.prompt(question)} {reply}{self.end}"


TEMPLATES = {
    "llava_v1": Template(
        before="A chat between a curious human and an artificial intelligence assistant. The "
        "assistant gives helpful, detailed, and polite answers to the human's questions. USER: ",
        after=" ASSISTANT:",
        end="</s>",
    ),
    "llava_llama_2": Template(
        before="[INST] <<SYS>>\nYou are a helpful language and vision assistant. You are able to "
        "understand the visual content that the user provides, and assist the user with a variety "
        "of tasks using natural language.\n<</SYS>>\n\n",
        after=" [/INST]",
        end=" </s>",
    ),
}


@dataclass(frozen=True)
class Prompt:
    """Ids before the picture, and after it up to where the answer begins."""

    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """A training conversation.

    Attributes:
        input_ids: with `IMAGE_TOKEN` once.
        labels: the ids themselves where they are supervised, else -100.
        class_positions: indices into `input_ids` of the tokens before each `[CLS]`.
        mask_positions: indices of the tokens before each `[SEG]`.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    class_positions: tuple[int, ...]
    mask_positions: tuple[int, ...]


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a prompt's text: chunks between `<image>` encoded apart, `<s>` only at the start."""
    ids: list[int] = []
    for place, chunk in enumerate(text.split("<image>")):
        if place:
            ids.append(IMAGE_TOKEN)
        ids += tokenizer.encode(chunk, bos=place == 0)
    return ids


def build_prompt(tokenizer: Tokenizer, question: str, template: str = "llava_v1") -> Prompt:
    """The prompt of a question about one picture; an `<image>` typed in it is taken out."""
    ids = encode(tokenizer, TEMPLATES[template].prompt(question.replace("<image>", "")))
    place = ids.index(IMAGE_TOKEN)
    return Prompt(tuple(ids[:place]), tuple(ids[place + 1 :]))


def fixed_question(tokenizer: Tokenizer) -> Prompt:
    """The question that every verdict comes from: stage 2's where the model knows `[END]`."""
    stage = "stage1" if tokenizer.end_id is None else "stage2"
    return build_prompt(tokenizer, QUESTIONS[stage])


def stem(tokenizer: Tokenizer, label: str) -> tuple[int, ...]:
    """Ids of `[CLS] The image is …`; a tampered one's last is where the mask prompt is read."""
    return tuple(tokenizer.encode(f"[CLS] The image is {_SAID[label]}", bos=False))


def answer(label: str, description: str | None = None, end: bool = False) -> str:
    """The trained answer: stage 1's, or with `end` stage 2's."""
    parts = [f"[CLS] The image is {_SAID[label]}"]
    if label == "tampered":
        parts.append("[SEG]")
    if description:
        parts.append(description)
    if end:
        parts.append("[END]")
    return " ".join(parts)


def facts_ids(tokenizer: Tokenizer, facts: str) -> list[int]:
    """Ids of measured facts, as they are given to a model that writes after them."""
    return tokenizer.encode(f"<im_start>{facts}<im_end>", bos=False)


def training_example(
    tokenizer: Tokenizer,
    question: str,
    reply: str,
    template: str = "llava_v1",
    max_ids: int | None = None,
    supervise: bool = True,
) -> Example:
    """A conversation for training.

    Args:
        reply: the answer, as `answer` gives it.
        max_ids: more ids are cut off at the end.
        supervise: whether the answer, from its first token to `</s>`, is learned as text.
    """
    ids = encode(tokenizer, TEMPLATES[template].conversation(question, reply))
    start = len(encode(tokenizer, TEMPLATES[template].prompt(question)))
    labels = [IGNORED] * start + ids[start:] if supervise else [IGNORED] * len(ids)
    ids, labels = ids[:max_ids], labels[:max_ids]
    return Example(
        tuple(ids), tuple(labels), _before(ids, tokenizer.cls_id), _before(ids, tokenizer.seg_id)
    )


def _before(ids: Sequence[int], marker: int) -> tuple[int, ...]:
    return tuple(i - 1 for i, found in enumerate(ids) if found == marker and i)


def neutral(question: str) -> str:
    """A user's text without markers and special tokens, which could move what is read. Ours."""
    unsafe = re.compile("|".join(map(re.escape, (*MARKERS, *SPECIAL, "<image>"))))
    while unsafe.search(question):
        question = unsafe.sub("", question)
    return question


def clean_reply(text: str) -> str:
    """The published description chat's clean-up: each `<tag>content` once.

    Text before the first of them stays; a later tag without content vanishes.
    """
    segments = list(re.finditer(r"<([^>]+)>([^<]+)", text))
    if not segments:
        return text
    distinct = {(found[1], found[2].strip()): found[0] for found in reversed(segments)}
    kept = [found[0] for found in segments if distinct.pop((found[1], found[2].strip()), None)]
    return text[: segments[0].start()] + "".join(kept)
