"""One detector, many pictures: order, failures, masks, explanations."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sida.detector import Detector, Request
from sida.errors import ConfigError, DeviceError, MissingExtra, PictureError, SidaError
from sida.explanation.cues import CUES
from sida.inference import engine
from sida.model.budget import BudgetCalibration
from sida.model.calibration import Calibration
from sida.provenance import inspection
from sida.verdict import LABELS, Failure, Verdict, parse_line
from tests.model.conftest import small_published
from tests.small import small_detector

ALWAYS_TAMPERED = Calibration(bias=(0.0, 0.0, 100.0), digest="x", unsure_below=(0.2,) * 3)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return small_detector()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Seven pictures of different sizes; the third and the last one are broken."""
    rng = np.random.default_rng(0)
    paths = []
    for i, size in enumerate([(40, 60), (100, 90), (8, 8), (64, 64), (1, 1), (130, 20), (9, 9)]):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    paths[2].write_bytes(b"no picture")
    paths[6].unlink()
    return paths


def test_results_come_in_the_order_of_the_pictures_and_failures_in_their_place(detector, files):
    results = list(detector.detect_many(files))
    assert [result.image for result in results] == [str(path) for path in files]
    assert [type(result) for result in results] == [
        *(Verdict, Verdict, Failure, Verdict, Verdict, Verdict, Failure)
    ]
    assert (results[2].error, results[6].error) == ("unreadable_image", "not_found")
    assert (results[1].height, results[1].width) == (100, 90)


def test_a_picture_is_judged_the_same_alone_and_in_company(detector, files):
    together = list(detector.detect_many(files, masks="all"))
    for path, verdict in zip(files, together, strict=True):
        if isinstance(verdict, Failure):
            continue
        alone = detector.detect(path, masks="all")
        for label in LABELS:
            outcome = alone.probabilities[label]
            assert outcome == pytest.approx(verdict.probabilities[label], abs=1e-5)
        np.testing.assert_allclose(alone.probability_map, verdict.probability_map, atol=1e-4)


def test_pictures_are_taken_only_as_they_are_needed(detector, files):
    taken = []

    def source() -> Iterator[Path]:
        for i in range(1000):
            taken.append(i)
            yield files[0]

    results = detector.detect_many(source())
    next(results)
    assert len(taken) < 40
    results.close()


@pytest.mark.parametrize("form", ["path", "text", "bytes", "array", "image"])
def test_every_way_to_give_a_picture(detector, files, form):
    path = files[0]
    with Image.open(path) as image:
        image.load()
    sources = {"path": path, "text": str(path), "bytes": path.read_bytes(), "image": image}
    source = sources.get(form, np.asarray(image))
    verdict = detector.detect(source)
    expected = detector.detect(path)
    assert verdict.probabilities == expected.probabilities
    assert verdict.image == (str(path) if form in ("path", "text") else None)
    assert (verdict.sha256 is None) == (form in ("array", "image"))


def test_masks_are_made_where_they_are_wanted(files):
    detector = small_detector(calibration=ALWAYS_TAMPERED)
    for masks, has_mask in (("tampered", True), ("all", True), ("none", False)):
        verdict = detector.detect(files[1], masks=masks)
        assert verdict.label == "tampered"
        assert (verdict.mask is not None) == (verdict.localization is not None) == has_mask
    assert verdict.explanation is None
    never = small_detector(calibration=Calibration(bias=(100.0, 0.0, 0.0)))
    assert never.detect(files[1]).mask is None
    mask = never.detect(files[1], masks="all").mask
    assert mask.shape == (100, 90)
    assert mask.dtype == bool


def test_the_numbers_of_a_mask_are_those_of_its_array(files):
    verdict = small_detector().detect(files[1], masks="all")
    assert verdict.localization.area == pytest.approx(verdict.mask.mean())
    assert np.array_equal(verdict.mask, verdict.probability_map > verdict.localization.threshold)


def test_a_mask_threshold_moves_the_mask(files):
    high = small_detector(calibration=Calibration(mask_threshold=0.9)).detect(files[1], masks="all")
    low = small_detector(calibration=Calibration(mask_threshold=0.1)).detect(files[1], masks="all")
    assert not (high.mask & ~low.mask).any()
    assert low.mask.sum() > high.mask.sum()


def test_a_calibration_shows_in_the_verdict(files):
    plain = small_detector().detect(files[0])
    assert (plain.calibrated, plain.inconclusive) == (False, False)
    sure = small_detector(calibration=ALWAYS_TAMPERED).detect(files[0])
    assert (sure.calibrated, sure.inconclusive) == (True, False)
    unsure = Calibration(scale=(0.0, 0.0, 0.0), digest="x", unsure_below=(0.5,) * 3)
    assert small_detector(calibration=unsure).detect(files[0]).inconclusive


