"""One pass over several pictures: order, equality with passes of one, masks, caches, failures."""

import numpy as np
import pytest
import torch

from sida.errors import PictureError
from sida.inference import engine as module
from sida.inference.engine import Begun, Judged
from sida.model.prompt import IMAGE_TOKEN, stem


def always(_: np.ndarray) -> bool:
    return True


def never(_: np.ndarray) -> bool:
    return False


def test_results_come_in_order_and_are_those_of_passes_of_one(engine, pictures):
    together = engine.judge(pictures, [always] * 4)
    logits = np.stack([each.class_logits for each in together])
    assert len(np.unique(logits.round(3), axis=0)) == 4  # else any order would do
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = engine.judge([picture], [always])
        assert found.mask_logits.shape == (picture.height, picture.width)
        assert found.mask_logits.dtype == found.class_logits.dtype == np.float32
        np.testing.assert_allclose(found.class_logits, alone.class_logits, atol=1e-4)
        np.testing.assert_allclose(found.mask_logits, alone.mask_logits, atol=1e-3)


def test_masks_are_made_only_where_class_logits_call_for_them(engine, pictures, monkeypatch):
    everything = engine.judge(pictures, [always] * 4)
    asked, decoded = [], []
    decode = engine.model.decode_masks

    def wants(class_logits):
        asked.append(class_logits)
        return len(asked) in (2, 4)

    def counted(inputs, windows, prompts, state):
        decoded.append(len(windows))
        return decode(inputs, windows, prompts, state)

    monkeypatch.setattr(engine.model, "decode_masks", counted)
    found = engine.judge(pictures, [wants] * 4)
    assert [each.mask_logits is not None for each in found] == [False, True, False, True]
    for i in (1, 3):
        np.testing.assert_allclose(found[i].mask_logits, everything[i].mask_logits, atol=1e-3)
    for logits, each in zip(asked, found, strict=True):
        assert np.array_equal(logits, each.class_logits)
    _, frames = engine.processor([pictures[1], pictures[3]], masks=False)
    assert decoded == [len(frame.windows) for frame in frames]  # on a CPU one by one
    engine.judge(pictures, [never] * 4)
    assert len(decoded) == 2


def pasts(monkeypatch):
    """The pasts of later prefills over a micro-batch."""
    given = []
    prefill = module.prefill

    def noted(language, embeds, past, read=None):
        given.append(past)
        return prefill(language, embeds, past, read)

    monkeypatch.setattr(module, "prefill", noted)
    return given


def test_a_prefix_is_read_once(engine, pictures, monkeypatch):
    given = pasts(monkeypatch)
    for _ in range(2):
        engine.judge(pictures, [never] * 4)
    assert [past.length for past in given] == [
        engine.ids.index(IMAGE_TOKEN),
        *[len(engine.ids) - 1 + engine.model.image_token_count] * 2,
    ]


def test_the_passes_are_those_of_the_model_itself(engine, pictures):
    """Prefix, positions that are not read, and attention in blocks change nothing."""
    model = engine.model
    found = engine.judge(pictures, [never] * 4)
    inputs, _ = engine.processor(pictures, masks=False)
    with torch.inference_mode():
        tokens, _ = model.image_tokens(inputs)
        hidden = model.prefill(model.embed(torch.tensor([engine.ids] * 4), tokens))
        expected = model.classify(hidden[:, engine.prompt_length - 1]).numpy()
    for logits, each in zip(expected, found, strict=True):
        np.testing.assert_allclose(each.class_logits, logits, atol=1e-4)


def test_keys_are_kept_only_for_explanations_and_change_nothing(engine, pictures, monkeypatch):
    engine.judge(pictures, [never] * 4)
    given = pasts(monkeypatch)
    without = engine.judge_each(pictures, [always] * 4, [False] * 4)
    assert given[0].room is None
    kept = engine.judge_each(pictures, [always] * 4, [False, True, False, False])
    assert given[1].room is not None
    assert [each.past is not None for each in kept] == [False, True, False, False]
    assert kept[1].past.length == engine.prompt_length
    assert all(each.past is None for each in without)
    for one, other in zip(without, kept, strict=True):
        assert np.array_equal(one.class_logits, other.class_logits)
        assert np.array_equal(one.mask_logits, other.mask_logits)


