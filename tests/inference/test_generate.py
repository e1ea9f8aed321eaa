"""Text that goes on from a cache: where it stops, and that it leaves the cache of a pass alone."""

import pytest
import torch
from transformers import DynamicCache

from sida.inference.generate import generate, part_of_cache

LENGTH = 7


@pytest.fixture
def model(native):
    return native.model


@pytest.fixture
def prompt(model):
    """Embeddings of two rows of seven ids."""
    ids = torch.arange(2 * LENGTH).reshape(2, LENGTH) + 20
    with torch.inference_mode():
        return model.get_input_embeddings()(ids)


@torch.inference_mode()
def filled(model, embeds):
    cache = DynamicCache()
    model.prefill(embeds, cache=cache)
    return cache


@torch.inference_mode()
def test_the_likeliest_ids_are_those_of_passes_without_a_cache(model, prompt):
    ids = [5, 6, 7]
    written = list(generate(model, filled(model, prompt[:1]), ids, frozenset(), 6))
    assert len(written) == 6
    for count in range(6):
        words = model.get_input_embeddings()(torch.tensor([[*ids, *written[:count]]]))
        hidden = model.prefill(torch.cat([prompt[:1], words], dim=1))
        assert written[count] == int(model.lm_head(hidden[0, -1]).argmax())


def test_a_stop_is_yielded_and_ends_the_text(model, prompt):
    free = list(generate(model, filled(model, prompt[:1]), [5], frozenset(), 9))
    stop = free[4]
    first = free.index(stop)
    stopped = list(generate(model, filled(model, prompt[:1]), [5], frozenset({stop}), 9))
    assert stopped == free[: first + 1]


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_the_limit_is_kept(model, prompt, limit):
    assert len(list(generate(model, filled(model, prompt[:1]), [5], frozenset(), limit))) == limit


@pytest.mark.parametrize(
    ("positions", "ids", "count"), [(12, 3, 3), (10, 3, 1), (9, 3, 0), (5, 3, 0), (40, 3, 20)]
)
def test_positions_that_the_model_does_not_have_are_never_used(
    model, prompt, positions, ids, count
):
    """Seven are taken by the cache; the last id is yielded and takes none."""
    model.config.language.max_position_embeddings = positions
    cache = filled(model, prompt[:1])
    written = list(generate(model, cache, range(5, 5 + ids), frozenset(), 20))
    assert len(written) == count
    assert cache.get_seq_length() <= max(LENGTH, positions)


def test_a_part_of_a_cache_is_one_row_up_to_a_length(model, prompt):
    whole = filled(model, prompt)
    part = part_of_cache(whole, 1, 4)
    assert part.get_seq_length() == 4
    alone = filled(model, prompt[1:, :4])
    for layer, expected in zip(part.layers, alone.layers, strict=True):
        torch.testing.assert_close(layer.keys, expected.keys, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.values, expected.values, rtol=1e-4, atol=1e-5)


def test_what_is_written_does_not_reach_the_cache_it_began_from(model, prompt):
    whole = filled(model, prompt)
    before = [layer.keys.clone() for layer in whole.layers]
    first = list(generate(model, part_of_cache(whole, 0, 5), [5], frozenset(), 4))
    again = list(generate(model, part_of_cache(whole, 0, 5), [5], frozenset(), 4))
    assert first == again
    assert whole.get_seq_length() == LENGTH
    for layer, keys in zip(whole.layers, before, strict=True):
        assert torch.equal(layer.keys, keys)
