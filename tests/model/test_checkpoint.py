"""Published folders: read as they are, refused in a sentence, written and read back."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sida.assets import TOKENIZER
from sida.cli import app
from sida.errors import CheckpointError, ConfigError, DownloadError, SidaError
from sida.model import Sida
from sida.model.calibration import Calibration
from sida.model.checkpoint import load, load_base
from sida.model.convert import convert
from sida.model.keys import from_published
from sida.model.presets import tiny
from sida.model.processor import SidaProcessor
from sida.model.tokenizer import Tokenizer
from sida.model.weights import Shards
from tests.oracle import published_folder

SHARDS = [f"pytorch_model-0000{i}-of-00003.bin" for i in (1, 2, 3)]
INDEX = "pytorch_model.bin.index.json"
SAM = "model.visual_model"


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    return published_folder(shared, tmp_path)


def edit(file: Path, **values: Any) -> None:
    """Change keys of a JSON file; None takes one out."""
    fields = json.loads(file.read_text()) | values
    file.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))


def change(folder: Path, name: str, tensor: torch.Tensor | None) -> None:
    """Put a tensor into the shard that holds the name, or the first; None takes it out."""
    shard = json.loads((folder / INDEX).read_text())["weight_map"].get(name, SHARDS[0])
    table = torch.load(folder / shard, weights_only=True) | {name: tensor}
    torch.save({k: v for k, v in table.items() if v is not None}, folder / shard)


def everything(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in Shards(folder).tensors()}


class CodeInPickle:
    """An object whose unpickling runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("false",)


