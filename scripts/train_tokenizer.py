"""Train the tokenizer of the embedded model on the project's own sentences.

    python scripts/train_tokenizer.py [FOLDER]

Writes `tokenizer.model` and `added_tokens.json`, by default where the package keeps the embedded
model. The same sentences give the same bytes. A model that was trained with the old files
cannot be used with new ones: train it again.
"""

import argparse
import io
import re
import string
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from sida.assets import TOKENIZER
from sida.explanation.wording import sentences
from sida.model import prompt
from sida.model.tokenizer import MARKERS, SPECIAL, Tokenizer
from sida.verdict import LABELS

PIECES = 1000
LONGEST = 4000
"""Characters; sentencepiece leaves out longer sentences without a word."""


def corpus() -> Iterator[str]:
    """Every text of the conversations and every kind of description, cut as the tokenizer cuts."""
    markers = re.compile("|".join(map(re.escape, (*MARKERS, *SPECIAL, "<image>", "\n"))))
    for text in (*_fixed_texts(), *sentences()):
        yield from (piece.strip()[:LONGEST] for piece in markers.split(text) if piece.strip())


def _fixed_texts() -> Iterator[str]:
    for template in prompt.TEMPLATES.values():
        yield from (template.before, template.after, template.end)
    yield from prompt.QUESTIONS.values()
    yield from prompt.CHAT_REPLIES.values()
    yield from map(prompt.answer, LABELS)


def train() -> Tokenizer:
    """Byte-pair pieces with LLaMA's settings: nothing is normalised, bytes stand for the rest."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=corpus(),
        model_writer=written,
        model_type="bpe",
        vocab_size=PIECES,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        required_chars=string.ascii_letters + string.digits + string.punctuation,
        num_threads=1,
        minloglevel=2,
    )
    added = {token: PIECES + i for i, token in enumerate(MARKERS)}
    return Tokenizer(written.getvalue(), added)


def main() -> None:
    """Train, write, and say how long the fixed prompt is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=TOKENIZER)
    folder = parser.parse_args().folder
    tokenizer = train()
    tokenizer.save(folder)
    question = prompt.fixed_question(tokenizer)
    length = len(question.before) + len(question.after)
    print(f"{folder}: {len(tokenizer)} ids; the fixed prompt takes {length} of them.")


if __name__ == "__main__":
    main()
