"""Fetching folders from the hub: the cache first, then a download that can be resumed."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    XetDownloadError,
)

from sida.errors import CheckpointError, DownloadError
from sida.files import require_space
from sida.model.weights import weight_files

__all__ = ["cached", "fetch", "is_hub_name", "revision"]

log = logging.getLogger(__name__)

_HTTPError: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
"""Of whichever network client the hub's library uses; it has changed between versions."""
_FAILURES = (OSError, _HTTPError, XetDownloadError, RuntimeError)
"""Of disk and network; the downloader in Rust raises RuntimeError."""


def is_hub_name(name: str) -> bool:
    """True for a name that looks like `owner/name`."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None


def fetch(name: str) -> Path:
    """The folder of a hub name: from the cache if it is complete there, else downloaded.

    A download keeps the files that an earlier one has finished (the hub's client takes up a file
    in the middle only within one process), and shows its progress on standard error.

    Raises:
        DownloadError: there is no network, no such name, or no room on the disk.
    """
    try:
        return cached(name) or _download(name)
    except DownloadError:
        raise
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
    except HFValidationError as error:
        raise DownloadError(f"{name!r} is not a name that a hub could have: {error}") from error
    except _FAILURES as error:
        raise DownloadError(
            f"{name} could not be downloaded ({_first_line(error)}) and is not complete in the "
            f"cache {constants.HF_HUB_CACHE}: check the network and try again, which keeps the "
            "files that have arrived, or give a folder."
        ) from error


def cached(name: str) -> Path | None:
    """The folder of a hub name in the cache; None where not all that is needed has arrived."""
    try:
        folder = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if _is_complete(folder) else None


def revision(folder: Path) -> str | None:
    """Of a folder in the cache: the hub's name of this state of the weights."""
    return folder.name if folder.parent.name == "snapshots" else None


def _is_complete(folder: Path) -> bool:
    """True where all that is needed of a folder has arrived; an interrupted one looks the same."""
    try:
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weight_files(folder)
    except (OSError, ValueError, CheckpointError):
        return False
    if str(fields.get("model_type")).startswith("clip"):
        return True
    return all((folder / file).is_file() for file in ("tokenizer.model", "added_tokens.json"))


def _download(name: str) -> Path:
    log.info("%s is not complete in the cache; asking the hub", name)
    files = _required_files(name)
    cache = Path(constants.HF_HUB_CACHE)
    blobs = cache / f"models--{name.replace('/', '--')}" / "blobs"
    require_space(cache, sum(_bytes_to_come(blobs, file) for file in files), name)
    return Path(
        huggingface_hub.snapshot_download(name, allow_patterns=[f.rfilename for f in files])
    )


def _required_files(name: str) -> list[Any]:
    """Configuration, tokenizer and weights as the hub lists them; safetensors where there are."""
    info = huggingface_hub.HfApi().model_info(name, files_metadata=True)
    files = [file for file in info.siblings or () if "/" not in file.rfilename]
    safe = any(file.rfilename.endswith(".safetensors") for file in files)
    suffixes = (".safetensors" if safe else ".bin", ".json", "tokenizer.model")
    return [file for file in files if file.rfilename.endswith(suffixes)]


def _bytes_to_come(blobs: Path, file: Any) -> int:
    """Size of a file, or nothing where an earlier download has finished it."""
    tag = file.lfs.sha256 if file.lfs else file.blob_id
    return 0 if tag and (blobs / tag).is_file() else int(file.size or 0)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
