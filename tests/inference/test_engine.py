"""One pass over several pictures: order, equality with passes of one, masks, caches, failures."""

import numpy as np
import pytest
import torch

from sida.errors import PictureError
from sida.inference import engine as module
from sida.inference.engine import ImageOutput, TextPrompt
from sida.model.prompt import IMAGE_TOKEN, stem


def always(_: np.ndarray) -> bool:
    return True


def never(_: np.ndarray) -> bool:
    return False


def test_results_come_in_order_and_are_those_of_passes_of_one(engine, pictures):
    together = engine.infer(pictures, [always] * 4)
    logits = np.stack([each.class_logits for each in together])
    assert len(np.unique(logits.round(3), axis=0)) == 4  # else any order would do
    for picture, output in zip(pictures, together, strict=True):
        (alone,) = engine.infer([picture], [always])
        assert output.mask_logits.shape == (picture.height, picture.width)
        assert output.mask_logits.dtype == output.class_logits.dtype == np.float32
        np.testing.assert_allclose(output.class_logits, alone.class_logits, atol=1e-4)
        np.testing.assert_allclose(output.mask_logits, alone.mask_logits, atol=1e-3)


def test_masks_are_made_only_where_class_logits_call_for_them(engine, pictures, monkeypatch):
    everything = engine.infer(pictures, [always] * 4)
    requested, decoded = [], []
    decode = engine.model.decode_masks

    def wants(class_logits):
        requested.append(class_logits)
        return len(requested) in (2, 4)

    def counted(inputs, windows, prompts, state):
        decoded.append(len(windows))
        return decode(inputs, windows, prompts, state)

    monkeypatch.setattr(engine.model, "decode_masks", counted)
    outputs = engine.infer(pictures, [wants] * 4)
    assert [each.mask_logits is not None for each in outputs] == [False, True, False, True]
    for i in (1, 3):
        np.testing.assert_allclose(outputs[i].mask_logits, everything[i].mask_logits, atol=1e-3)
    for logits, each in zip(requested, outputs, strict=True):
        assert np.array_equal(logits, each.class_logits)
    _, frames = engine.processor([pictures[1], pictures[3]], masks=False)
    assert decoded == [len(frame.windows) for frame in frames]  # on a CPU one by one
    engine.infer(pictures, [never] * 4)
    assert len(decoded) == 2


def recorded_caches(monkeypatch):
    """The recorded_caches of later prefills over a micro-batch."""
    caches = []
    prefill = module.prefill

    def noted(language, embeds, cache, read=None):
        caches.append(cache)
        return prefill(language, embeds, cache, read)

    monkeypatch.setattr(module, "prefill", noted)
    return caches


def test_a_prefix_is_read_once(engine, pictures, monkeypatch):
    caches = recorded_caches(monkeypatch)
    for _ in range(2):
        engine.infer(pictures, [never] * 4)
    assert [cache.length for cache in caches] == [
        engine.ids.index(IMAGE_TOKEN),
        *[len(engine.ids) - 1 + engine.model.image_token_count] * 2,
    ]


def test_the_passes_are_those_of_the_model_itself(engine, pictures):
    """Prefix, positions that are not read, and attention in blocks change nothing."""
    model = engine.model
    outputs = engine.infer(pictures, [never] * 4)
    inputs, _ = engine.processor(pictures, masks=False)
    with torch.inference_mode():
        tokens, _ = model.image_tokens(inputs)
        hidden = model.prefill(model.embed(torch.tensor([engine.ids] * 4), tokens))
        expected = model.classify(hidden[:, engine.prompt_length - 1]).numpy()
    for logits, each in zip(expected, outputs, strict=True):
        np.testing.assert_allclose(each.class_logits, logits, atol=1e-4)


def test_keys_are_kept_only_for_explanations_and_change_nothing(engine, pictures, monkeypatch):
    engine.infer(pictures, [never] * 4)
    caches = recorded_caches(monkeypatch)
    without = engine.infer_each(pictures, [always] * 4, [False] * 4)
    assert caches[0].spare is None
    with_cache = engine.infer_each(pictures, [always] * 4, [False, True, False, False])
    assert caches[1].spare is not None
    assert [each.cache is not None for each in with_cache] == [False, True, False, False]
    assert with_cache[1].cache.length == engine.prompt_length
    assert all(each.cache is None for each in without)
    for one, other in zip(without, with_cache, strict=True):
        assert np.array_equal(one.class_logits, other.class_logits)
        assert np.array_equal(one.mask_logits, other.mask_logits)


