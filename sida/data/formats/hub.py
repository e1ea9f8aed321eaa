"""Sets on the hub: streamed row by row without storing them, or downloaded."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, overload

from sida.data.dataset import Dataset, choose_split
from sida.data.formats.parquet import COLUMNS, RowSamples, class_names, release_memory
from sida.data.formats.table import require_pyarrow
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import DataError, DownloadError, optional_package
from sida.files import require_space

__all__ = ["RemoteRows", "Streamed", "download", "hub_splits", "is_hub_name", "open_hub"]

ROWS, BUFFER = 8, 8 << 20  # fetched together; bytes of a column that are asked for at a time
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_hub_name(path: str) -> bool:
    """True if a text can only be a name on the hub: `owner/name`, and no such folder here."""
    return bool(_NAME.fullmatch(path)) and not Path(path).parent.exists()


class RemoteRows:
    """The rows of parquet files that lie anywhere, a few of them in memory at a time.

    The library `datasets` could iterate over them as well, but holds several row groups at once,
    which are as large as their maker liked.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files

    def schema(self) -> Any:
        """The Arrow schema of the first file."""
        with _opened(self.files[0]) as file:
            return file.schema_arrow

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for url in self.files:
            with _opened(url) as file:
                columns = [name for name in COLUMNS if name in file.schema_arrow.names]
                for batch in file.iter_batches(batch_size=ROWS, columns=columns):
                    yield from batch.to_pylist()
                    release_memory()


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    """A parquet file by its path or address; no more of it is fetched than is read."""
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    parquet = require_pyarrow()
    with (
        system.open(path, "rb", cache_type="none") as stream,
        parquet.ParquetFile(stream, buffer_size=BUFFER, pre_buffer=False) as file,
    ):
        yield file


class Streamed(Dataset):
    """The samples of a set on the hub, in its order; nothing of it is stored.

    It can be gone through any number of times, but not asked for the n-th sample: export or
    download it for that.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, object]],
        name: str,
        split: str,
        names: Sequence[str] | None,
        count: int | None = None,
    ) -> None:
        super().__init__((), Report(), name, split, "parquet")
        self._rows, self._names, self._count = rows, names, count

    def __iter__(self) -> Iterator[Sample]:
        """Rows come with their bytes, as many at a time as fit into little memory."""
        make = RowSamples(self._names, self.report)
        for row in self._fetched():
            image, mask = _file(row["image"]), _file(row.get("mask"))
            texts = dict(row, image_path=image and image["path"])
            mask_bytes = None if mask is None else mask["bytes"] or b""
            sample = make(texts, (image and image["bytes"]) or b"", mask_bytes)
            if sample is not None:
                yield sample
            # A stream can be long: unknown labels are an error well before its end.
            if make.tally.rows % 100 == 0:
                make.tally.require_known(repr(self.name))
        make.tally.require_known(repr(self.name))

    def _fetched(self) -> Iterator[Mapping[str, Any]]:
        with _network(f"the set {self.name!r} cannot be streamed any further"):
            yield from self._rows

    # `list()` asks for a length and goes without one where TypeError is raised.
    def __len__(self) -> int:
        """The number of rows that the hub states."""
        if not self._count:
            raise TypeError(f"the hub does not say how many rows {self.name!r} has")
        return self._count

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


def _file(value: Any) -> Mapping[str, Any] | None:
    """A cell with a file in it as `datasets` stores them, or with its bytes alone."""
    return {"bytes": value, "path": None} if isinstance(value, bytes) else value


def open_hub(
    name: str, split: str | None = None, names: Sequence[str] | None = None, **options: object
) -> Streamed:
    """Stream a set of the parquet layout from the hub.

    The library `datasets` finds its files and splits; what is in them is read by `RemoteRows`.

    Args:
        name: such as "saberzl/SID_Set"; a folder of parquet files will do, too.
        split: one of its splits; needed where it has several.
        names: the classes 0, 1, 2 of its labels; without them its own names are taken.
        options: passed on to `datasets.load_dataset_builder`.

    Raises:
        MissingExtra: the library `datasets` is not installed.
        DownloadError: the hub cannot be reached, or has no such set.
        DataError: it is of another layout, or has not the columns or not the split.
    """
    builder, splits = _builder_and_files(name, options)
    split_name = choose_split(name, list(splits), split)
    rows = RemoteRows(splits[split_name])
    with _network(f"the set {name!r} cannot be streamed"):
        schema = rows.schema()
    if not {"image", "label"} <= set(schema.names):
        raise DataError(
            f"{name!r} has the columns {', '.join(schema.names)}, expected image and label"
        )
    class_list = class_names(schema) or _feature_names(builder.info.features)
    split_info = (builder.info.splits or {}).get(split_name)
    return Streamed(
        rows, name, split_name, names or class_list, split_info and split_info.num_examples
    )


def hub_splits(name: str) -> list[str]:
    """The splits of a set on the hub. Raises as `open_hub`."""
    return list(_builder_and_files(name, {})[1])


def _builder_and_files(name: str, options: Mapping[str, Any]) -> tuple[Any, dict[str, list[str]]]:
    """The builder that `datasets` has for a set, and the files of each split."""
    with optional_package("datasets", "data", "Streaming from the hub"):
        import datasets
    with _network(f"the set {name!r} cannot be streamed"):
        builder = datasets.load_dataset_builder(name, **options)
    data_files = builder.config.data_files or {}
    splits = {str(split): [str(file) for file in files] for split, files in data_files.items()}
    unreadable = [f for files in splits.values() for f in files if not f.endswith(".parquet")]
    if unreadable or not splits:
        raise DataError(
            f"{name!r} holds {Path(unreadable[0]).name if unreadable else 'no files'}, expected "
            "parquet files with pictures in them, such as saberzl/SID_Set has"
        )
    return builder, splits


@contextmanager
def _network(failure: str) -> Iterator[None]:
    """Errors of a dozen kinds, the hub's own and those of three libraries, as one sentence."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DownloadError(
            f"{failure} ({reason}): check its name and the network, or download it where there is "
            "one (sida data download)"
        ) from error


def _feature_names(features: Any) -> tuple[str, ...] | None:
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
        shard_files = _files_of_split(sizes, split, shards)
        if not shard_files:
            raise DownloadError(
                f"{name!r} holds no parquet file{f' of the split {split!r}' if split else ''}: "
                f"found {len(sizes)} files, expected such as data/train-00000-of-00249.parquet"
            )
        missing = [file for file in shard_files if not (Path(out) / file).is_file()]
        require_space(out, sum(sizes[file] for file in missing), name)
        return [
            Path(huggingface_hub.hf_hub_download(name, file, repo_type="dataset", local_dir=out))
            for file in shard_files
        ]
    except DownloadError:
        raise
    except Exception as error:  # network, hub and file system each have their own
        reason = " ".join(str(error).split())[:300]
        raise DownloadError(
            f"the set {name!r} cannot be downloaded ({reason}): check its name and the network; "
            "the same command resumes the download"
        ) from error


def _files_of_split(
    files: Sequence[str] | dict[str, int], split: str | None, shards: int | None
) -> list[str]:
    """Parquet files, at most `shards` of each split."""
    count: dict[str, int] = {}
    selection = []
    for file in sorted(file for file in files if file.endswith(".parquet")):
        file_split = re.split(r"-\d", Path(file).stem)[0]
        if split is not None and file_split != split and Path(file).parent.name != split:
            continue
        count[file_split] = count.get(file_split, 0) + 1
        if shards is None or count[file_split] <= shards:
            selection.append(file)
    return selection
