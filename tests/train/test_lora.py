"""Low-rank additions start at nothing, change alone, and merge into plain weights."""

import pytest
import torch

from sida.errors import ConfigError
from sida.model import Sida
from sida.model.presets import tiny
from sida.train.config import Lora
from sida.train.lora import add_lora, merge


def test_merged_weights_give_the_same_as_the_additions(tmp_path):
    torch.manual_seed(0)
    model = Sida(tiny()).eval()
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    add_lora(model, Lora(rank=4))
    model.eval()
    assert merge(model).keys() == plain.keys()
    assert all(tensor.equal(plain[name]) for name, tensor in merge(model).items())
    for name, parameter in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    embeds = torch.randn(2, 7, 128)
    with torch.no_grad():
        expected = model.prefill(embeds)
        model.save_pretrained(tmp_path, state_dict=merge(model))
        again = Sida.from_pretrained(tmp_path).eval()
        # With AVX-512 the layers in four bits compute in bfloat16.
        loose = torch.backends.cpu.get_cpu_capability() == "AVX512"
        near = 0.1 if loose else 1e-5
        torch.testing.assert_close(again.prefill(embeds), expected, rtol=near, atol=near)
    changed = {n for n, t in again.state_dict().items() if not t.equal(plain[n])}
    assert {name.rsplit(".", 2)[1] for name in changed} == {"q_proj", "v_proj"}
    assert all(name.startswith("language.") for name in changed)


def test_a_base_in_four_bits_learns_beside_it_and_merges(tmp_path):
    pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    sizes = tiny()
    # Blocks of 64 do not fit 352, which processors with AVX-512 cannot pack.
    sizes.language.intermediate_size = 384
    model = Sida(sizes).eval()
    exact = model.language.layers[0].mlp.up_proj.weight.clone()
    add_lora(model, Lora(rank=4, base="nf4"))
    model.eval()
    for name, parameter in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    embeds = torch.randn(2, 7, 128)
    model.prefill(embeds).square().mean().backward()
    layer = model.language.layers[0].self_attn.q_proj
    assert layer.lora_A.default.weight.grad.abs().max() > 0
    assert layer.base_layer.weight.dtype == torch.uint8
    with torch.no_grad():
        expected = model.prefill(embeds)
        model.save_pretrained(tmp_path, state_dict=merge(model))
        again = Sida.from_pretrained(tmp_path).eval()
        # With AVX-512 the layers in four bits compute in bfloat16.
        loose = torch.backends.cpu.get_cpu_capability() == "AVX512"
        near = 0.1 if loose else 1e-5
        torch.testing.assert_close(again.prefill(embeds), expected, rtol=near, atol=near)
    rounded = again.language.layers[0].mlp.up_proj.weight
    assert 0 < (rounded - exact).abs().max() < 0.3 * exact.abs().max()


def test_a_target_that_ends_no_layer_is_refused():
    with pytest.raises(ConfigError, match=r"no layer ends in 'nose'; they end in .*q_proj"):
        add_lora(Sida(tiny()), Lora(targets=("q_proj", "nose")))
