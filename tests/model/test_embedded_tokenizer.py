"""The tokenizer of the embedded model: small, lossless, and fit for the project's own sentences."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.assets import TOKENIZER
from sida.explanation.wording import sentences
from sida.model.prompt import fixed_question, stem
from sida.model.tokenizer import MARKERS, SPECIAL, Tokenizer
from sida.verdict import LABELS

CUT = (*MARKERS, *SPECIAL)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(TOKENIZER)


def test_markers_come_after_the_pieces_in_the_published_order(tokenizer):
    assert tokenizer.added == {marker: 1000 + i for i, marker in enumerate(MARKERS)}
    assert [tokenizer.sentencepiece.IdToPiece(i) for i in range(3)] == list(SPECIAL)


def test_the_fixed_prompt_is_short(tokenizer):
    prompt = fixed_question(tokenizer)
    assert len(prompt.before) + len(prompt.after) <= 70
    assert all(len(stem(tokenizer, label)) <= 6 for label in LABELS)


def test_the_projects_sentences_take_a_piece_a_word(tokenizer):
    texts = list(itertools.islice(sentences(100), 200))
    assert texts
    for text in texts:
        ids = tokenizer.encode(text, bos=False)
        assert tokenizer.decode(ids) == text
        assert len(ids) <= 2 * len(text.split())
        assert not any(tokenizer.sentencepiece.IsByte(i) for i in ids if i < 1000) or "\n" in text


@given(st.text(st.characters(codec="utf-8")).filter(lambda t: not any(m in t for m in CUT)))
def test_no_text_is_lost(tokenizer, text):
    ids = tokenizer.encode(text, bos=False)
    assert tokenizer.unk_id not in ids
    # sentencepiece writes blanks as "▁", so that one typed by a user comes back as a blank
    assert tokenizer.decode(ids) == text.replace("▁", " ")