def test_a_model_that_was_not_trained_to_explain_keeps_nothing(native, pictures, monkeypatch):
    monkeypatch.setattr(type(native.processor.tokenizer), "end_id", None)
    native.infer(pictures[:1], [never])
    caches = recorded_caches(monkeypatch)
    (output,) = native.infer_each(pictures[:1], [never], [True])
    assert not native.explains
    assert output.cache is None
    assert caches[0].spare is None
    assert native.explain([]) == []


def test_an_explanation_goes_on_from_its_own_picture(native, pictures, monkeypatch):
    """In company as alone, in any order, and again."""
    monkeypatch.setattr(module, "TEXT_LIMIT", 5)
    together = native.infer_each(pictures, [never] * 4, [True] * 4)
    labels = ["real", "tampered", "full_synthetic", "tampered"]
    prompts = [
        TextPrompt(
            each.cache, label, "no region" if label == "real" else "position unknown, area large"
        )
        for each, label in zip(together, labels, strict=True)
    ]
    texts = native.explain(prompts)
    assert len({each.text for each in texts}) > 1
    assert native.explain(prompts[::-1]) == texts[::-1]
    for picture, one, text in zip(pictures, prompts, texts, strict=True):
        (alone,) = native.infer_each([picture], [never], [True])
        assert native.explain([one._replace(cache=alone.cache)]) == [text]


@pytest.mark.parametrize("written", [["[END]"], ["a", "b", "[END]"], ["a", "b"], []])
def test_a_text_is_complete_if_the_model_has_ended_it(native, pictures, monkeypatch, written):
    tokenizer = native.processor.tokenizer
    ids = [
        tokenizer.end_id if word == "[END]" else tokenizer.encode(word, bos=False)[-1]
        for word in written
    ]
    fed = []

    def stand_in(model, cache, caches, stops, limit):
        fed.append((caches, stops, limit))
        return ([one, None] for one in ids)

    monkeypatch.setattr(module, "generate_batch", stand_in)
    (output,) = native.infer_each(pictures[:1], [never], [True])
    text, empty = native.explain([TextPrompt(output.cache, "tampered", "position unknown")] * 2)
    assert (empty.text, empty.complete) == ("", False)
    assert text.complete == (written[-1:] == ["[END]"])
    assert text.text == " ".join(word for word in written if word != "[END]").strip()
    (((caches, _), stops, limit),) = fed
    prompts = (*stem(tokenizer, "tampered"), tokenizer.seg_id)
    assert caches[: len(prompts)] == prompts
    assert stops == {tokenizer.end_id, tokenizer.eos_id}
    assert limit == 512


def broken_on(engine, row, monkeypatch, part):
    """Let one picture's class logits, or its mask prompt, be no numbers."""
    method = getattr(engine.model, part)

    def spoiled(*caches):
        values = method(*caches).clone()
        values[row] = float("nan")
        return values

    monkeypatch.setattr(engine.model, part, spoiled)


@pytest.mark.parametrize("part", ["classify", "mask_prompts"])
def test_numbers_that_are_not_finite_cost_only_their_picture(engine, pictures, monkeypatch, part):
    expected = engine.infer(pictures, [always] * 4)
    broken_on(engine, 1, monkeypatch, part)
    outputs = engine.infer_each(pictures, [always] * 4, [False] * 4)
    assert [type(each) for each in outputs] == [ImageOutput, PictureError, ImageOutput, ImageOutput]
    for i in (0, 2, 3):
        np.testing.assert_allclose(outputs[i].class_logits, expected[i].class_logits, atol=1e-5)
        np.testing.assert_allclose(outputs[i].mask_logits, expected[i].mask_logits, atol=1e-4)
    assert str(outputs[1]).startswith("the network gives numbers that are not finite")
    assert "dtype" not in str(outputs[1])
    with pytest.raises(PictureError, match="not finite for this picture, in float32"):
        engine.infer(pictures, [always] * 4)


def test_a_mask_that_nobody_wants_cannot_fail(engine, pictures, monkeypatch):
    broken_on(engine, 1, monkeypatch, "mask_prompts")
    assert len(engine.infer(pictures, [never] * 4)) == 4


def test_in_float16_other_number_types_are_recommended(native, pictures, monkeypatch):
    native.model.to(torch.float16)
    broken_on(native, 0, monkeypatch, "classify")
    (output,) = native.infer_each(pictures[:1], [never], [False])
    assert "range of float16" in str(output)
    assert "use dtype bfloat16 or float32" in str(output)
