"""Heads alone: vectors once, folds by group, an adapter that judges as it did in memory."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import sida.data
import sida.train.vectors
from sida.assets import TOKENIZER
from sida.cli import app
from sida.errors import ConfigError, DataError
from sida.inference.engine import Engine
from sida.model.checkpoint import load
from sida.model.processor import SidaProcessor
from sida.model.prompt import conversation
from sida.model.sida import Sida
from sida.model.tokenizer import Tokenizer
from sida.train import train
from sida.train.config import read_config
from sida.train.folds import assign_folds
from sida.train.heads import HeadFit, balanced_loss, logits_of
from sida.train.stop_request import StopRequest
from sida.train.token_rows import fit_token_rows
from sida.train.vectors import Vectors, VectorStore, collect
from sida.verdict import LABELS
from tests.model.conftest import small_published, spread
from tests.model.test_clip_windows import little_config
from tests.small import small_config

FAST = ("heads_only=true", "max_steps=80", "validate_every=20", "batch_size=8", "threads=1")
SHADES = {"real": (200, 60, 60), "full_synthetic": (60, 200, 60), "tampered": (60, 60, 200)}


def save_model(config, folder: Path) -> str:
    """A folder of a model with random weights that says different things of pictures."""
    tokenizer = Tokenizer.load(TOKENIZER)
    config.language.vocab_size = len(tokenizer)
    torch.manual_seed(0)
    spread(Sida(config)).save_pretrained(folder)
    tokenizer.save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    return save_model(small_config(), tmp_path_factory.mktemp("base") / "small")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Four originals a class, two pictures of each; a class has its colour."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    lines = ["image,label,mask,source,group"]
    for label, shade in SHADES.items():
        (root / label).mkdir()
        for i in range(8):
            noise = rng.integers(-40, 40, (40, 48, 3))
            pixels = (np.array(shade) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
            lines.append(f"{label}/{i}.png,{label},,made,{label[0]}{i // 2}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def finished(base, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = [*FAST, f"model={base}", f"data={pictures}", "views=1", "learning_rate=0.01"]
    settings.append(f"validation={pictures}")
    assert train("finetune", out, overrides=settings) == out / "adapter.safetensors"
    return out, settings


def test_a_run_leaves_an_adapter_and_no_model(finished):
    out, _ = finished
    names = sorted(f.name for f in out.iterdir())
    expected = ["adapter.safetensors", "folds.json", "metrics.jsonl", "recipe.json"]
    assert names == [*expected, "vectors.safetensors"]


def test_every_step_of_the_last_fit_has_its_line(finished):
    out, _ = finished
    report = json.loads((out / "folds.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, report["steps"] + 1))
    names = {"step", "loss", "loss_class", "loss_mask_bce", "loss_mask_dice", "loss_text"}
    for line in lines:
        assert names | {"learning_rate", "seconds"} <= line.keys()
        assert line["loss"] == line["loss_class"]


def test_folds_say_what_base_and_adapter_reach(finished, base):
    out, _ = finished
    report = json.loads((out / "folds.json").read_text())
    assert report["base"]["digest"] == load(base).digest
    assert [fold["groups"] for fold in report["folds"]] == [3, 3, 3, 3]
    assert sum(fold["count"] for fold in report["folds"]) == report["count"] == 24
    for measured in (report, report["validation"]):
        for interval in measured["balanced_accuracy"].values():
            assert interval["low"] <= interval["value"] <= interval["high"]
    reached = report["balanced_accuracy"]
    assert reached["base"]["value"] < 0.7 < reached["adapter"]["value"]


def test_detect_with_the_adapter_gives_what_the_model_in_memory_gave(finished, base, pictures):
    """The command line's verdicts, against the head put by hand on what the store holds."""
    out, _ = finished
    name = f"{base}+{out / 'adapter.safetensors'}"
    result = CliRunner().invoke(app, ["detect", str(pictures), "--model", name, "--json", "-"])
    assert result.exit_code == 0, result.output
    loaded = load(name)
    engine = Engine(load(base).model, loaded.processor)
    store = VectorStore(out / "none.safetensors", "")
    vectors = collect(engine, sida.data.open(pictures), store, StopRequest())
    (out / "none.safetensors").unlink()
    logits = logits_of(loaded.model.class_head, vectors)
    expected = loaded.calibration.probabilities(logits)
    probabilities = {}
    for line in map(json.loads, result.stdout.splitlines()):
        probabilities[line["image"]] = line["probabilities"]
        assert line["calibrated"]
        assert line["model"]["name"] == "small+adapter"
        assert line["model"]["digest"] == loaded.digest
    names = [str(pictures / s.name) for s in sida.data.open(pictures)]
    actual = np.array([list(probabilities[name].values()) for name in names])
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    right = actual.argmax(1) == np.repeat(np.arange(3), 8)
    assert right.mean() > 0.7


