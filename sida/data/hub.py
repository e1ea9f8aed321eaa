"""Sets on the hub: streamed row by row without storing them, or downloaded."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

from sida.data.dataset import Dataset, choose_split
from sida.data.parquet import RowSamples, release_memory
from sida.data.report import Report
from sida.data.sample import Sample
from sida.errors import DataError, DownloadError, MissingExtra
from sida.files import require_space

__all__ = ["Streamed", "download", "hub_splits", "is_hub_name", "open_hub"]

ROWS, BUFFER = 8, 8 << 20  # fetched together; bytes of a column that are asked for at a time
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_hub_name(path: str) -> bool:
    """Whether a text can only be a name on the hub: `owner/name`, and no such folder here."""
    return bool(_NAME.fullmatch(path)) and not Path(path).parent.exists()


class Streamed(Dataset):
    """The samples of a set on the hub, in its order; nothing of it is stored.

    It can be gone through any number of times, but not asked for the n-th sample: export or
    download it for that.
    """

    def __init__(
        self, rows: Any, report: Report, name: str, split: str, names: Sequence[str] | None
    ) -> None:
        super().__init__((), report, name, split, "parquet")
        self._rows, self._names = rows, names

    def __iter__(self) -> Iterator[Sample]:
        """Rows come with their bytes, as many at a time as fit into little memory."""
        make = RowSamples(self._names, self.report)
        known = _class_names(self._rows.features)
        for number, row in enumerate(self._rows):
            if number % (2 * ROWS) == 0:
                release_memory()
            image, mask = row.get("image") or {}, row.get("mask")
            texts = dict(row, image_path=image.get("path"))
            held = None if mask is None else mask.get("bytes") or b""
            sample = make(texts, image.get("bytes") or b"", held, known)
            if sample is not None:
                yield sample
            if make.tally.rows % 100 == 0:
                make.tally.require_known(repr(self.name))
        make.tally.require_known(repr(self.name))

    def __len__(self) -> int:
        """The number of rows that the hub states."""
        splits = self._rows.info.splits or {}
        if self.split not in splits or not splits[self.split].num_examples:
            raise TypeError(f"the hub does not say how many rows {self.name!r} has")
        return int(splits[self.split].num_examples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Sample | Dataset:
        """Only a beginning `[:n]` can be had; it is fetched at once."""
        if isinstance(index, slice) and index.start in (None, 0) and index.step in (None, 1):
            samples = list(islice(self, index.stop))
            return Dataset(samples, self.report, self.name, self.split, self.layout)
        raise DataError(
            f"{self.name!r} is streamed: it can be read in order, but not at any place; download "
            "or export it first (sida data download, sida data export)"
        )

    def __repr__(self) -> str:
        return f"<streamed {self.name!r}, split {self.split!r}>"


def open_hub(
    name: str, split: str | None = None, names: Sequence[str] | None = None, **options: Any
) -> Streamed:
    """Stream a set of the parquet layout from the hub.

    Args:
        name: such as "saberzl/SID_Set"; a folder of parquet files will do, too.
        split: one of its splits; needed where it has several.
        names: the classes 0, 1, 2 of its labels; without them its own names are taken.
        options: passed on to `datasets.load_dataset`.

    Raises:
        MissingExtra: the library `datasets` is not installed.
        DownloadError: the hub cannot be reached, or has no such set.
        DataError: it has not the columns or not the split.
    """
    datasets = _library()
    found = _stream(name, **options)
    chosen = choose_split(name, list(found), split)
    rows = found[chosen]
    columns = list(rows.features or {})
    if not {"image", "label"} <= set(columns):
        raise DataError(
            f"{name!r} has the columns {', '.join(columns) or 'unknown'}, expected image and label"
        )
    for column in ("image", "mask"):
        if column in columns:
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return Streamed(rows, Report(), name, chosen, names)


def hub_splits(name: str) -> list[str]:
    """The splits of a set on the hub. Raises as `open_hub`."""
    return list(_stream(name))


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "data", "Streaming from the hub") from None
    return datasets


def _stream(name: str, **options: Any) -> Any:
    """Every split of a set as an iterable; nothing of it is fetched but what describes it."""
    load = _library().load_dataset
    import pyarrow.dataset

    scan = pyarrow.dataset.ParquetFragmentScanOptions(
        use_buffered_stream=True, buffer_size=BUFFER, pre_buffer=False
    )  # instead of whole row groups at once, which are as large as their maker liked
    options = {"batch_size": ROWS, "fragment_scan_options": scan, **options}
    try:
        return load(name, streaming=True, **options)
    except Exception as error:  # of a dozen kinds, the hub's own and those of three libraries
        reason = " ".join(str(error).split())[:300]
        raise DownloadError(
            f"the set {name!r} cannot be streamed ({reason}): check its name and the network, or "
            "download it where there is one (sida data download)"
        ) from error


def _class_names(features: Any) -> tuple[str, ...] | None:
    names = getattr((features or {}).get("label"), "names", None)
    return tuple(names) if names else None


def download(
    name: str, out: str | Path, split: str | None = None, shards: int | None = None
) -> list[Path]:
    """Download the parquet files of a set from the hub; what is there already is not fetched anew.

    Args:
        name: such as "saberzl/SID_Set".
        out: the folder; it can then be opened with `sida.data.open`.
        split: of this split alone.
        shards: only so many files of each split; the whole of SID-Set is 140 GB.

    Raises:
        DownloadError: the hub cannot be reached, has no such files, or the disk is too small.
    """
    import huggingface_hub

    try:
        info = huggingface_hub.HfApi().dataset_info(name, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        wanted = _wanted(sizes, split, shards)
        if not wanted:
            raise DownloadError(
                f"{name!r} holds no parquet file{f' of the split {split!r}' if split else ''}: "
                f"found {len(sizes)} files, expected such as data/train-00000-of-00249.parquet"
            )
        missing = [file for file in wanted if not (Path(out) / file).is_file()]
        require_space(out, sum(sizes[file] for file in missing), name)
        return [
            Path(huggingface_hub.hf_hub_download(name, file, repo_type="dataset", local_dir=out))
            for file in wanted
        ]
    except DownloadError:
        raise
    except Exception as error:  # network, hub and file system each have their own
        reason = " ".join(str(error).split())[:300]
        raise DownloadError(
            f"the set {name!r} cannot be downloaded ({reason}): check its name and the network; "
            "the same command goes on where it stopped"
        ) from error


def _wanted(
    files: Sequence[str] | dict[str, int], split: str | None, shards: int | None
) -> list[str]:
    """Parquet files, at most `shards` of each split."""
    count: dict[str, int] = {}
    wanted = []
    for file in sorted(file for file in files if file.endswith(".parquet")):
        own = re.split(r"-\d", Path(file).stem)[0]
        if split is not None and own != split and Path(file).parent.name != split:
            continue
        count[own] = count.get(own, 0) + 1
        if shards is None or count[own] <= shards:
            wanted.append(file)
    return wanted
