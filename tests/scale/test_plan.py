from pathlib import Path

import pytest

from sida.evaluation import Shard
from sida.scale import plan
from sida.scale.listing import Item
from sida.scale.plan import SHARD_SIZE, Selection, planned_shards, read_shard, select, write_plan
from sida.scale.store import Store


def items(count: int) -> list[Item]:
    return [Item(f"{i}.png", f"{i}.png", f"/odd\udcff/{i}.png", size=i) for i in range(count)]


def planned(folder: Path, items_: list[Item], shard: Shard) -> list[Item]:
    store = Store(folder)
    pictures, count = write_plan(store, items_, shard)
    read = [item for one in planned_shards(count, shard) for item in read_shard(store, one)]
    assert len(read) == pictures
    return read


def test_what_is_planned_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "GROUPS", 2)
    items_ = items(4 * SHARD_SIZE + 3)
    assert planned(tmp_path, items_, Shard()) == items_
    assert Store(tmp_path).names("plan") == {f"{i:06}.parquet" for i in range(3)}


def test_shards_together_are_the_whole(tmp_path: Path) -> None:
    items_ = items(5 * SHARD_SIZE + 1)
    parts = [planned(tmp_path / str(i), items_, Shard(i, 4)) for i in (1, 2, 3, 4)]
    together = sorted((item for part in parts for item in part), key=lambda item: item.size or 0)
    assert together == items_


def test_a_shard_may_have_nothing_to_do(tmp_path: Path) -> None:
    assert planned(tmp_path, items(3), Shard(2, 2)) == []


def test_a_sample_depends_on_names_alone_and_grows() -> None:
    items_ = items(2000)
    few, more = (list(select(items_, Selection(sample=share))) for share in (0.1, 0.3))
    assert 150 < len(few) < 250
    assert set(few) < set(more)
    assert list(select(reversed(items_), Selection(sample=0.1))) == few[::-1]
    assert list(select(items_, Selection(sample=0.1, limit=7))) == few[:7]
