"""Adapters: written, read, applied, named with `+`, refused."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sida import Detector
from sida.assets import TOKENIZER
from sida.errors import CheckpointError
from sida.model import Sida
from sida.model.adapter import Adapter, apply_adapter, read_adapter, save_adapter, split_name
from sida.model.calibration import Calibration
from sida.model.checkpoint import load
from sida.model.tokenizer import Tokenizer
from sida.model.weights import digest_of
from tests.small import small_config


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder of a small model; its name holds a plus sign."""
    folder = tmp_path_factory.mktemp("models") / "a+b"
    config = small_config()
    torch.manual_seed(0)
    Sida(config).save_pretrained(folder)
    Tokenizer.load(TOKENIZER).save(folder)
    return folder


@pytest.fixture
def adapter(base) -> Adapter:
    torch.manual_seed(1)
    shapes = load(str(base)).model.class_head.state_dict()
    tensors = {f"class_head.{name}": torch.randn_like(value) for name, value in shapes.items()}
    bare = Adapter("a+b", digest_of(base), tensors)
    return dataclasses.replace(bare, calibration=Calibration(scale=(2, 2, 2), digest=bare.digest))


@pytest.fixture
def file(adapter, tmp_path) -> Path:
    path = tmp_path / "mine.safetensors"
    save_adapter(path, adapter)
    return path


def test_what_is_written_is_read(file, adapter):
    read = read_adapter(file)
    assert read.digest == adapter.digest
    assert (read.base, read.calibration) == ("a+b", adapter.calibration)
    for name, tensor in adapter.tensors.items():
        assert torch.equal(read.tensors[name], tensor)


def test_a_name_with_an_adapter_loads_both(base, file, adapter):
    plain, loaded = load(str(base)), load(f"{base}+{file}")
    assert (loaded.name, loaded.digest) == ("a+b+mine", adapter.digest)
    assert loaded.calibration == adapter.calibration
    assert plain.digest == adapter.base_digest != loaded.digest
    trained = {
        name: adapter.tensors[f"class_head.{name}"] for name in plain.model.class_head.state_dict()
    }
    for name, value in loaded.model.class_head.state_dict().items():
        assert torch.equal(value, trained[name])
    for name, value in loaded.model.language.state_dict().items():
        assert torch.equal(value, plain.model.language.state_dict()[name])


def test_a_folder_with_a_plus_sign_is_that_folder(base, file):
    assert split_name(str(base)) == (str(base), None)
    assert split_name(f"{base}+{file}") == (str(base), file)
    assert load(str(base)).name == "a+b"


def test_the_detector_judges_as_the_adapted_model(base, file, adapter, tmp_path):
    from PIL import Image

    picture = tmp_path / "grey.png"
    Image.new("RGB", (70, 50), (90, 120, 150)).save(picture)
    loaded = load(str(base))
    apply_adapter(loaded.model, file, loaded.digest)
    in_memory = dataclasses.replace(loaded, calibration=adapter.calibration)
    ours = Detector(in_memory).detect(picture).probabilities
    theirs = Detector.load(f"{base}+{file}").detect(picture)
    assert theirs.probabilities == ours
    assert theirs.calibrated
    assert Detector.load(base).detect(picture).probabilities != ours


def test_only_the_named_rows_are_replaced(base, adapter, tmp_path):
    rows = torch.full((2, 128), 7.0)
    rows_of = {"lm_head.weight": (1, 3)}
    adapter_of_rows = Adapter("a+b", adapter.base_digest, {"lm_head.weight": rows}, rows_of)
    save_adapter(tmp_path / "rows.safetensors", adapter_of_rows)
    model = load(str(base)).model
    before = model.lm_head.weight.detach().clone()
    apply_adapter(model, tmp_path / "rows.safetensors", adapter.base_digest)
    changed = (model.lm_head.weight != before).any(1).nonzero()[:, 0].tolist()
    assert changed == [1, 3]
    assert (
        adapter_of_rows.digest
        != Adapter("a+b", adapter.base_digest, {"lm_head.weight": rows}).digest
    )


def test_a_calibration_of_other_tensors_is_left_out(adapter, tmp_path):
    stale = dataclasses.replace(adapter, calibration=Calibration(digest="0" * 64))
    save_adapter(tmp_path / "stale.safetensors", stale)
    assert not read_adapter(tmp_path / "stale.safetensors").calibration.fitted


def test_an_adapter_of_another_base_is_refused_with_both_digests(base, file, adapter):
    with pytest.raises(CheckpointError) as refused:
        apply_adapter(load(str(base)).model, file, "f" * 64)
    message = str(refused.value)
    assert adapter.base_digest[:12] in message
    assert "f" * 12 in message
    assert message.count(". ") == 0
    with pytest.raises(CheckpointError, match=r"is an adapter of a\+b with the weights"):
        load(f"tiny+{file}")


@pytest.mark.parametrize(
    ("tensors", "rows", "reason"),
    [
        ({"nothing.weight": torch.zeros(2)}, {}, "which the model has no place for"),
        ({"class_head.0.bias": torch.zeros(5)}, {}, r"is \(5,\), expected"),
        ({"class_head.0.bias": torch.zeros(64, dtype=torch.int64)}, {}, "of torch.int64"),
        ({"lm_head.weight": torch.zeros(1, 128)}, {"lm_head.weight": (99999,)}, "for the rows"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(base, tmp_path, tensors, rows, reason):
    path = tmp_path / "odd.safetensors"
    save_adapter(path, Adapter("a+b", digest_of(base), tensors, rows))
    with pytest.raises(CheckpointError, match=reason):
        load(f"{base}+{path}")


def test_files_that_are_no_adapters_are_refused(base, file, tmp_path):
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors")
    with pytest.raises(CheckpointError, match="cannot be read as an adapter"):
        load(f"tiny+{text}")
    with pytest.raises(CheckpointError, match="is not an adapter: expected a file that"):
        load(f"tiny+{base / 'model.safetensors'}")
    odd = tmp_path / "header.safetensors"
    save_file({}, odd, metadata={"sida.adapter/1": json.dumps({"base": "tiny"})})
    with pytest.raises(CheckpointError, match="base_digest in its header"):
        load(f"tiny+{odd}")
    shutil.copy(file, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cut short"):
        load(f"tiny+{tmp_path / 'cut.safetensors'}")


def test_an_adapter_that_is_not_there_is_one_sentence(base):
    for name in ("tiny+nope.safetensors", f"{base}+runs/nope.safetensors"):
        with pytest.raises(CheckpointError, match="There is no adapter"):
            load(name)
    with pytest.raises(CheckpointError, match=r"There is no model 'nope\+one'"):
        load("nope+one")