def budgets(*scores: float, digest: str = "0" * 64) -> BudgetCalibration:
    """A calibration on 19 photographs, enough for a twentieth; the last score is its threshold."""
    return BudgetCalibration.of("mine", digest, {"as_is": [0.0] * (19 - len(scores)) + [*scores]})


def test_a_verdict_above_the_threshold_of_a_budget_is_stated(files):
    biases = {"tampered": (0.0, -9.0, 1.0), "real": (0.0, -9.0, -1.0)}  # the likeliest of three
    for calibration in (Calibration(bias=bias) for bias in biases.values()):
        low = small_detector(calibration=calibration, budgets=budgets(0.1))
        verdict = low.detect(files[3], max_false_positives=0.05)
        assert (verdict.label, verdict.inconclusive) == ("tampered", False)
        assert verdict.mask is not None
        assert verdict.budget.threshold == 0.1
        assert (verdict.budget.photographs, verdict.budget.set) == (19, "mine")


def test_below_the_threshold_of_a_budget_nothing_but_real_is_stated(files):
    tampered, real = Calibration(bias=(0.0, 0.0, 9.0)), Calibration(bias=(9.0, 0.0, 0.0))
    high = [small_detector(calibration=c, budgets=budgets(1.0)) for c in (tampered, real)]
    verdicts = [detector.detect(files[3], max_false_positives=0.05) for detector in high]
    assert [verdict.label for verdict in verdicts] == ["tampered", "real"]
    assert [verdict.inconclusive for verdict in verdicts] == [True, False]


def test_each_picture_of_a_run_has_its_own_budget(files):
    detector = small_detector(budgets=budgets(0.2, 0.3))
    shares = [0.1, None, 0.05]
    requests = [Request(files[3], max_false_positives=share) for share in shares]
    thresholds = [v.budget and v.budget.threshold for v in detector.run(requests)]
    assert thresholds == [0.2, None, 0.3]
    (many,) = detector.detect_many([files[3]], max_false_positives=0.1)
    assert many.budget.threshold == 0.2


def test_a_budget_that_cannot_be_kept_is_refused(detector, files):
    with pytest.raises(ConfigError, match=r"no calibration for a budget .* `sida calibrate FOLDER"):
        detector.detect(files[3], max_false_positives=0.05)
    with pytest.raises(ConfigError, match="takes at least 99"):
        small_detector(budgets=budgets(0.2)).detect(files[3], max_false_positives=0.01)
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="expected a share above 0 and below 1"):
            detector.detect(files[3], max_false_positives=share)


def test_a_calibration_of_a_users_own_takes_the_place_of_the_models(tmp_path):
    detector = Detector.load("tiny")
    own = tmp_path / "calibration.json"
    budgets(0.7, digest=detector.model.digest).save(own)
    assert Detector.load("tiny", calibration=own).budget(0.05).threshold == 0.7
    budgets(0.7).save(own)
    with pytest.raises(ConfigError, match="of other weights"):
        Detector.load("tiny", calibration=own)


def test_an_explanation_is_written_by_the_model_and_checked_against_cues(files):
    detector = small_detector(calibration=ALWAYS_TAMPERED)
    explanation = detector.detect(files[1], explain=True).explanation
    assert explanation.complete in (True, False)
    assert {claim.cue for claim in explanation.claims} <= CUES.keys()


def test_the_facts_reach_the_text(files, monkeypatch):
    """What is measured is fed to the language model as ids between the stem and the text."""
    detector = small_detector(calibration=ALWAYS_TAMPERED)
    fed = []

    def record(_model, _past, answers, _stops, _limit):
        fed.extend(map(list, answers))
        return iter([[detector.engine.processor.tokenizer.end_id]])

    monkeypatch.setattr(engine, "generate_batch", record)
    explanation = detector.detect(files[1], explain=True).explanation
    text = detector.engine.processor.tokenizer.decode(fed[0])
    assert text.startswith("[CLS] The image is tampered [SEG] <im_start>")
    assert text.rstrip().endswith("<im_end>")
    assert explanation.complete
    assert explanation.text == ""


def test_a_verdict_survives_json(detector, files):
    verdict = detector.detect(files[0], masks="all")
    line = verdict.model_dump_json()
    assert json.loads(line)["schema"] == "sida.verdict/1"
    assert parse_line(line) == verdict


def test_overlays_are_drawn_over_the_picture(detector, files, tmp_path):
    verdict = detector.detect(files[1], masks="all")
    verdict.save_overlay(tmp_path / "o.png")
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == (90, 100)


