"""Alterations without end: by seed and number alone, whichever process makes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sida.errors import DataError
from sida.forge.autoencoder import Network, SmallCodec
from sida.forge.enlarger import ARCHITECTURES, Enlarger
from sida.forge.photographs import Photograph, find_photographs
from sida.forge.tamper import Codec
from sida.train.alterations import Alterations, AlteredPair


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Photograph]:
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize((130, 110), Image.Resampling.BICUBIC))
        grainy = (smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(grainy).save(folder / f"p{seed}.png")
    return find_photographs(folder)


def same(first: AlteredPair, second: AlteredPair) -> bool:
    return (
        np.array_equal(first.altered, second.altered)
        and np.array_equal(first.original, second.original)
        and np.array_equal(first.mask, second.mask)
        and first.operations == second.operations
        and first.photograph == second.photograph
    )


def loaded(
    photographs: list[Photograph], numbers: range, workers: int, codecs: Sequence[Codec] = ()
) -> list[AlteredPair]:
    loader = torch.utils.data.DataLoader(
        Alterations(photographs, seed=3, side=96, codecs=codecs),
        batch_size=None, sampler=numbers, num_workers=workers, collate_fn=lambda pair: pair,
    )  # fmt: skip
    return list(loader)


def test_any_number_of_workers_and_any_start_give_the_same_pairs(
    photographs: list[Photograph],
) -> None:
    alone = loaded(photographs, range(12), 0)
    for workers in (1, 2):
        assert all(map(same, alone, loaded(photographs, range(12), workers)))
    resumed = loaded(photographs, range(7, 12), 2)
    assert all(map(same, alone[7:], resumed))
    assert not same(alone[0], alone[5])


def test_decoders_give_the_same_pairs_in_any_process(photographs: list[Photograph]) -> None:
    torch.manual_seed(0)
    codecs = [
        Enlarger("compact", ARCHITECTURES["compact"](16, 2), 4),
        SmallCodec("nearest", Network("nearest", 4, 8, 8), 4),
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # as a trainer without workers may
    try:
        alone = loaded(photographs, range(8), 0, codecs)
    finally:
        torch.set_num_threads(threads)
    assert any("regenerate_filled" in pair.operations for pair in alone)
    assert all(map(same, alone, loaded(photographs, range(8), 2, codecs)))


def test_a_pair_has_one_size_and_a_mask_where_it_differs(photographs: list[Photograph]) -> None:
    pairs = Alterations(photographs, seed=0, side=96)
    for number in range(25):
        pair = pairs[number]
        assert pair.altered.shape == pair.original.shape == (*pair.mask.shape, 3)
        assert max(pair.mask.shape) <= 96
        difference = np.abs(pair.altered.astype(int) - pair.original).mean(axis=2)
        if pair.operations:
            assert difference[pair.mask].mean() > 1
            outside = difference[~pair.mask]
            assert not outside.size or outside.mean() < difference[pair.mask].mean() / 2


def test_each_photograph_comes_once_before_any_comes_again(photographs: list[Photograph]) -> None:
    pairs = Alterations(photographs, seed=1, side=64)
    for epoch in range(3):
        numbers = range(5 * epoch, 5 * epoch + 5)
        assert len({pairs[number].photograph for number in numbers}) == 5


def test_a_photograph_that_cannot_be_read_gives_way(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Photograph(tmp_path / "broken.png", "broken.png", "broken.png", "here")
    pairs = Alterations([*photographs[:2], broken], seed=1, side=64)
    assert {pairs[number].photograph for number in range(6)} == {"p0.png", "p1.png"}


def test_photographs_of_one_group_are_refused(photographs: list[Photograph]) -> None:
    with pytest.raises(DataError, match="two groups"):
        Alterations(photographs[:1], seed=0)
