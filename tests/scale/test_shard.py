import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sida.evaluation import Shard
from sida.options import DetectOptions
from sida.scale.listing import find
from sida.scale.plan import PlannedShard, write_plan
from sida.scale.shard import DEATHS, can_retry, detect_shard, retry_failures
from sida.scale.store import Store
from sida.verdict import Failure, Verdict, parse_line
from tests.scale.conftest import PROVENANCE, STABILITY, FakeDetector, png, write_tar

SHARD = PlannedShard(0, 0, 0)
ROWS = "verdicts/part-00000000.parquet"


@pytest.fixture
def store(pictures: Path, tmp_path: Path) -> Store:
    """A run that is planned."""
    store = Store(tmp_path / "out")
    write_plan(store, find([str(pictures)]), Shard())
    return store


def detect(store: Store, detector: FakeDetector) -> list[dict[str, Any]]:
    return detect_shard(detector, store, SHARD, DetectOptions())  # type: ignore[arg-type]


def written(store: Store) -> list[Verdict | Failure]:
    """The rows of a part by the contract's own reader."""
    content = store.read(ROWS)
    assert content is not None
    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    return [parse_line(json.dumps(row), store.root) for row in rows]


def test_every_picture_is_a_row_and_masks_are_files(store: Store, pictures: Path) -> None:
    detect(store, FakeDetector())
    results = written(store)
    failed = [Path(str(result.image)).name for result in results if isinstance(result, Failure)]
    assert failed == ["broken.jpg", "torn.tar"]
    verdicts = [result for result in results if isinstance(result, Verdict)]
    assert len({result.image for result in verdicts}) == 7
    files = [result.localization.file for result in verdicts if result.localization is not None]
    assert files[0] == "masks/part-00000000/img2_mask.png"
    assert "masks/part-00000000/set.tar/a/1_mask.png" in files
    for verdict in verdicts:
        assert verdict.mask is not None
        assert verdict.mask[:12].all()
        assert not verdict.mask[12:].any()
    assert store.names("begun") == set()


def test_provenance_comes_back_as_it_was(store: Store) -> None:
    detect_shard(FakeDetector(), store, SHARD, DetectOptions(provenance=True))  # type: ignore[arg-type]
    outcome = [result.provenance for result in written(store) if isinstance(result, Verdict)]
    assert outcome == [PROVENANCE] * 7


def test_deliveries_come_back_as_they_were(store: Store) -> None:
    detect_shard(FakeDetector(), store, SHARD, DetectOptions(stability=True))  # type: ignore[arg-type]
    found = [result.stability for result in written(store) if isinstance(result, Verdict)]
    assert found == [STABILITY] * 7


def test_nothing_of_a_part_is_there_before_all_of_it(store: Store) -> None:
    detector = FakeDetector()
    detector.before = dies_of("img10.png", times=1)
    with pytest.raises(Killed):
        detect(store, detector)
    assert not store.has(ROWS)
    detect(store, detector)
    assert len(written(store)) == 9


def test_a_picture_that_kills_workers_is_tried_alone_and_then_reported(store: Store) -> None:
    detector = FakeDetector()
    detector.before = dies_of("img10.png", times=100)
    deaths = 0
    while not store.has(ROWS):
        try:
            detect(store, detector)
        except Killed:
            deaths += 1
            assert deaths <= 4
    assert deaths == 4  # twice with the others, twice alone
    results = written(store)
    assert len(results) == 9
    reported = [result for result in results if isinstance(result, Failure)]
    killer = next(result for result in reported if str(result.image).endswith("img10.png"))
    assert killer.error == "out_of_memory"
    assert "were killed 2 times" in killer.message
    assert len(reported) == 3
    assert store.names("begun") == set()


def test_a_worker_killed_by_chance_costs_no_picture(store: Store) -> None:
    detector = FakeDetector()
    for victim in ("img2.png", "img10.png", "img2.png"):  # the third time it was alone
        detector.before = dies_of(victim, times=1)
        with pytest.raises(Killed):
            detect(store, detector)
    detect(store, detector)
    assert sum(isinstance(result, Verdict) for result in written(store)) == 7


def test_names_out_of_a_tar_lead_nowhere_else_and_may_be_long(tmp_path: Path) -> None:
    long = "x" * 150
    members = ("../../../up.png", "/root.png", f"{long}/{long}/{long}/{long}/{long}.png")
    write_tar(tmp_path / "hostile.tar", {name: png(1) for name in members})
    store = Store(tmp_path / "out")
    write_plan(store, find([tmp_path / "hostile.tar"]), Shard())
    rows = detect(store, FakeDetector())
    masks = [store.root + "/" + row["mask"]["file"] for row in rows]
    assert [Path(mask).name for mask in masks] == [
        "up_mask.png",
        "root_mask.png",
        "long-name_mask.png",
    ]
    assert all(Path(mask).resolve().is_relative_to(tmp_path / "out/masks") for mask in masks)
    assert len(list(tmp_path.rglob("*_mask.png"))) == 3


class Killed(BaseException):
    """In the place of SIGKILL."""


def dies_of(name: str, times: int) -> Any:
    left = [times]

    def before(request: Any) -> None:
        if isinstance(request.picture, Path) and request.picture.name == name and left[0]:
            left[0] -= 1
            raise Killed

    return before


def test_a_mended_picture_is_judged_and_the_rest_stays(store: Store, pictures: Path) -> None:
    first = FakeDetector()
    detect(store, first)
    before = written(store)
    failed = [index for index, result in enumerate(before) if isinstance(result, Failure)]
    assert not can_retry(store, SHARD, failed)
    (pictures / "broken.jpg").write_bytes(png(8))
    assert can_retry(store, SHARD, failed)
    judgements = []
    detector = FakeDetector()
    detector.before = lambda request: judgements.append(request.picture)
    rows = retry_failures(detector, store, SHARD, DetectOptions())  # type: ignore[arg-type]
    assert judgements == [pictures / "broken.jpg"]
    after = written(store)
    assert [row.get("label") for row in rows] == [
        getattr(result, "label", None) for result in after
    ]
    changed = [index for index in range(len(after)) if after[index] != before[index]]
    (index,) = changed
    mended = after[index]
    assert isinstance(mended, Verdict)
    assert mended.image == before[index].image
    assert mended.mask is not None
    assert store.names("begun") == set()


def test_a_mended_picture_that_kills_workers_is_given_up(store: Store, pictures: Path) -> None:
    detect(store, FakeDetector())
    (pictures / "broken.jpg").write_bytes(png(8))

    def die(request: Any) -> None:
        raise Killed

    for _ in range(DEATHS):
        detector = FakeDetector()
        detector.before = die
        with pytest.raises(Killed):
            retry_failures(detector, store, SHARD, DetectOptions())  # type: ignore[arg-type]
    retry_failures(FakeDetector(), store, SHARD, DetectOptions())  # type: ignore[arg-type]
    (given_up,) = [
        result
        for result in written(store)
        if isinstance(result, Failure) and "broken" in str(result.image)
    ]
    assert given_up.error == "out_of_memory"
