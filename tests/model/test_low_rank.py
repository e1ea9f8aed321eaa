"""Low-rank additions count only where they are asked for, and leave the layers as they are."""

import pytest
import torch
from torch import nn

from sida.model.low_rank import LowRankAdditions, linear_layers


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Sequential(nn.Linear(5, 4)))


def trained(module: nn.Module, rank: int = 2) -> LowRankAdditions:
    additions = LowRankAdditions(linear_layers(module), rank)
    for addition in additions.additions:
        nn.init.normal_(addition.up)
    return additions


def test_fresh_additions_change_nothing() -> None:
    module, x = network(), torch.randn(3, 6)
    before = module(x)
    with LowRankAdditions(linear_layers(module), 2).active():
        assert torch.equal(module(x), before)


def test_active_additions_are_those_of_merged_weights() -> None:
    module, x = network(), torch.randn(3, 6)
    additions, before = trained(module), module(x)
    with additions.active():
        changed = module(x)
    torch.testing.assert_close(module(x), before)
    for layer, addition in zip(linear_layers(module), additions.additions, strict=True):
        layer.weight.data += addition.up @ addition.down
    torch.testing.assert_close(changed, module(x))
    assert (changed - before).abs().max() > 0.1


def test_two_sets_stand_on_the_same_layers() -> None:
    module, x = network(), torch.randn(3, 6)
    first, second = trained(module), trained(module)
    with first.active():
        by_first = module(x)
    with second.active():
        by_second = module(x)
    assert (by_first - by_second).abs().max() > 0.1
    # An error inside must not leave them active.
    with pytest.raises(RuntimeError), first.active():
        raise RuntimeError
    torch.testing.assert_close(module(x), network()(x))


def test_frozen_layers_are_no_parameters_of_the_additions() -> None:
    names = {name for name, _ in trained(network()).named_parameters()}
    assert names == {f"additions.{i}.{part}" for i in (0, 1) for part in ("down", "up")}


def test_additions_follow_the_dtype_of_what_they_are_added_to() -> None:
    module = network().to(torch.bfloat16)
    with trained(module).active():
        assert module(torch.randn(3, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16
