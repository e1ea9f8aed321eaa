"""Whole runs, with Ray where it is installed."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sida.detector import Detector
from sida.errors import ConfigError, InputError, MissingExtra, SidaError
from sida.evaluation import Shard
from sida.model.budget import BudgetCalibration
from sida.options import DetectOptions, ModelOptions
from sida.scale import Selection, cluster, detect, detection, plan, pool
from sida.scale.plan import PlannedShard
from sida.scale.store import Store
from sida.scale.weights import Weights, worker_detector
from sida.verdict import Verdict, parse_line
from tests.scale.conftest import png
from tests.scale.processes import judging

TINY = ModelOptions("tiny")
ALL = DetectOptions(masks="all")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'sida[ray]'")
    with cluster.cluster(None, 2) as started:
        yield started
    assert not ray.is_initialized()


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of three pictures."""
    monkeypatch.setattr(plan, "SHARD_SIZE", 3)


def results(out: Path) -> list[Any]:
    rows = [
        row for file in sorted(out.glob("verdicts/*")) for row in pq.read_table(file).to_pylist()
    ]
    return [parse_line(json.dumps(row), out) for row in rows]


def masks(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*_mask.png")}


@pytest.mark.slow
def test_a_run_with_a_worker_killed_says_what_the_detector_says(
    ray: Any, planned: None, pictures: Path, tmp_path: Path
) -> None:
    out, killed = tmp_path / "out", []

    def kill_one(count: int, total: int) -> None:
        if not killed and Path("/proc/self/stat").exists():
            killed.extend(judging(os.getpid())[:1])
            os.kill(killed[0], signal.SIGKILL)

    summary = detect([pictures], out, TINY, ALL, workers=2, on_progress=kill_one)
    assert (summary.pictures, summary.failed) == (9, 2)
    result = results(out)
    expected = [*(pictures / name for name in ("broken.jpg", "img2.png", "img10.png"))]
    expected += [png(5), png(6), png(3), png(4), b"", pictures / "below/img2.jpg"]
    for one, other in zip(result, Detector.load("tiny").detect_many(expected, "all"), strict=True):
        assert type(one) is type(other)
        if isinstance(other, Verdict):
            assert one.label == other.label
            assert one.sha256 == other.sha256
            assert dict(one.probabilities.items()) == pytest.approx(
                dict(other.probabilities.items()), abs=1e-6
            )
            assert (one.mask == other.mask).all()

    first = masks(out)
    assert len(first) == 7
    (out / "verdicts/part-00000001.parquet").unlink()  # as if the driver had been killed
    before = {file: file.stat().st_mtime_ns for file in out.glob("verdicts/*")}
    again = detect([pictures], out, TINY, ALL, workers=1)
    assert again == summary
    assert masks(out) == first
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert len(results(out)) == 9


def test_a_worker_that_cannot_load_the_model_says_why(tmp_path: Path) -> None:
    task = (PlannedShard(0, 0, 0), False)
    for model, sentence in (
        (ModelOptions("tiny", device="abacus"), "There is no device 'abacus' on this machine"),
        (ModelOptions("tiny", device="cpu"), "tiny has other weights on this machine"),
    ):
        job = detection._Job(Store(tmp_path), Weights(model, "0" * 64), DetectOptions())
        with pytest.raises(SidaError, match=sentence):
            job(task)


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without workers: none of what is tested gets as far as them."""
    monkeypatch.setattr(pool, "require_ray", lambda: None)

    def stop(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(detection, "_detect_missing", stop)


def begin(*arguments: Any, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        detect(*arguments, **options)


def test_another_run_is_not_written_into(no_ray: None, pictures: Path, tmp_path: Path) -> None:
    begin([pictures], tmp_path / "out")
    workers = ModelOptions(batch_size=1)  # does not change a verdict, nor does their number
    begin([pictures], tmp_path / "out", workers, workers=3)
    before = (tmp_path / "out/run.json").read_bytes()
    for options in (
        {"options": DetectOptions(masks="all")},
        {"options": DetectOptions(provenance=True)},
        {
            "model": ModelOptions(trust="a certificate"),
            "options": DetectOptions(provenance=True),
        },
        {"selection": Selection(limit=2)},
        {"selection": Selection(sample=0.5)},
        {"selection": Selection(shard=Shard(1, 2))},
    ):
        with pytest.raises(ConfigError, match="another run: --"):
            detect([pictures], tmp_path / "out", **options)
    with pytest.raises(ConfigError, match="another run: PATHS "):
        detect([pictures / "below"], tmp_path / "out")
    assert (tmp_path / "out/run.json").read_bytes() == before


def test_the_same_name_in_another_folder_is_another_run(
    no_ray: None, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures.parent)
    begin([pictures.name], tmp_path / "out")
    begin([pictures], tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="another run: PATHS "):
        detect([pictures.name], tmp_path / "out")


def test_the_plan_stays_whatever_comes_into_the_folder(
    no_ray: None, pictures: Path, tmp_path: Path
) -> None:
    begin([pictures], tmp_path / "out")
    (pictures / "new.png").write_bytes(png(9))
    begin([pictures], tmp_path / "out")
    assert json.loads((tmp_path / "out/run.json").read_text())["pictures"] == 9


def test_fresh_removes_what_the_run_made_and_nothing_else(
    no_ray: None, pictures: Path, tmp_path: Path
) -> None:
    begin([pictures], tmp_path / "out", selection=Selection(limit=3))
    store = Store(tmp_path / "out")
    for name in ("verdicts/part-00000000.parquet", "masks/part-00000000/a/b_mask.png", "notes.txt"):
        store.write(name, b"")
    begin([pictures], tmp_path / "out", fresh=True)
    assert json.loads((tmp_path / "out/run.json").read_text())["limit"] is None
    assert store.names("") - {".lock"} == {"run.json", "plan", "notes.txt"}


def test_a_listing_that_was_killed_is_made_again(
    no_ray: None, planned: None, pictures: Path, tmp_path: Path
) -> None:
    begin([pictures], tmp_path / "out", selection=Selection(limit=3))
    (tmp_path / "out/run.json").unlink()
    begin([pictures], tmp_path / "out")
    assert json.loads((tmp_path / "out/run.json").read_text())["parts"] == 3


def test_a_folder_of_other_things_is_refused(no_ray: None, pictures: Path) -> None:
    before = sorted(pictures.rglob("*"))
    with pytest.raises(InputError, match=r"holds no run of this command \(found 'below'\)"):
        detect([pictures], pictures)
    assert [item for item in sorted(pictures.rglob("*")) if item.name != ".lock"] == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 0}, "workers is 0, expected at least 1"),
        ({"address": "nowhere"}, "the address is 'nowhere', expected HOST:PORT or auto"),
    ],
)
def test_impossible_options(
    no_ray: None, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{sentence}"):
        detect([tmp_path], tmp_path / "out", **options)


def test_impossible_selections() -> None:
    with pytest.raises(ConfigError, match=r"the sample is 0.0, expected a share above 0"):
        Selection(sample=0.0)
    with pytest.raises(ConfigError, match="limit is 0, expected at least 1"):
        Selection(limit=0)


def test_an_address_nobody_answers_at(no_ray: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no Ray answers at '127.0.0.1:1': start it with"):
        detect([tmp_path], tmp_path / "out", address="127.0.0.1:1")
    assert not (tmp_path / "out").exists()


def test_without_ray_a_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sida\[ray\]'"):
        detect([tmp_path], tmp_path / "out")


def test_a_run_that_began_before_there_was_trust_goes_on(
    no_ray: None, pictures: Path, tmp_path: Path
) -> None:
    provenance = DetectOptions(provenance=True)
    begin([pictures], tmp_path / "out", options=provenance)
    file = tmp_path / "out/run.json"
    record = json.loads(file.read_text())
    del record["trust"]
    file.write_text(json.dumps(record))
    begin([pictures], tmp_path / "out", options=provenance)
    trust = ModelOptions(trust="a certificate")
    with pytest.raises(ConfigError, match=r"another run: --trust \(changed\)"):
        detect([pictures], tmp_path / "out", trust, provenance)


def test_trust_without_provenance_is_refused_and_leaves_nothing(
    no_ray: None, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="trust needs provenance"):
        detect([pictures], tmp_path / "out", ModelOptions(trust="a certificate"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match="trust needs provenance"):
        detect([pictures], tmp_path / "mine", ModelOptions(trust="a certificate"))
    assert (tmp_path / "mine").exists()


def test_a_budget_that_cannot_be_kept_is_refused_and_leaves_nothing(
    no_ray: None, pictures: Path, tmp_path: Path
) -> None:
    digest = Detector.load("tiny").model.digest
    few = BudgetCalibration.of("few", digest, {"as_is": [0.1, 0.2, 0.3]})
    model = replace(TINY, calibration=few.model_dump_json())
    for wrong, sentence in (
        (model, "3 real photographs cannot promise a share of 0.05"),
        (replace(TINY, random_weights="tiny"), "tiny has no calibration .* --model MODEL"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            detect([pictures], tmp_path / "out", wrong, DetectOptions(max_false_positives=0.05))
        assert not (tmp_path / "out").exists()


def test_trust_reaches_the_detector_of_a_worker() -> None:
    model = ModelOptions("tiny", device="cpu", trust="certificates")
    weights = Weights(model, Detector.load("tiny").model.digest)
    assert worker_detector(weights).options.trust == "certificates"


class PoolHere:
    """A worker in this process in the place of Ray's."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> "PoolHere":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Any, items: Any) -> Iterator[Any]:
        return map(function, items)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "WorkerPool", PoolHere)


def test_failures_are_named_and_tried_again_once_mended(
    here: None, planned: None, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = detect([pictures], out, workers=1)
    assert first.failed == 2
    assert [Path(str(item.image)).name for item in first.failures] == ["broken.jpg", "torn.tar"]
    assert all(item.message for item in first.failures)
    (pictures / "broken.jpg").write_bytes(png(8))
    second = detect([pictures], out, workers=1)
    assert [Path(str(item.image)).name for item in second.failures] == ["torn.tar"]
    assert second.pictures == first.pictures == len(results(out)) == 9
    monkeypatch.setattr(PoolHere, "map", lambda *_: pytest.fail("there was nothing to do"))
    assert detect([pictures], out, workers=1) == second