def test_a_model_that_was_not_trained_to_explain_keeps_nothing(native, pictures, monkeypatch):
    monkeypatch.setattr(type(native.processor.tokenizer), "end_id", None)
    native.judge(pictures[:1], [never])
    given = pasts(monkeypatch)
    (judged,) = native.judge_each(pictures[:1], [never], [True])
    assert not native.explains
    assert judged.past is None
    assert given[0].room is None
    assert native.explain([]) == []


def test_an_explanation_goes_on_from_its_own_picture(native, pictures, monkeypatch):
    """In company as alone, in any order, and again."""
    monkeypatch.setattr(module, "TEXT_LIMIT", 5)
    together = native.judge_each(pictures, [never] * 4, [True] * 4)
    labels = ["real", "tampered", "full_synthetic", "tampered"]
    begun = [
        Begun(each.past, label, "no region" if label == "real" else "position unknown, area large")
        for each, label in zip(together, labels, strict=True)
    ]
    texts = native.explain(begun)
    assert len({each.text for each in texts}) > 1
    assert native.explain(begun[::-1]) == texts[::-1]
    for picture, one, text in zip(pictures, begun, texts, strict=True):
        (alone,) = native.judge_each([picture], [never], [True])
        assert native.explain([one._replace(past=alone.past)]) == [text]


@pytest.mark.parametrize("written", [["[END]"], ["a", "b", "[END]"], ["a", "b"], []])
def test_a_text_is_complete_if_the_model_has_ended_it(native, pictures, monkeypatch, written):
    tokenizer = native.processor.tokenizer
    ids = [
        tokenizer.end_id if word == "[END]" else tokenizer.encode(word, bos=False)[-1]
        for word in written
    ]
    fed = []

    def stand_in(model, past, given, stops, limit):
        fed.append((given, stops, limit))
        return ([one, None] for one in ids)

    monkeypatch.setattr(module, "generate_together", stand_in)
    (judged,) = native.judge_each(pictures[:1], [never], [True])
    text, empty = native.explain([Begun(judged.past, "tampered", "position unknown")] * 2)
    assert (empty.text, empty.complete) == ("", False)
    assert text.complete == (written[-1:] == ["[END]"])
    assert text.text == " ".join(word for word in written if word != "[END]").strip()
    (((given, _), stops, limit),) = fed
    begun = (*stem(tokenizer, "tampered"), tokenizer.seg_id)
    assert given[: len(begun)] == begun
    assert stops == {tokenizer.end_id, tokenizer.eos_id}
    assert limit == 512


def broken_on(engine, row, monkeypatch, part):
    """Let one picture's class logits, or its mask prompt, be no numbers."""
    method = getattr(engine.model, part)

    def spoiled(*given):
        values = method(*given).clone()
        values[row] = float("nan")
        return values

    monkeypatch.setattr(engine.model, part, spoiled)


@pytest.mark.parametrize("part", ["classify", "mask_prompts"])
def test_numbers_that_are_not_finite_cost_only_their_picture(engine, pictures, monkeypatch, part):
    expected = engine.judge(pictures, [always] * 4)
    broken_on(engine, 1, monkeypatch, part)
    found = engine.judge_each(pictures, [always] * 4, [False] * 4)
    assert [type(each) for each in found] == [Judged, PictureError, Judged, Judged]
    for i in (0, 2, 3):
        np.testing.assert_allclose(found[i].class_logits, expected[i].class_logits, atol=1e-5)
        np.testing.assert_allclose(found[i].mask_logits, expected[i].mask_logits, atol=1e-4)
    assert str(found[1]).startswith("the network gives numbers that are not finite")
    assert "dtype" not in str(found[1])
    with pytest.raises(PictureError, match="not finite for this picture, in float32"):
        engine.judge(pictures, [always] * 4)


def test_a_mask_that_nobody_wants_cannot_fail(engine, pictures, monkeypatch):
    broken_on(engine, 1, monkeypatch, "mask_prompts")
    assert len(engine.judge(pictures, [never] * 4)) == 4


def test_in_float16_other_number_types_are_recommended(native, pictures, monkeypatch):
    native.model.to(torch.float16)
    broken_on(native, 0, monkeypatch, "classify")
    (found,) = native.judge_each(pictures[:1], [never], [False])
    assert "range of float16" in str(found)
    assert "use dtype bfloat16 or float32" in str(found)
