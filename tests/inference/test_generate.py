"""Text that goes on from a cache: where it stops, and that it leaves the cache of a pass alone."""

import pytest
import torch

from sida.inference.generate import generate, generate_batch
from sida.inference.llama import KVCache, prefill

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
    cache = KVCache([None] * len(model.language.layers), 0)
    prefill(model.language, embeds, cache)
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
    assert cache.length <= max(LENGTH, positions)


def test_a_part_is_one_row_up_to_a_length(model, prompt):
    whole = filled(model, prompt)
    part = whole.row(1, 4)
    assert part.length == 4
    alone = filled(model, prompt[1:, :4])
    for layer, expected in zip(part.layers, alone.layers, strict=True):
        torch.testing.assert_close(layer, expected, rtol=1e-4, atol=1e-5)


def test_what_is_written_does_not_reach_what_it_began_from(model, prompt):
    whole = filled(model, prompt)
    before = [layer.clone() for layer in whole.layers]
    first = list(generate(model, whole.row(0, 5), [5], frozenset(), 4))
    again = list(generate(model, whole.row(0, 5), [5], frozenset(), 4))
    assert first == again
    assert whole.length == LENGTH
    for layer, values in zip(whole.layers, before, strict=True):
        assert torch.equal(layer, values)


ANSWERS = [[5], [6, 7, 8, 9], [5, 6]]


def alone(model, prompt, row, stops, limit=70):
    return list(generate(model, filled(model, prompt[row : row + 1]), ANSWERS[row], stops, limit))


def test_rows_written_together_are_those_written_alone(model):
    """Whatever the length of their answers, and beyond the room that is added at once."""
    prompt = model.get_input_embeddings()(torch.arange(3 * LENGTH).reshape(3, LENGTH) + 20)
    stop = alone(model, prompt, 1, frozenset())[3]
    stops = frozenset({stop})
    expected = [alone(model, prompt, row, stops) for row in range(3)]
    assert len({len(row) for row in expected}) > 1  # they do not end together
    cache = KVCache.concatenate([filled(model, prompt[row : row + 1]) for row in range(3)])
    texts = list(generate_batch(model, cache, ANSWERS, stops, 70))
    assert len(texts) == max(map(len, expected))
    for row, column in zip(expected, zip(*texts, strict=True), strict=True):
        assert list(column) == row + [None] * (len(texts) - len(row))


def test_a_row_without_positions_left_says_nothing_and_stops_no_other(model, prompt):
    model.config.language.max_position_embeddings = LENGTH + 3
    cache = KVCache.concatenate([filled(model, prompt[:1]), filled(model, prompt[1:])])
    texts = list(generate_batch(model, cache, [[5, 6, 7, 8], [5]], frozenset(), 20))
    assert [first for first, _ in texts] == [None] * 3
    assert all(second is not None for _, second in texts)
