"""The engine's one pass against generation token by token, on the recorded checkpoint."""

import copy

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from sida.image.read import read_picture
from sida.inference.engine import Engine
from sida.model.checkpoint import load
from tests.oracle import published_folder


@pytest.fixture(scope="module")
def loaded(shared, tmp_path_factory):
    return load(str(published_folder(shared, tmp_path_factory.mktemp("oracle"))))


@pytest.fixture(scope="module")
def pictures(shared):
    folder = shared / "oracle/preprocess/pictures"
    return [read_picture(path) for path in sorted(folder.iterdir())[:3]]


@torch.inference_mode()
def test_class_logits_are_those_of_tokens_one_by_one(loaded, pictures):
    """And masks those of transformers' own attention, from the prompt that the last token gives."""
    model = copy.deepcopy(loaded.model)
    engine = Engine(loaded.model, loaded.processor)
    outputs = engine.infer(pictures, [lambda _: True] * 3)
    for picture, output in zip(pictures, outputs, strict=True):
        inputs, (frame,) = engine.processor([picture])
        tokens, state = model.image_tokens(inputs)
        embeds = model.embed(torch.tensor([engine.ids]), tokens)
        cache = DynamicCache()
        hidden = [model.prefill(token, cache=cache) for token in embeds.split(1, dim=1)]
        logits = model.classify(hidden[engine.prompt_length - 1][:, 0])
        np.testing.assert_allclose(output.class_logits, logits[0], rtol=0, atol=1e-4)
        prompt = model.mask_prompts(logits, hidden[-1])[:, 0]
        mask = model.decode_masks(inputs, torch.tensor([0]), prompt, state)
        np.testing.assert_allclose(output.mask_logits, frame.restore(mask), rtol=0, atol=2e-3)