Break = Callable[[Path], object]
BROKEN: dict[str, tuple[Break, str]] = {
    "shard missing": (
        lambda f: (f / SHARDS[1]).unlink(),
        r"lacks pytorch_model-00002-of-00003\.bin, 1 of the 3 shards",
    ),
    "shard cut short": (
        lambda f: os.truncate(f / SHARDS[1], 500_000),
        r"00002-of-00003\.bin cannot be read as weights .*copy it again",
    ),
    "shard empty": (lambda f: os.truncate(f / SHARDS[1], 0), "cannot be read as weights"),
    "shard is a page of the web": (
        lambda f: (f / SHARDS[1]).write_text("<!DOCTYPE html>"),
        "it begins like no file of weights",
    ),
    "shard is a pointer": (
        lambda f: (f / SHARDS[1]).write_text("version https://git-lfs.github.com/spec/v1\n"),
        "run `git lfs pull`",
    ),
    "shard with code": (
        lambda f: torch.save({"a": CodeInPickle()}, f / SHARDS[1]),
        "could run code: it was not loaded",
    ),
    "old shard with code": (
        lambda f: (f / SHARDS[1]).write_bytes(pickle.dumps(CodeInPickle(), 2)),
        "could run code: it was not loaded",
    ),
    "shard with more than tensors": (
        lambda f: torch.save({"state_dict": {"a": torch.zeros(1)}}, f / SHARDS[1]),
        "is not a table of tensors by name",
    ),
    "index broken": (lambda f: (f / INDEX).write_text("{}"), "is not an index of shards"),
    "index missing": (lambda f: (f / INDEX).unlink(), "holds shards but no index of them"),
    "tensor missing": (
        lambda f: change(f, "model.cls_head.0.0.bias", None),
        r"lacks model\.cls_head\.0\.0\.bias: it is not complete",
    ),
    "layer missing": (
        lambda f: change(f, f"{SAM}.image_encoder.blocks.2.norm1.weight", None),
        r"lacks model\.visual_model\.image_encoder\.blocks\.2\.norm1\.weight",
    ),
    "sizes missing": (
        lambda f: change(f, f"{SAM}.image_encoder.pos_embed", None),
        r"lacks model\.visual_model\.image_encoder\.pos_embed, which every",
    ),
    "tensor unknown": (
        lambda f: change(f, "model.extra.weight", torch.zeros(2)),
        r"the tensor model\.extra\.weight, which this model has no place for",
    ),
    "tensor of another shape": (
        lambda f: change(f, "model.cls_head.0.3.weight", torch.zeros(4, 24)),
        r"model\.cls_head\.0\.3\.weight in .* is \(4, 24\), expected \(3, 24\)",
    ),
    "tensor of another rank": (
        lambda f: change(f, f"{SAM}.image_encoder.pos_embed", torch.zeros(64, 32)),
        "make no network",
    ),
    "tensor of integers": (
        lambda f: change(f, "model.norm.weight", torch.ones(48, dtype=torch.int8)),
        "holds int8, expected floating point",
    ),
    "rows and tokenizer differ": (
        lambda f: change(f, "model.embed_tokens.weight", torch.zeros(32005, 48)),
        r"has 32005 embedding rows and a tokenizer of 32004",
    ),
    "tokenizer missing": (lambda f: (f / "tokenizer.model").unlink(), "no readable tokenizer"),
    "marker missing": (
        lambda f: edit(f / "added_tokens.json", **{"[CLS]": None, "[OTHER]": 32003}),
        r"lacks \[CLS\]",
    ),
    "configuration missing": (lambda f: (f / "config.json").unlink(), "is not a model"),
    "configuration broken": (lambda f: (f / "config.json").write_text("{"), "is not a model"),
    "configuration is a list": (lambda f: (f / "config.json").write_text("[]"), "is not a model"),
    "another architecture": (
        lambda f: edit(f / "config.json", architectures=["LlamaForCausalLM"]),
        "holds LlamaForCausalLM, expected Sida or SIDAForCausalLM",
    ),
    "no architecture": (
        lambda f: edit(f / "config.json", architectures=None),
        "an unnamed architecture",
    ),
    "LISA": (
        lambda f: edit(f / "config.json", architectures=["LISAForCausalLM"]),
        "have no class head: they are a base for training",
    ),
    "size is a word": (lambda f: edit(f / "config.json", hidden_size="big"), "make no network"),
    "sizes contradict": (
        lambda f: edit(f / "config.json", num_attention_heads=5),
        "make no network .*not a multiple",
    ),
    "size of another model": (
        lambda f: edit(f / "config.json", hidden_size=64),
        r"is \(32004, 48\), expected \(32004, 64\)",
    ),
    "unknown activation": (lambda f: edit(f / "config.json", hidden_act="no"), "make no network"),
    "no vision tower": (
        lambda f: edit(f / "config.json", vision_tower=None, mm_vision_tower=None),
        "names nothing as its vision tower",
    ),
    "vision tower missing": (
        lambda f: edit(f / "config.json", vision_tower="../no", mm_vision_tower="../no"),
        r"names '\.\./no' as its vision tower",
    ),
    "vision tower without weights": (
        lambda f: (f / "../clip/model.safetensors").unlink(),
        "clip holds no weights",
    ),
    "vision tower cut short": (
        lambda f: os.truncate(f / "../clip/model.safetensors", 300_000),
        r"clip/model\.safetensors cannot be read as weights",
    ),
    "vision tower with sides": (
        lambda f: edit(f / "../clip/config.json", image_size=[224, 224]),
        r"make no network \(image_size of the vision tower is \[224, 224\], no number\)",
    ),
    "vision tower of another size": (
        lambda f: edit(f / "../clip/config.json", hidden_size=32),
        r"mm_projector\.weight in .* is \(48, 64\), expected \(48, 32\)",
    ),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_one_sentence(folder: Path, case: str) -> None:
    spoil, sentence = BROKEN[case]
    spoil(folder)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder of ours: `tiny` with random weights."""
    folder = tmp_path / "ours"
    model = Sida(tiny())
    model.save_pretrained(folder)
    SidaProcessor(model.config, Tokenizer.load(TOKENIZER)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"out_dim": 5}, r"make no network \(out_dim 5 is not a multiple of 8 heads\)"),
        ({"out_dim": "big"}, "make no network"),
        ({"fusion": "none"}, "make no network"),
        ({"vision": [1]}, r"\(\[1\] is not a set of sizes\)"),
        ({"vision": None}, "clip_vision_model, llama, sida_native_mask do not go together"),
        ({"language": {"model_type": "bert"}}, "sida_native, bert, sida_native_mask do not go"),
        ({"mask": {"model_type": ["sam"]}}, "make no network"),
        ({"vision": {"model_type": "sida_native", "stem": "wide"}}, "make no network"),
        ({"vision": {"model_type": "sida_native", "depths": [1]}}, "make no network"),
        ({"vision": {"model_type": "sida_native", "image_tokens": 0}}, "make no network"),
        ({"vision": {"model_type": "sida_native", "stem": 8}}, r"weight in .* is .*, expected"),
    ],
)
def test_broken_sizes_of_ours_are_one_sentence(ours: Path, values: Any, sentence: str) -> None:
    edit(ours / "config.json", **values)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        load(str(ours))
    assert "\n" not in str(caught.value)


def test_what_says_nothing_of_sizes_is_not_asked(ours: Path) -> None:
    edit(ours / "config.json", dtype="float17", id2label=5, label2id="none", _name_or_path=None)
    loaded = load(str(ours))
    assert loaded.model.config.id2label == {0: "real", 1: "full_synthetic", 2: "tampered"}
    assert loaded.model.dtype == torch.float32


def test_a_mistake_of_our_own_is_not_put_down_to_the_folder(
    ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sida.model.checkpoint._build", lambda config: None)
    with pytest.raises(TypeError, match="positional argument"):
        load(str(ours))


def test_weights_have_a_version(ours: Path, folder: Path, tmp_path: Path) -> None:
    assert load(str(ours)).version == "1"
    edit(ours / "config.json", version="2024-05")
    assert load(str(ours)).version == "2024-05"
    assert load(str(folder)).version == "unknown"
    snapshot = tmp_path / "snapshots/0c1d"
    shutil.copytree(folder, snapshot)
    edit(snapshot / "config.json", mm_vision_tower=str(tmp_path / "clip"))
    assert load(str(snapshot)).version == "0c1d"
    assert load(str(convert(str(snapshot), "ours", tmp_path / "a"))).version == "0c1d"


def test_no_such_model_is_one_sentence(tmp_path: Path, elsewhere: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no model 'nope': expected one of small"):
        load("nope")
    with pytest.raises(CheckpointError, match=r"There is no model '\./no/where'"):
        load("./no/where")
    with pytest.raises(CheckpointError, match="is not a model"):
        load(str(tmp_path))
    (elsewhere / "photo.jpg").write_text("no model")
    with pytest.raises(CheckpointError, match=r"photo\.jpg is a file: expected the folder"):
        load("photo.jpg")


@pytest.mark.parametrize("key", ["vision_tower", "mm_vision_tower"])
def test_either_key_may_point_to_a_folder(folder: Path, key: str) -> None:
    names = {"vision_tower": "openai/clip", "mm_vision_tower": "openai/clip"}
    edit(folder / "config.json", **{**names, key: "../clip"})
    tower = load_file(folder / "../clip/model.safetensors")
    state = load(str(folder)).model.state_dict()
    name = "embeddings.patch_embedding.weight"
    assert torch.equal(state[f"encoder.clip.{name}"], tower[f"vision_model.{name}"])


def test_a_vision_tower_of_the_hub_is_asked_for(folder: Path) -> None:
    edit(folder / "config.json", vision_tower="openai/clip", mm_vision_tower="openai/clip")
    with pytest.raises(DownloadError, match="openai/clip could not be downloaded"):
        load(str(folder))


def test_a_folder_is_named_after_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert load(".").name == "published"


@pytest.mark.parametrize("form", ["safetensors", "safetensors, one file", "bin, one file", "old"])
def test_every_form_of_weights_is_read(folder: Path, form: str) -> None:
    expected = load(str(folder)).model.state_dict()
    table = everything(folder)
    for name in SHARDS if form != "old" else ():
        (folder / name).unlink()
        (folder / INDEX).unlink(missing_ok=True)
    if form == "safetensors":
        names = list(table)
        halves = {"model-00001-of-00002": names[:99], "model-00002-of-00002": names[99:]}
        for file, tensors in halves.items():
            save_file({n: table[n] for n in tensors}, folder / f"{file}.safetensors")
        weight_map = {n: f"{f}.safetensors" for f, tensors in halves.items() for n in tensors}
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": weight_map}))
    elif form == "safetensors, one file":
        save_file(table, folder / "model.safetensors")
    elif form == "bin, one file":
        torch.save(table, folder / "pytorch_model.bin")
    else:
        shard = torch.load(folder / SHARDS[0], weights_only=True)
        torch.save(shard, folder / SHARDS[0], _use_new_zipfile_serialization=False)
    state = load(str(folder)).model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_description_folder_has_one_more_row(shared: Path, folder: Path) -> None:
    rows = load_file(shared / "oracle/tiny/description_rows.safetensors")
    table = everything(folder)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        row = rows[f"{name}.row32004"].reshape(1, -1)
        change(folder, name, torch.cat([table[name], row]))
    Tokenizer.load(folder).with_token("[END]").save(folder)
    loaded = load(str(folder))
    assert loaded.processor.tokenizer.end_id == 32004
    assert loaded.model.get_input_embeddings().weight.shape == (32005, 48)
    assert loaded.model.lm_head.weight.shape == (32005, 48)


def test_both_conversions_keep_every_bit(folder: Path, tmp_path: Path) -> None:
    before = load(str(folder))
    ours = convert(str(folder), "ours", tmp_path / "ours")
    back = convert(str(ours), "published", tmp_path / "back")
    first, second = everything(folder), everything(back)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert second[name].dtype == tensor.dtype
        assert torch.equal(second[name], tensor), name
    fields, written = (json.loads((f / "config.json").read_text()) for f in (folder, back))
    assert fields.keys() - written.keys() == {"_name_or_path"}
    rewritten = {"vision_tower", "mm_vision_tower", "_name_or_path"}
    assert all(written[key] == value for key, value in fields.items() if key not in rewritten)
    for file in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        assert json.loads((folder / file).read_text()) == json.loads((back / file).read_text())
    for converted in (ours, back):
        state = load(str(converted)).model.state_dict()
        for name, tensor in before.model.state_dict().items():
            assert torch.equal(state[name], tensor), name


def test_another_number_type_keeps_the_calibration(folder: Path, tmp_path: Path) -> None:
    ours = convert(str(folder), "ours", tmp_path / "ours")
    assert not load(str(ours)).calibration.fitted
    fitted = Calibration(scale=(0.5, 0.5, 0.5), digest=load(str(ours)).digest)
    fitted.save(ours)
    half = load(str(convert(str(ours), "ours", tmp_path / "half", dtype=torch.float16)))
    assert half.digest != fitted.digest
    assert half.calibration == fitted.model_copy(update={"digest": half.digest})


def test_what_is_left_out_is_listed(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["convert", str(folder), "--to=ours", f"--out={tmp_path}/a"])
    assert result.exit_code == 0
    weights, tower, *_ = result.stderr.splitlines()
    rotary = "model.layers.*.self_attn.rotary_emb.inv_freq"
    assert weights == f"{folder}: 3 of 251 tensors left out: {rotary}"
    layer = "vision_model.encoder.layers.2.*"
    assert tower == f"{folder.parent}/clip: 16 of 55 tensors left out: {layer}"


def test_a_wider_vision_tower_is_not_rounded(folder: Path, tmp_path: Path) -> None:
    tower = load_file(folder / "../clip/model.safetensors")
    name = "vision_model.embeddings.class_embedding"
    tower[name] = tower[name] + 1e-5
    save_file(tower, folder / "../clip/model.safetensors")
    ours = convert(str(folder), "ours", tmp_path / "ours")
    stored = everything(ours)["encoder.clip.embeddings.class_embedding"]
    assert torch.equal(stored, tower[name])
    assert json.loads((ours / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_type_may_be_chosen(folder: Path, tmp_path: Path) -> None:
    converted = convert(str(folder), "published", tmp_path / "half", torch.float16)
    assert {tensor.dtype for tensor in everything(converted).values()} == {torch.float16}
    assert json.loads((converted / "config.json").read_text())["torch_dtype"] == "float16"


def test_shards_are_cut_at_their_limit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sida.model.published.SHARD_BYTES", 3_100_000)
    written = convert(str(folder), "published", tmp_path / "cut")
    sizes = [shard.stat().st_size for shard in written.glob("pytorch_model-*-of-*.bin")]
    assert 3 <= len(sizes) <= 5
    assert max(sizes) < 3_300_000
    assert everything(written).keys() == everything(folder).keys()


def test_what_cannot_be_converted_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="choose ours or published"):
        convert(str(folder), "theirs", out)
    embedded = tmp_path / "embedded"
    model = Sida(tiny())
    model.save_pretrained(embedded)
    SidaProcessor(model.config, Tokenizer.load(TOKENIZER)).save_pretrained(embedded)
    with pytest.raises(ConfigError, match="not of the published structure"):
        convert(str(embedded), "published", out)
    edit(folder / "config.json", architectures=["LISAForCausalLM"])
    with pytest.raises(CheckpointError, match="LISA weights"):
        convert(str(folder), "ours", out)
    assert not out.exists()
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".part")]
    with pytest.raises(SidaError, match="is there already"):
        convert(str(embedded), "ours", tmp_path)


def test_a_disk_too_small_is_said_before_anything_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match=r"needs 0\.0 GB, .* has 0\.0 GB left"):
        convert(str(folder), "ours", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_lisa_is_a_base_with_new_heads(folder: Path) -> None:
    edit(folder / "config.json", architectures=["LISAForCausalLM"])
    edit(folder / "added_tokens.json", **{"[CLS]": None})
    table = everything(folder)
    for name, ours in from_published(table).names.items():
        if ours.startswith(("class_head.", "fusion.")):
            change(folder, name, None)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        change(folder, name, table[name][:32003].clone())
    model, processor = load_base(str(folder))
    assert processor.tokenizer.cls_id == 32003
    assert model.get_input_embeddings().weight.shape == (32004, 48)
    state = model.state_dict()
    for name, ours in from_published(table).names.items():
        rows = 32003 if "embed_tokens" in name or "lm_head" in name else None
        new = ours.startswith(("class_head.", "fusion."))
        assert new or torch.equal(state[ours][:rows], table[name][:rows].float()), name
    assert all(value.isfinite().all() for value in state.values())
    assert state["class_head.0.weight"].std() > 0
    assert state["fusion.attention.in_proj_weight"].std() > 0