def test_a_verdict_stays_as_it_was_handed_out(detector, files, tmp_path):
    """It names its picture from the start, so no pixels pile up in a list of verdicts."""
    pictures = [files[0], files[1].read_bytes(), files[3]]
    verdicts, before = [], []
    for verdict in detector.detect_many(pictures, masks="all", explain=True):
        verdicts.append(verdict)
        before.append((dict(verdict.__dict__), dict(verdict.__pydantic_private__)))
    for verdict, (public, private) in zip(verdicts, before, strict=True):
        assert verdict.__dict__ == public
        assert verdict.__pydantic_private__.keys() == private.keys()
        assert all(verdict.__pydantic_private__[name] is private[name] for name in private)
        verdict.save_overlay(tmp_path / "o.png")
        verdict.model_copy().save_overlay(tmp_path / "o.png")
    assert [verdict._picture for verdict in verdicts] == pictures


def test_a_broken_picture_raises_with_its_code(detector, files):
    with pytest.raises(PictureError) as caught:
        detector.detect(files[2])
    assert caught.value.code == "unreadable_image"


def test_what_cannot_be_had_is_refused_before_the_weights_are_read():
    with pytest.raises(DeviceError, match="choose auto, cpu"):
        Detector.load("tiny", device="tpu")
    with pytest.raises(DeviceError, match="no dtype 'int3'"):
        Detector.load("tiny", dtype="int3")
    with pytest.raises(ConfigError, match="no quantization 'int3'"):
        Detector.load("tiny", quantize="int3")
    with pytest.raises(ConfigError, match="expected at least 1"):
        Detector.load("tiny", batch_size=0)


def sizes_file(folder: Path, **changes: object) -> Path:
    """A file of small sizes; `mask__hidden_size=15` changes that one."""
    config = small_published()
    parts = {part: getattr(config, part).to_dict() for part in ("vision", "language", "mask")}
    sizes = {**parts, "out_dim": config.out_dim, "vocab": 1005}
    for key, value in changes.items():
        part, _, name = key.rpartition("__")
        (sizes[part] if part else sizes)[name] = value
    path = folder / "sizes.json"
    path.write_text(json.dumps(sizes))
    return path


def test_random_weights_are_the_same_at_every_call(files, tmp_path):
    sizes = sizes_file(tmp_path)
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first, second = (Detector.random(sizes).detect(files[1]) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.probabilities == second.probabilities
    assert first.model.name == "random sizes"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vocab": 60}, "vocab is 60, the embedded tokenizer has 1005 pieces"),
        ({"vocab": -5}, "negative dimension"),
        ({"out_dim": 16}, "Sizes of tensors must match"),
        ({"mask__hidden_size": 15}, "multiply up to the size"),
        ({"language__num_attention_heads": 0}, "modulo by zero"),
        ({"language__num_key_value_heads": 3}, "heads in key and value"),
        ({"vision__image_size": 30}, "Kernel size"),
    ],
)
def test_sizes_that_make_no_network_are_one_sentence(tmp_path, changes, reason):
    sizes = sizes_file(tmp_path, **changes)
    with pytest.raises(ConfigError, match=rf"sizes\.json make no network \(.*{reason}") as caught:
        Detector.random(sizes)
    assert "\n" not in str(caught.value)


def test_sizes_too_large_for_memory_are_not_called_wrong(tmp_path, monkeypatch):
    def full(*_args, **_how):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("sida.detector.load_random", full)
    with pytest.raises(RuntimeError, match="can't allocate"):
        Detector.random("tiny")


@pytest.mark.parametrize("name", ["runs/typo", "runs/a/typo", "./typo"])
def test_a_path_that_leads_nowhere_is_said_to_be_one(elsewhere, name):
    with pytest.raises(SidaError, match=r"folder.* does not exist") as caught:
        Detector.load(name)
    assert name in str(caught.value)


def test_a_batch_that_does_not_fit_is_halved_and_one_picture_alone_fails(
    files, monkeypatch, caplog
):
    detector = small_detector(batch_size=4)
    infer_each = detector.engine.infer_each
    sizes = []

    def limited(pictures, *explains):
        sizes.append(len(pictures))
        if len(pictures) > 1 or pictures[0].pixels.shape[0] == 64:
            raise torch.OutOfMemoryError("no room")
        return infer_each(pictures, *explains)

    monkeypatch.setattr(detector.engine, "infer_each", limited)
    paths = [files[0], files[1], files[3], files[4]]
    results = list(detector.detect_many(paths))
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    assert [type(result) for result in results] == [Verdict, Verdict, Failure, Verdict]
    assert results[2].error == "out_of_memory"
    assert "halving" in caplog.text


