"""Fetching folders from the hub: the cache first, then a download that can be resumed."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from sida.errors import DownloadError
from sida.files import require_space

__all__ = ["fetch", "is_hub_name"]

log = logging.getLogger(__name__)

SMALL = ("*.json", "tokenizer.model")


def is_hub_name(name: str) -> bool:
    """Whether this looks like `owner/name`, and is no path that exists."""
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name)) and not Path(name).exists()


def fetch(name: str) -> Path:
    """The folder of a hub name: from the cache if it is complete there, else downloaded.

    A download goes on where an earlier one stopped, and shows its progress on standard error.

    Raises:
        DownloadError: there is no network, no such name, or no room on the disk.
    """
    try:
        return _cached(name)
    except LocalEntryNotFoundError:
        log.info("%s is not in the cache; asking the hub", name)
    except HFValidationError as error:
        raise DownloadError(f"{name!r} is not a name that a hub could have: {error}") from error
    try:
        patterns = _patterns(name)
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
    except GatedRepoError as error:
        raise DownloadError(
            f"{name} asks for a licence to be accepted: do so on its page, then log in with "
            "`hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"There is no {name!r} on the hub, or it is private: check the name, or log in with "
            "`hf auth login`."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, RuntimeError) as error:
        raise DownloadError(
            f"{name} could not be downloaded ({_first_line(error)}) and is not in the cache "
            f"{constants.HF_HUB_CACHE}: check the network and try again, which goes on where it "
            "stopped, or give a folder."
        ) from error


def _cached(name: str) -> Path:
    folder = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
    listed = [*folder.glob("*.index.json")]
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    if not (folder / "config.json").is_file() or not (listed or weights):
        raise LocalEntryNotFoundError(f"{folder} is not complete")
    return folder


def _patterns(name: str) -> list[str]:
    """What to download: safetensors where there are some, and room for it is made sure of."""
    info = huggingface_hub.HfApi().model_info(name, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    kind = ".safetensors" if any(f.endswith(".safetensors") for f in sizes) else ".bin"
    wanted = [f for f in sizes if f.endswith((kind, ".json")) or f == "tokenizer.model"]
    cache = Path(constants.HF_HUB_CACHE)
    require_space(cache, _missing_bytes(cache, name, sizes, wanted), name)
    return [*SMALL, f"*{kind}"]


def _missing_bytes(cache: Path, name: str, sizes: dict[str, int], wanted: Sequence[str]) -> int:
    """Bytes still to come, less what an interrupted download has left behind."""
    blobs = cache / f"models--{name.replace('/', '--')}" / "blobs"
    there = sum(os.path.getsize(blob) for blob in blobs.glob("*")) if blobs.is_dir() else 0
    return max(0, sum(sizes[file] for file in wanted) - there)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