def test_logits_of_vectors_hold_the_evidence_of_an_encoder(pictures, tmp_path):
    torch.manual_seed(0)
    config = little_config()
    model = Sida(config).eval()
    torch.nn.init.normal_(model.encoder.evidence.weight)
    engine = Engine(model, SidaProcessor(config, Tokenizer.load(TOKENIZER)))
    samples = sida.data.open(pictures)[::8]
    vectors = collect(engine, samples, VectorStore(tmp_path / "store", ""), StopRequest())
    outputs = engine.infer([s.read() for s in samples], [lambda _: False] * len(samples))
    expected = np.stack([output.class_logits for output in outputs])
    np.testing.assert_allclose(logits_of(model.class_head, vectors), expected, atol=1e-5)
    assert vectors.evidence.std() > 0.1


def test_a_finished_run_is_left_as_it_is(finished):
    out, settings = finished
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    train("finetune", out, overrides=settings)
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir()}


def test_a_run_that_was_stopped_computes_only_what_is_missing(finished, tmp_path, monkeypatch):
    out, settings = finished
    again = tmp_path / "again"
    again.mkdir()
    for name in ("vectors.safetensors", "recipe.json"):
        shutil.copy(out / name, again)
    monkeypatch.setattr(
        sida.train.vectors._Collection, "_prefill", None
    )  # would fail if it were called
    train("finetune", again, overrides=settings)
    assert (again / "adapter.safetensors").read_bytes() == (
        out / "adapter.safetensors"
    ).read_bytes()


def test_stored_vectors_of_other_weights_are_set_aside(tmp_path, caplog):
    first = VectorStore(tmp_path / "v.safetensors", "one")
    first.add("a.0", torch.ones(2, 4))
    first.write()
    assert VectorStore(tmp_path / "v.safetensors", "one").vectors.keys() == {"a.0"}
    assert not VectorStore(tmp_path / "v.safetensors", "two").vectors
    assert "its vectors are of other weights" in caplog.text


def test_stopping_writes_what_there_is(base, pictures, tmp_path):
    loaded = load(base)
    engine = Engine(loaded.model, loaded.processor)
    store = VectorStore(tmp_path / "v.safetensors", "one")
    stop = StopRequest()
    stop.signal_number = 2
    with pytest.raises(KeyboardInterrupt):
        collect(engine, sida.data.open(pictures), store, stop, batch_size=4)
    assert len(VectorStore(tmp_path / "v.safetensors", "one").vectors) == 4


def test_the_first_view_is_the_picture_and_others_are_seeded(base, pictures, tmp_path):
    loaded = load(base)
    engine = Engine(loaded.model, loaded.processor)
    samples = list(sida.data.open(pictures))[::8]

    def run(view_count: int, seed: int) -> Vectors:
        store = VectorStore(tmp_path / "never.safetensors", "")
        store.write = lambda: None
        return collect(engine, samples, store, StopRequest(), view_count=view_count, seed=seed)

    plain, first, second = run(0, 0), run(2, 1), run(2, 2)
    assert torch.allclose(first.classes[:, 0], second.classes[:, 0], atol=1e-5)
    assert torch.allclose(plain.classes[:, 0], first.classes[:, 0], atol=1e-5)
    assert torch.equal(first.classes, run(2, 1).classes)
    assert not torch.equal(first.classes[:, 1], second.classes[:, 1])
    assert plain.labels.tolist() == [0, 1, 2]


