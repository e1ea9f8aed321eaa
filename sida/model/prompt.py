"""Conversations: templates, the fixed questions and answers, and where class and mask are read.

The texts are facts of the published model, its slips of spelling included.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple

from sida.model.tokenizer import MARKERS, SPECIAL, Tokenizer

__all__ = [
    "CHAT_REPLIES",
    "IGNORED",
    "IMAGE_TOKEN",
    "QUESTIONS",
    "TEMPLATES",
    "Embedded",
    "EncodedConversation",
    "Prompt",
    "Template",
    "build_prompt",
    "clean_reply",
    "conversation",
    "encode",
    "fixed_question",
    "later_question",
    "neutral",
    "stem",
]

IMAGE_TOKEN = -200
"""Stands in ids where the image tokens go; it is no row of the embedding."""
IGNORED = -100
"""Label of a token that is not learned."""
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
_CLASS_NAMES = {"real": "real", "full_synthetic": "full synthetic", "tampered": "tampered"}
CHAT_REPLIES = {
    "real": "[CLS] This image is classified as real. It shows no signs of tampering or synthesis.",
    "full_synthetic": "[CLS] This image is classified as full synthetic. "
    "It appears entirely artificially generated.",
    "tampered": "[CLS] This image is classified as tampered. It has been altered. "
    "[SEG] A mask highlighting the tampered region is provided.",
}


@dataclass(frozen=True)
class Template:
    """Texts around a question, at the end of its answer, and before a later question."""

    before: str
    after: str
    end: str
    again: str

    def prompt(self, question: str) -> str:
        """The text up to where the answer begins; the picture comes first."""
        return f"{self.before}{IMAGE}\n{question.replace('<image>', IMAGE)}{self.after}"


TEMPLATES = {
    "llava_v1": Template(
        before="A chat between a curious human and an artificial intelligence assistant. The "
        "assistant gives helpful, detailed, and polite answers to the human's questions. USER: ",
        after=" ASSISTANT:",
        end="</s>",
        again="USER: ",
    ),
    "llava_llama_2": Template(
        before="[INST] <<SYS>>\nYou are a helpful language and vision assistant. You are able to "
        "understand the visual content that the user provides, and assist the user with a variety "
        "of tasks using natural language.\n<</SYS>>\n\n",
        after=" [/INST]",
        end=" </s>",
        again="<s>[INST] ",
    ),
}


@dataclass(frozen=True)
class Prompt:
    """Ids before the picture, and after it up to where the answer begins."""

    before: tuple[int, ...]
    after: tuple[int, ...]


class Embedded(NamedTuple):
    """Labels and positions of a conversation once vectors stand for its picture.

    Attributes:
        labels: one an embedded token.
        class_position: embedded index of the token before `[CLS]`.
        mask_position: embedded index of the token before `[SEG]`; -1 where there is none.
    """

    labels: tuple[int, ...]
    class_position: int
    mask_position: int


@dataclass(frozen=True)
class EncodedConversation:
    """The fixed question with an answer, or with the beginning of one.

    Attributes:
        input_ids: with `IMAGE_TOKEN` once.
        labels: the ids themselves where they are learned as text, else `IGNORED`.
        class_position: index of the token before `[CLS]`, the last of the prompt.
        mask_position: index of the token before `[SEG]`; None in an answer without a mask.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    class_position: int
    mask_position: int | None

    @property
    def answer_ids(self) -> tuple[int, ...]:
        """Ids after the prompt."""
        return self.input_ids[self.class_position + 1 :]

    def embedded(self, image_tokens: int) -> Embedded:
        """Labels and positions where so many vectors stand in the place of the image id."""
        image, shift = self.input_ids.index(IMAGE_TOKEN), image_tokens - 1
        labels = (*self.labels[:image], *[IGNORED] * image_tokens, *self.labels[image + 1 :])
        mask = -1 if self.mask_position is None else self.mask_position + shift
        return Embedded(labels, self.class_position + shift, mask)


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a prompt's text: chunks between `<image>` encoded apart, `<s>` only at the start."""
    ids: list[int] = []
    for number, chunk in enumerate(text.split("<image>")):
        if number:
            ids.append(IMAGE_TOKEN)
        ids += tokenizer.encode(chunk, bos=number == 0)
    return ids


def build_prompt(tokenizer: Tokenizer, question: str, template: str = "llava_v1") -> Prompt:
    """The prompt of a question about one picture; an `<image>` typed in it is taken out."""
    ids = encode(tokenizer, TEMPLATES[template].prompt(question.replace("<image>", "")))
    image = ids.index(IMAGE_TOKEN)
    return Prompt(tuple(ids[:image]), tuple(ids[image + 1 :]))


