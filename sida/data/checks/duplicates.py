"""Pictures that are there twice: the same file, or the same look."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sida.data.checks.traits import Traits

__all__ = ["DISTANCE", "Twins", "find_twins", "near_pairs", "summary"]

DISTANCE = 4  # of 64 bits; re-compression and resizing change fewer


@dataclass(frozen=True)
class Twins:
    """Pictures that are one and the same: `exact` by their files' bytes, else by their look."""

    members: tuple[Traits, ...]
    exact: bool

    @property
    def splits(self) -> set[str | None]:
        """The splits that they are in."""
        return {one.split for one in self.members}

    @property
    def labels(self) -> set[str]:
        """The classes that they are in."""
        return {one.label for one in self.members}

    @property
    def one_group(self) -> bool:
        """Whether the set itself says that they belong together, as original and forgery do."""
        groups = {one.group for one in self.members}
        return len(groups) == 1 and groups != {None}


def find_twins(traits: Sequence[Traits]) -> list[Twins]:
    """All sets of twins: first the exact ones, then those that look alike, larger sets first."""
    by_file = defaultdict(list)
    for one in traits:
        by_file[one.sha256].append(one)
    exact = [Twins(tuple(members), True) for members in by_file.values() if len(members) > 1]
    first = [members[0] for members in by_file.values()]  # one of each file is enough
    looks = [one.look for one in first]
    alike = [
        Twins(tuple(first[index] for index in members), False)
        for members in _joined(len(first), near_pairs(looks))
    ]
    return sorted(exact, key=_size) + sorted(alike, key=_size)


def _size(twins: Twins) -> int:
    return -len(twins.members)


def near_pairs(looks: Sequence[int | None], distance: int = DISTANCE) -> Iterator[tuple[int, int]]:
    """Indices of pairs whose bits differ in at most `distance` places.

    Of `distance` + 1 pieces of the bits one at least is then the same in both, so that only
    pictures that share a piece are compared.
    """
    bits = np.array([look or 0 for look in looks], np.uint64)
    places = np.array_split(np.arange(64), distance + 1)
    seen: set[tuple[int, int]] = set()
    for piece in places:
        mask = np.uint64(sum(1 << int(place) for place in piece))
        for members in _buckets(looks, bits & mask):
            for pair in _close(members, bits, distance):
                if pair not in seen:
                    seen.add(pair)
                    yield pair


def _buckets(looks: Sequence[int | None], keys: Any) -> Iterator[list[int]]:
    buckets = defaultdict(list)
    for index, (look, key) in enumerate(zip(looks, keys.tolist(), strict=True)):
        if look is not None:
            buckets[key].append(index)
    return (members for members in buckets.values() if len(members) > 1)


def _close(members: list[int], bits: Any, distance: int) -> Iterator[tuple[int, int]]:
    """Pairs within a bucket, one row against the rest at a time."""
    values = bits[members]
    for row in range(len(members) - 1):
        apart = np.bitwise_count(values[row + 1 :] ^ values[row])
        for other in np.flatnonzero(apart <= distance):
            yield members[row], members[row + 1 + int(other)]


def _joined(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Sets of indices that pairs hold together."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other in pairs:
        parent[root(other)] = root(one)
    found = defaultdict(list)
    for index in range(count):
        found[root(index)].append(index)
    return [members for members in found.values() if len(members) > 1]


def summary(twins: Sequence[Twins]) -> Mapping[str, Any]:
    """Counts for the JSON: sets, pictures in them, and how many sets cross a border."""

    def count(exact: bool) -> dict[str, int]:
        chosen = [one for one in twins if one.exact == exact]
        return {
            "sets": len(chosen),
            "pictures": sum(len(one.members) for one in chosen),
            "across_splits": sum(len(one.splits) > 1 for one in chosen),
            "across_classes": sum(len(one.labels) > 1 for one in chosen),
            "not_in_one_group": sum(not one.one_group for one in chosen),
        }

    return {"exact": count(True), "alike": {**count(False), "distance": DISTANCE}}