def test_no_original_is_in_two_folds():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(3, size=60), rng.integers(25, size=60)
    folds = assign_folds(labels, groups, 0)
    assert set(folds) == set(range(5))
    for group in set(groups.tolist()):
        assert len(set(folds[groups == group])) == 1
    assert (folds == assign_folds(labels, groups, 0)).all()


def test_a_class_of_one_original_is_refused(base, pictures, tmp_path):
    few = tmp_path / "few"
    shutil.copytree(pictures, few)
    text = (few / "manifest.csv").read_text()
    (few / "manifest.csv").write_text(
        text.replace(",t1", ",t0").replace(",t2", ",t0").replace(",t3", ",t0")
    )
    with pytest.raises(DataError, match="1 original of tampered pictures can be used"):
        train("finetune", tmp_path / "out", overrides=[*FAST, f"model={base}", f"data={few}"])


def test_data_without_a_class_and_used_folders_are_refused(base, finished, pictures, tmp_path):
    out, settings = finished
    with pytest.raises(ConfigError, match=r"another run: seed=3 \(was \d\)"):
        train("finetune", out, overrides=[*settings, "seed=3"])
    two = tmp_path / "two"
    for label in ("real", "tampered"):
        shutil.copytree(pictures / label, two / label)
    with pytest.raises(DataError, match="no full_synthetic picture"):
        train("finetune", tmp_path / "out", overrides=[*FAST, f"model={base}", f"data={two}"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["heads_only=true", "crops=[32]"], "leave out crops"),
        (["heads_only=true", "trained=[class_head]"], "leave out trained"),
        (["heads_only=true", "model=null", "preset=tiny"], "heads_only is for a trained model"),
        (["views=2"], "views are for heads_only or cache"),
    ],
)
def test_contradictions_are_refused(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        read_config("finetune", settings)


def test_a_launcher_of_several_processes_is_refused(base, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="runs in one process"):
        train("finetune", tmp_path / "out", overrides=[*FAST, f"model={base}", f"data={pictures}"])


def test_labels_that_the_container_gives_away_are_said(base, tmp_path, caplog):
    data = tmp_path / "leaky"
    for label in LABELS:
        (data / label).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            suffix = "png" if label == "real" else "jpg"
            Image.fromarray(pixels).save(data / label / f"{i}.{suffix}")
    settings = [*FAST, "max_steps=2", f"model={base}", f"data={data}"]
    train("finetune", tmp_path / "out", overrides=settings)
    assert "it gives the class away" in caplog.text
    assert "The data name no originals" in caplog.text
    report = json.loads((tmp_path / "out/folds.json").read_text())
    assert report["leakage_probe"]["leaks"]


def test_the_command_says_where_the_adapter_is_and_what_it_reaches(finished):
    out, settings = finished
    result = CliRunner().invoke(
        app, ["train", "finetune", *settings, "--out", str(out), "--resume"]
    )
    assert result.exit_code == 0, result.output
    adapter = out / "adapter.safetensors"
    (base,) = (s.removeprefix("model=") for s in settings if s.startswith("model="))
    assert f"The adapter is in {adapter}, for `--model {base}+{adapter}`." in result.stderr
    score = r"[01]\.\d{3} \[[01]\.\d{3}, [01]\.\d{3}\]"
    sentence = (
        rf"Balanced accuracy is {score} before and {score} after on pictures held back in 4 folds"
    )
    assert re.search(sentence, " ".join(result.stderr.split()))
    assert "on the 24 pictures for validation." in result.stderr


def test_a_head_that_never_sees_a_picture_is_not_changed_by_it():
    vectors = Vectors(
        torch.randn(9, 1, 6),
        torch.zeros(9, 1, 6),
        torch.zeros(9, 1, 3),
        np.repeat(np.arange(3), 3),
        np.arange(9),
        {},
        True,
    )
    config = read_config("finetune", [*FAST, "learning_rate=0.1"])
    head = torch.nn.Sequential(torch.nn.Linear(6, 3))
    rows = np.array([0, 1, 3, 4, 6, 7])
    fit = HeadFit(head, vectors, rows, config)
    changed = vectors._replace(classes=vectors.classes.clone())
    changed.classes[[2, 5, 8]] = 99.0
    other = HeadFit(head, changed, rows, config)
    for _ in range(10):
        assert fit.advance() == other.advance()
    assert not torch.equal(fit.current[0].weight, head[0].weight)


def test_balanced_loss_is_a_mean_of_classes():
    logits = np.log([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.2, 0.7, 0.1]])
    expected = -(np.log(0.5) + np.log(0.7)) / 2
    assert balanced_loss(logits, np.array([0, 0, 1])) == pytest.approx(expected)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> str:
    """Untied, as the published models are."""
    return save_model(small_published(), tmp_path_factory.mktemp("published") / "untied")