def test_explanations_that_do_not_fit_together_are_written_with_fewer(files, monkeypatch):
    detector = small_detector(batch_size=4, calibration=ALWAYS_TAMPERED)
    passes = []
    monkeypatch.setattr(engine, "TEXT_LIMIT", 3)
    explain = detector.engine.explain

    def limited(outputs):
        passes.append(len(outputs))
        if len(outputs) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return explain(outputs)

    monkeypatch.setattr(detector.engine, "explain", limited)
    paths = [files[0], files[1], files[3], files[4]]
    results = list(detector.detect_many(paths, explain=True))
    assert passes == [4, 2, 1, 1, 2, 1, 1]
    assert [result.image for result in results] == [str(path) for path in paths]
    assert all(result.explanation is not None for result in results)


def test_only_those_that_ask_are_explained_and_each_gets_its_own(files, monkeypatch):
    monkeypatch.setattr(engine, "TEXT_LIMIT", 4)
    detector = small_detector(batch_size=4)
    paths = [files[0], files[1], files[3], files[4]]
    explains = [True, False, True, True]
    requests = [Request(path, explain=wish) for path, wish in zip(paths, explains, strict=True)]
    results = list(detector.run(requests))
    assert [result.explanation is not None for result in results] == explains
    alone = [
        detector.detect(path, explain=wish) for path, wish in zip(paths, explains, strict=True)
    ]
    assert [item.explanation for item in results] == [item.explanation for item in alone]


def test_other_errors_of_the_network_are_not_taken_for_a_lack_of_memory(files, monkeypatch):
    detector = small_detector()

    def broken(_pictures, *_wishes):
        raise RuntimeError("shapes")

    monkeypatch.setattr(detector.engine, "infer_each", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        detector.detect(files[0])


def test_numbers_that_are_not_finite_cost_only_their_picture(files, monkeypatch):
    detector = small_detector(batch_size=4)
    classify = detector.engine.model.classify

    def spoiled(hidden, state):
        logits = classify(hidden, state).clone()
        logits[1] = float("inf")
        return logits

    monkeypatch.setattr(detector.engine.model, "classify", spoiled)
    results = list(detector.detect_many([files[0], files[1], files[3]]))
    assert [type(result) for result in results] == [Verdict, Failure, Verdict]
    assert "not finite" in results[1].message


def test_which_masks_are_handed_out_does_not_change_an_explanation(files, monkeypatch):
    """Its facts are measured in the mask of a tampered picture, and in none of another one."""
    facts = []

    def record(_model, _past, answers, _stops, _limit):
        facts.extend(map(list, answers))
        return iter([])

    monkeypatch.setattr(engine, "generate_batch", record)
    for bias in (ALWAYS_TAMPERED.bias, (100.0, 0.0, 0.0)):
        detector = small_detector(calibration=Calibration(bias=bias))
        verdicts = [
            detector.detect(files[1], masks=masks, explain=True)
            for masks in ("tampered", "all", "none")
        ]
        first, second, third = facts[-3:]
        assert first == second == third
        assert verdicts[0].explanation == verdicts[1].explanation == verdicts[2].explanation
        assert verdicts[1].mask is not None
        assert verdicts[2].mask is verdicts[2].localization is verdicts[2].probability_map is None
    decoded = detector.engine.processor.tokenizer.decode
    assert "position" in decoded(facts[0])
    assert "no region" in decoded(facts[3])


def test_provenance_comes_with_the_verdict_where_it_is_asked_for(detector, files):
    first, second = detector.run([Request(files[0], provenance=True), Request(files[0])])
    assert "noise" in [item.name for item in first.provenance.measured]
    assert second.provenance is None
    assert '"provenance":{"declared":[' in first.model_dump_json()


def test_provenance_that_cannot_be_looked_for_costs_no_verdict(detector, files, monkeypatch):
    def fail(picture, trust):
        raise MemoryError

    monkeypatch.setattr("sida.detector.inspect", fail)
    (outcome,) = detector.run([Request(files[0], provenance=True)])
    assert "not enough memory" in outcome.provenance.declared[0].value


def test_a_missing_package_for_provenance_is_one_sentence(detector, files, monkeypatch):
    monkeypatch.setitem(inspection.PACKAGES, "absent", "absent")
    with pytest.raises(MissingExtra, match="provenance"):
        next(detector.run([Request(files[0], provenance=True)]))


@pytest.mark.parametrize(
    ("native", "dtype", "encoder_dtype"),
    [
        (True, "auto", torch.bfloat16),
        (False, "auto", torch.float32),
        (True, "float32", torch.float32),
    ],
)
def test_a_frozen_encoder_takes_the_dtype_that_the_processor_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str, encoder_dtype: torch.dtype
) -> None:
    monkeypatch.setattr("sida.inference.device.multiplies_bfloat16", lambda: native)
    model = Detector.load("small", device="cpu", dtype=dtype).engine.model
    assert (model.encoder.clip.dtype, model.dtype) == (encoder_dtype, torch.float32)
