"""The language model in shortened passes against transformers' own."""

import pytest
import torch

from sida.inference.llama import KVCache, prefill


@pytest.fixture
def embeds(engine):
    torch.manual_seed(0)
    width = engine.model.config.language.hidden_size
    hidden_states = torch.randn(3, 12, width)
    hidden_states[:, :4] = hidden_states[0, :4]
    return hidden_states


def nothing(model, spare=0):
    return KVCache([None] * len(model.language.layers), 0, spare)


@pytest.mark.parametrize("spare", [None, 0, 3])
@torch.inference_mode()
def test_a_prefix_and_positions_that_are_not_read_change_nothing(engine, embeds, spare):
    model = engine.model
    known = nothing(model)
    prefill(model.language, embeds[:1, :4], known)
    before = [layer.clone() for layer in known.layers]
    expected = model.prefill(embeds)
    cache = KVCache(known.layers, known.length, spare)
    every = prefill(model.language, embeds[:, 4:], cache)
    torch.testing.assert_close(every, expected[:, 4:], rtol=0, atol=1e-4)
    assert cache.length == 12
    hidden = prefill(model.language, embeds[:, 4:], KVCache(known.layers, 4, spare), read=[7, 2])
    torch.testing.assert_close(hidden, expected[:, [11, 6]], rtol=0, atol=1e-4)
    for layer, kept in zip(known.layers, before, strict=True):
        assert torch.equal(layer, kept)


@torch.inference_mode()
def test_tokens_one_by_one_are_those_of_one_pass(engine, embeds):
    model, cache = engine.model, nothing(engine.model, spare=5)
    result = [prefill(model.language, embeds[:, i : i + 1], cache) for i in range(12)]
    torch.testing.assert_close(torch.cat(result, 1), model.prefill(embeds), rtol=0, atol=1e-4)


@torch.inference_mode()
def test_fewer_heads_for_keys_than_for_queries():
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 2, "vocab_size": 9}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    language = LlamaModel(config).eval()
    embeds = torch.randn(2, 6, 32)
    result = prefill(language, embeds, KVCache([None, None], 0))
    expected = language(inputs_embeds=embeds).last_hidden_state
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)
