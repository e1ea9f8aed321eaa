"""Checkpoints of the published training: one that DeepSpeed wrote, and a whole model laid out so.

`zero2/` was written by DeepSpeed 0.19.8 on two processes of a CPU (ZeRO-2 in bfloat16, three steps
of a module with a few of the published names). `expected.safetensors` holds what DeepSpeed's own
`zero_to_fp32.py` makes of it.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from sida.cli import app
from sida.errors import CheckpointError, ConfigError
from sida.model.checkpoint import load
from sida.model.convert import convert
from sida.model.deepspeed import read_deepspeed
from sida.model.weights import Shards
from tests.model.test_checkpoint import CodeInPickle
from tests.oracle import lisa_folder, published_folder

RECORDED = Path(__file__).with_name("zero2")
STEP = "global_step3"
RANK = "bf16_zero_pp_rank_{}_mp_rank_00_optim_states.pt"
TRAINED = ("model.embed_tokens.", "model.cls_head.", "model.text_hidden_fcs.", "lora_")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED, tmp_path / "zero2"))


def test_what_deepspeed_wrote_is_read_as_deepspeed_reads_it() -> None:
    expected = {
        name.removeprefix("base_model.model."): tensor
        for name, tensor in load_file(RECORDED / "expected.safetensors").items()
    }
    tensors = read_deepspeed(RECORDED)
    plain = {name for name in expected if ".lora_" not in name and "vision_tower" not in name}
    assert tensors.keys() == plain
    for name in plain:
        layer = name.removesuffix(".weight")
        truth = expected[name].float()
        if f"{layer}.lora_A.default.weight" in expected:
            down, up = (expected[f"{layer}.lora_{x}.default.weight"].float() for x in "AB")
            truth = truth + 16 / len(down) * up @ down
        assert torch.equal(tensors[name].float(), truth), name
    assert tensors["model.embed_tokens.weight"].dtype == torch.float32
    assert tensors["lm_head.weight"].dtype == torch.bfloat16


def spoil(folder: Path, case: str) -> None:
    """Break a folder in one way."""
    states = folder / STEP / "mp_rank_00_model_states.pt"
    if case == "a part missing":
        (folder / STEP / RANK.format(0)).unlink()
    elif case == "all parts missing":
        for rank in (0, 1):
            (folder / STEP / RANK.format(rank)).unlink()
    elif case == "cut short":
        os.truncate(states, 1000)
    elif case == "code":
        torch.save({"module": CodeInPickle()}, states)
    elif case == "another layout":
        torch.save({"weights": {}}, states)
    else:
        shutil.rmtree(folder / STEP)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("a part missing", "holds the parts of 1 of 2 processes"),
        ("all parts missing", "lacks its …_optim_states.pt"),
        ("cut short", "cannot be read"),
        ("code", "could run code: it was not loaded"),
        ("another layout", "is not as DeepSpeed writes checkpoints"),
        ("step missing", "cannot be read"),
    ],
)
def test_a_broken_folder_is_one_sentence(recorded: Path, case: str, message: str) -> None:
    spoil(recorded, case)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_deepspeed(recorded)
    assert "\n" not in str(caught.value)


def test_stage_3_is_refused(recorded: Path) -> None:
    for rank in (0, 1):
        torch.save(
            {"optimizer_state_dict": {"zero_stage": 3, "partition_count": 2}},
            recorded / STEP / RANK.format(rank),
        )
    with pytest.raises(CheckpointError, match=r"ZeRO stage 3.*zero_to_fp32\.py"):
        read_deepspeed(recorded)


def zero_folder(published: Path, out: Path, ranks: int = 2) -> tuple[Path, dict[str, Any]]:
    """A published folder's weights as its training had saved them, with low-rank additions."""
    table = {n: t.clone() for n, t in Shards(published).tensors() if "rotary" not in n}
    generator = torch.Generator().manual_seed(0)
    for name in [n for n in table if n.endswith(("q_proj.weight", "v_proj.weight"))]:
        layer, (rows, columns) = name.removesuffix(".weight"), table[name].shape
        down = 0.1 * torch.randn(8, columns, generator=generator)
        up = 0.1 * torch.randn(rows, 8, generator=generator)
        table[f"{layer}.lora_A.default.weight"] = down.bfloat16()
        table[f"{layer}.lora_B.default.weight"] = up.bfloat16()
    table["model.vision_tower.vision_tower.vision_model.post_layernorm.bias"] = torch.zeros(4)
    module = {f"base_model.model.{name}": tensor for name, tensor in table.items()}
    trained = {n: t.float() * 1.001 for n, t in module.items() if any(x in n for x in TRAINED)}
    flat = torch.cat([tensor.flatten() for tensor in trained.values()])
    flat = torch.cat([flat, flat.new_zeros(-len(flat) % (2 * ranks))])
    step = out / STEP
    step.mkdir(parents=True)
    (out / "latest").write_text(STEP)
    shapes = {name: tensor.shape for name, tensor in trained.items()}
    torch.save(
        {"module": module, "param_shapes": [shapes]},
        step / "mp_rank_00_model_states.pt",
    )
    for rank, part in enumerate(flat.chunk(ranks)):
        state = {
            "zero_stage": 2,
            "partition_count": [ranks],
            "single_partition_of_fp32_groups": [part.clone()],
        }
        torch.save({"optimizer_state_dict": state}, step / RANK.format(rank))
    return out, {**table, **{n.removeprefix("base_model.model."): t for n, t in trained.items()}}


def test_a_whole_training_becomes_a_model(shared: Path, tmp_path: Path) -> None:
    published = published_folder(shared, tmp_path / "sida")
    base = lisa_folder(shared, tmp_path / "lisa")
    folder, table = zero_folder(published, tmp_path / "zero")
    arguments = ["convert", str(folder), "--base", str(base), "--to", "published"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    written = dict(Shards(tmp_path / "out").tensors())
    assert {n for n in written if "rotary" not in n} == {
        n for n in table if "lora_" not in n and "vision_tower" not in n
    }
    for name in written:
        if "rotary" in name:
            continue
        truth, layer = table[name].float(), name.removesuffix(".weight")
        if f"{layer}.lora_A.default.weight" in table:
            down, up = (table[f"{layer}.lora_{x}.default.weight"] for x in "AB")
            truth = truth + 2 * up @ down
        assert torch.equal(written[name], truth.bfloat16()), name
    assert load(str(tmp_path / "out")).processor.tokenizer.cls_id == 32003
    exact = convert(str(folder), "ours", tmp_path / "ours", torch.float32, str(base))
    words = dict(Shards(exact).tensors())["language.embed_tokens.weight"]
    assert torch.equal(words, table["model.embed_tokens.weight"])


def test_a_base_is_asked_for_where_it_is_needed_and_nowhere_else(
    recorded: Path, shared: Path, tmp_path: Path
) -> None:
    base = lisa_folder(shared, tmp_path)
    with pytest.raises(ConfigError, match="name with --base the weights"):
        convert(str(recorded), "ours", tmp_path / "out")
    with pytest.raises(ConfigError, match="--base is for checkpoints of DeepSpeed"):
        convert("tiny", "ours", tmp_path / "out", base=str(base))
    with pytest.raises(CheckpointError, match="--base is not what this training began with"):
        convert(str(recorded), "ours", tmp_path / "out", base=str(base))
    assert not (tmp_path / "out").exists()