def test_rows_of_added_tokens_are_taught_and_no_other(published, pictures, tmp_path):
    """After it, an answer begins with [CLS], and [SEG] follows the stem of a tampered picture."""
    settings = [*FAST, "max_steps=20", f"model={published}", f"data={pictures}"]
    train("finetune", tmp_path / "out", overrides=settings)
    report = json.loads((tmp_path / "out/folds.json").read_text())["text"]
    assert report["said"]["adapter"] == 1 > report["said"]["base"]
    before = load(published)
    after = load(f"{published}+{tmp_path / 'out/adapter.safetensors'}")
    tokenizer = before.processor.tokenizer
    changed = (before.model.lm_head.weight != after.model.lm_head.weight).any(1).nonzero()[:, 0]
    assert changed.tolist() == sorted([tokenizer.seg_id, tokenizer.added["[CLS]"]])
    assert torch.equal(
        before.model.get_input_embeddings().weight, after.model.get_input_embeddings().weight
    )


def test_taught_rows_stay_out_of_what_they_were_not_taught_for(published):
    model = load(published).model
    tokenizer = load(published).processor.tokenizer
    torch.manual_seed(0)
    width = model.config.language.hidden_size
    answers = {}
    for label in LABELS:
        count = len(conversation(tokenizer, label).answer_ids) + 1
        answers[label] = torch.randn(1, count, width).expand(3, -1, -1)
    answers["real"] = answers["full_synthetic"][:, : answers["real"].shape[1]]
    fitted = fit_token_rows(model, tokenizer, answers)
    assert fitted.ids == (tokenizer.added["[CLS]"], tokenizer.seg_id)
    assert fitted.report["loss"]["adapter"] < fitted.report["loss"]["base"]
    assert fitted.weight.shape == (2, width)


def test_an_adapter_stands_on_whole_weights_alone(finished, pictures, tmp_path):
    out, settings = finished
    (base,) = (s.removeprefix("model=") for s in settings if s.startswith("model="))
    adapted = [*FAST, f"model={base}+{out / 'adapter.safetensors'}", f"data={pictures}"]
    with pytest.raises(ConfigError, match=f"has an adapter already.*model={base}"):
        train("finetune", tmp_path / "out", overrides=adapted)


def test_validation_that_cannot_be_read_is_refused_before_the_work(base, pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "broken")
    for file in (tmp_path / "broken").rglob("*.png"):
        file.write_bytes(b"no picture")
    settings = [*FAST, f"model={base}", f"data={pictures}", f"validation={tmp_path / 'broken'}"]
    with pytest.raises(DataError, match="No picture for validation can be read"):
        train("finetune", tmp_path / "out", overrides=settings)
    assert not (tmp_path / "out").exists()