def later_question(
    tokenizer: Tokenizer, question: str, template: str = "llava_v1"
) -> tuple[int, ...]:
    """Ids of a question that follows an answer's end, up to where its own answer begins."""
    around = TEMPLATES[template]
    text = f"{around.again}{question.replace('<image>', '')}{around.after}"
    return tuple(tokenizer.encode(text, bos=False))


def fixed_question(tokenizer: Tokenizer, template: str = "llava_v1") -> Prompt:
    """The question that every verdict comes from: stage 2's where the model knows `[END]`."""
    stage = "stage1" if tokenizer.end_id is None else "stage2"
    return build_prompt(tokenizer, QUESTIONS[stage], template)


def stem(tokenizer: Tokenizer, label: str) -> tuple[int, ...]:
    """Ids of `[CLS] The image is …`; a tampered one's last is where the mask prompt is read."""
    return tuple(tokenizer.encode(_stem_text(label), bos=False))


def _stem_text(label: str) -> str:
    return f"[CLS] The image is {_CLASS_NAMES[label]}"


def _facts_text(facts: str) -> str:
    """Measured facts, as they are given to a model that writes after them."""
    return f"<im_start>{facts}<im_end>"


def conversation(
    tokenizer: Tokenizer,
    label: str | None = None,
    facts: str | None = None,
    text: str | None = None,
    template: str = "llava_v1",
) -> EncodedConversation:
    """The fixed question and its answer, for verdicts, explanations and training alike.

    - `conversation(tokenizer)` is what every verdict is read from: it ends with the stem of a
      tampered picture, whose last token is where the mask prompt is read.
    - `conversation(tokenizer, label, facts)` is the beginning of an explanation: the stem, `[SEG]`
      where the label has a mask, the facts. A model goes on from there.
    - `conversation(tokenizer, label, facts, text)` is the whole answer, as trained: behind the text
      `[END]` where the model knows it, then `</s>`. An empty text gives the published
      answer without a description.

    Args:
        label: None for a verdict, which needs no answer.
        facts: measured facts, which are read and not learned; None where the model knows none.
        text: a description, which is learned with the stem before it and all that is behind it;
            where it is empty or None nothing is.
        template: a key of `TEMPLATES`.
    """
    prompt = fixed_question(tokenizer, template)
    start = [*prompt.before, IMAGE_TOKEN, *prompt.after]
    class_position = len(start) - 1
    if label is None:
        ids = (*start, *stem(tokenizer, "tampered"))
        return EncodedConversation(ids, (IGNORED,) * len(ids), class_position, len(ids) - 1)
    stem_ids = stem(tokenizer, label)
    masked = label == "tampered"
    parts = [
        _stem_text(label),
        "[SEG]" if masked else "",
        "" if facts is None else _facts_text(facts),
    ]
    if text is not None:
        parts += [text, "" if tokenizer.end_id is None else "[END]"]
    # Encoded as one, since the blank before `</s>` is a token only where no marker stands there.
    reply = " ".join(filter(None, parts)) + ("" if text is None else TEMPLATES[template].end)
    answer = tokenizer.encode(reply, bos=False)
    learned = list(answer) if text else [IGNORED] * len(answer)
    if facts is not None:
        facts_start = len(stem_ids) + masked
        count = len(tokenizer.encode(_facts_text(facts), bos=False))
        learned[facts_start : facts_start + count] = [IGNORED] * count
    return EncodedConversation(
        input_ids=(*start, *answer),
        labels=(*[IGNORED] * len(start), *learned),
        class_position=class_position,
        mask_position=class_position + len(stem_ids) if masked else None,
    )


def neutral(question: str, keep: Container[str] = ()) -> str:
    """A user's text without markers and special tokens, which could move what is read. Ours."""
    tokens = [token for token in (*MARKERS, *SPECIAL, "<image>") if token not in keep]
    unsafe = re.compile("|".join(map(re.escape, tokens)))
    # Repeated, since taking a marker out can put another together: `[S[SEG]EG]`.
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
    distinct = {(match[1], match[2].strip()): match[0] for match in reversed(segments)}
    # Taken out where it comes first, a tag is missing where it comes again.
    tags = [match[0] for match in segments if distinct.pop((match[1], match[2].strip()), None)]
    return text[: segments[0].start()] + "".join(tags)
