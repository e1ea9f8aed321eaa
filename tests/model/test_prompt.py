"""Ids exactly as the published tokenizer and its collation give them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.errors import CheckpointError
from sida.model import prompt as prompts
from sida.model.prompt import (
    IGNORED,
    IMAGE_TOKEN,
    QUESTIONS,
    TEMPLATES,
    EncodedConversation,
    conversation,
)
from sida.model.tokenizer import MARKERS, SPECIAL, Tokenizer
from sida.verdict import LABELS


@pytest.fixture(scope="module")
def cases(shared: Path):
    return json.loads((shared / "oracle/tokenizer/cases.json").read_text())


@pytest.fixture(scope="module")
def tokenizers(shared: Path, cases) -> dict[str, Tokenizer]:
    model = (shared / "oracle/tokenizer/tokenizer.model").read_bytes()
    return {
        stage_name: Tokenizer(model, added) for stage_name, added in cases["added_tokens"].items()
    }


def test_every_recorded_text(cases, tokenizers):
    detection, description = tokenizers["detection"], tokenizers["description"]
    assert len(cases["cases"]) == 75
    for case in cases["cases"]:
        text = case["text"]
        assert detection.encode(text) == case["ids"], text
        assert detection.encode(text, bos=False) == case["ids_no_special"], text
        assert description.encode(text) == case.get("ids_description", case["ids"]), text
        assert detection.decode(case["ids"]) == case["decoded"], text
        assert prompts.encode(detection, text) == case["image_token_ids"], text


def test_every_recorded_prompt(cases, tokenizers):
    assert len(cases["prompts"]) == 40
    for case in cases["prompts"]:
        stage_name = "description" if case["kind"] == "train_description" else "detection"
        assert prompts.encode(tokenizers[stage_name], case["prompt"]) == case["input_ids"]
        if "user" in case:
            assert TEMPLATES[case["conv_type"]].prompt(case["user"]) == case["prompt"]
        else:
            encoded = answered(tokenizers[stage_name], case["answer"], template=case["conv_type"])
            assert list(encoded.input_ids) == case["input_ids"]
            _, cls, seg = encoded.embedded(256)
            assert [cls] == case["cls_read_position_embedded"]
            assert [seg] == (case["seg_read_position_embedded"] or [-1])


def answered(tokenizer: Tokenizer, reply: str, **options) -> EncodedConversation:
    """The conversation whose recorded answer is this."""
    pattern = (
        r"\[CLS\] The image is (real|full synthetic|tampered)(?: \[SEG\])? ?(.*?)(?: ?\[END\])?"
    )
    label, text = re.fullmatch(pattern, reply, re.DOTALL).groups()
    return conversation(tokenizer, label.replace(" ", "_"), text=text, **options)


def test_every_recorded_reply(cases, tokenizers):
    for case in cases["decode"]:
        assert tokenizers["detection"].decode(case["ids"]) == case["decoded"]
    assert len(cases["remove_repeated_tags"]) == 9
    for case in cases["remove_repeated_tags"]:
        assert prompts.clean_reply(case["text"]) == case["out"]


def test_the_texts_are_the_recorded_ones(cases):
    assert cases["questions"] == QUESTIONS
    assert list(prompts.CHAT_REPLIES.values()) == cases["answers"]["chat_fixed"]


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_every_recorded_batch(shared, tokenizers, stage):
    batches = json.loads((shared / "oracle/tokenizer/collate.json").read_text())[stage]
    tokenizer = tokenizers["detection" if stage == "stage1" else "description"]
    table = descriptions(shared) if stage == "stage2" else {}
    checked = 0
    for batch in batches.values():
        rows = zip(batch["files"], batch["input_ids"], batch["labels"], strict=True)
        for file, ids, labels in rows:
            label = {"r": "real", "s": "full_synthetic", "t": "tampered"}[file[0]]
            text = table.get(file)
            encoded = conversation(tokenizer, label, text=text or "")
            max_length = 257 if stage == "stage1" else 769
            padding = len(ids) - len(encoded.input_ids[:max_length])
            assert [*encoded.input_ids[:max_length], *[0] * padding] == ids
            assert [*encoded.labels[:max_length], *[IGNORED] * padding] == labels
            checked += 1
    assert checked >= 8


def descriptions(shared: Path) -> dict[str, str]:
    folder = shared / "oracle/train/data/train/description"
    return {
        name: text
        for file in folder.glob("*_GT.json")
        for name, text in json.loads(file.read_text()).items()
    }


@pytest.mark.parametrize("stage_name", ["detection", "description"])
@pytest.mark.parametrize("facts", [None, "", "area small"])
@pytest.mark.parametrize("text", [None, "", "Type: tampered. Areas: left"])
@pytest.mark.parametrize("label", LABELS)
def test_a_conversation_is_the_question_and_its_answer(tokenizers, stage_name, label, facts, text):
    tokenizer = tokenizers[stage_name]
    encoded = conversation(tokenizer, label, facts, text)
    prompt = prompts.fixed_question(tokenizer)
    stem = prompts.stem(tokenizer, label)
    seg = [tokenizer.seg_id] * (label == "tampered")
    facts_ids = [] if facts is None else tokenizer.encode(f"<im_start>{facts}<im_end>", bos=False)
    end = [tokenizer.end_id] * (stage_name == "description")
    written = [] if text is None else [*tokenizer.encode(text, bos=False), *end, tokenizer.eos_id]
    assert encoded.answer_ids == (*stem, *seg, *facts_ids, *written)
    question = (*prompt.before, IMAGE_TOKEN, *prompt.after)
    assert encoded.input_ids == (*question, *encoded.answer_ids)
    unlearned = (IGNORED,) * len(question)
    if text:
        assert encoded.labels == (*unlearned, *stem, *seg, *[IGNORED] * len(facts_ids), *written)
    else:
        assert set(encoded.labels) == {IGNORED}
        assert len(encoded.labels) == len(encoded.input_ids)


def test_class_and_mask_are_read_before_their_markers(tokenizers):
    tokenizer = tokenizers["detection"]
    encoded = conversation(tokenizer, "tampered", text="")
    assert encoded.input_ids[encoded.class_position + 1] == tokenizer.cls_id
    assert encoded.input_ids[encoded.mask_position + 1] == tokenizer.seg_id
    assert encoded.mask_position - encoded.class_position == 7
    assert conversation(tokenizer, "real", text="").mask_position is None
    labels, class_position, mask_position = encoded.embedded(256)
    assert (class_position, mask_position) == (329, 336)
    assert len(labels) == len(encoded.input_ids) + 255


def test_a_verdict_is_read_from_the_stem_of_a_tampered_picture(tokenizers):
    for tokenizer in tokenizers.values():
        encoded, conversation_ids = (
            conversation(tokenizer),
            conversation(tokenizer, "tampered", text="any"),
        )
        assert encoded.input_ids == conversation_ids.input_ids[: len(encoded.input_ids)]
        assert encoded.mask_position == conversation_ids.mask_position == len(encoded.input_ids) - 1
        assert encoded.class_position == conversation_ids.class_position
        assert set(encoded.labels) == {IGNORED}


def test_what_is_embedded_is_learned_where_it_was(tokenizers):
    encoded = conversation(tokenizers["description"], "real", "area none", "Type: real")
    labels = encoded.embedded(16).labels
    learned = [i for i in encoded.labels if i != IGNORED]
    assert [i for i in labels if i != IGNORED] == learned
    assert labels[-len(learned) :] == encoded.labels[-len(learned) :]
    image = encoded.input_ids.index(IMAGE_TOKEN)
    assert set(labels[: image + 16]) == {IGNORED}


def test_the_question_is_that_of_the_stage_which_the_model_has_seen(tokenizers):
    for stage_name, stage in (("detection", "stage1"), ("description", "stage2")):
        tokenizer = tokenizers[stage_name]
        expected = prompts.build_prompt(tokenizer, QUESTIONS[stage])
        assert prompts.fixed_question(tokenizer) == expected


TEXTS = st.lists(st.sampled_from([*MARKERS, *SPECIAL, "<image>", "a", " ", "<", "[", "CLS]"])).map(
    "".join
)


@given(TEXTS)
def test_a_neutral_question_has_no_marker_left(text):
    left = prompts.neutral(text)
    assert not any(marker in left for marker in (*MARKERS, *SPECIAL, "<image>"))
    assert prompts.neutral(left) == left


@given(text=TEXTS)
def test_any_question_gives_one_place_for_the_picture(tokenizers, text):
    prompt = prompts.build_prompt(tokenizers["detection"], text)
    assert IMAGE_TOKEN not in (*prompt.before, *prompt.after)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_later_question_is_the_template_again(tokenizers, template):
    """Encoded apart, since an answer's end stands before it."""
    tokenizer, around = tokenizers["detection"], TEMPLATES[template]
    later_ids = prompts.later_question(tokenizer, "And <image>where?", template)
    conversation_ids = tokenizer.encode(f"A.{around.end}{around.again}And where?{around.after}")
    assert conversation_ids[-len(later_ids) :] == list(later_ids)


def test_a_tokenizer_survives_saving(tokenizers, tmp_path):
    tokenizers["description"].save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.added == tokenizers["description"].added
    assert loaded.encode("It is [SEG].") == tokenizers["description"].encode("It is [SEG].")


def test_ids_without_a_token_have_no_text(tokenizers):
    tokenizer = tokenizers["detection"]
    ids = tokenizer.encode("It is [SEG].")
    assert tokenizer.decode([32004, *ids, 40_000]) == tokenizer.decode(ids)


def test_one_more_token_comes_last(tokenizers):
    extended = tokenizers["detection"].with_token("[END]")
    assert (extended.end_id, len(extended)) == (32004, 32005)
    assert tokenizers["detection"].end_id is None


def test_a_broken_tokenizer_is_one_sentence(tokenizers, tmp_path):
    with pytest.raises(CheckpointError, match=r"expected tokenizer\.model and"):
        Tokenizer.load(tmp_path)
    with pytest.raises(CheckpointError, match="not a sentencepiece model"):
        Tokenizer(b"no", {})
    with pytest.raises(CheckpointError, match="expected 32000 to 32001 after the 32000 pieces"):
        Tokenizer(tokenizers["detection"].model, {"[SEG]": 32000, "[CLS]": 32002})
