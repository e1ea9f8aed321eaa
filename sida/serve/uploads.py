"""Bodies to pictures' bytes and wishes: counted while they stream in, kept in memory alone."""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any, TypeVar
from urllib.parse import unquote

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from sida.serve.refusal import Refusal
from sida.serve.schemas import BATCH, OnePicture, OneReport, SeveralPictures, Wishes
from sida.serve.settings import ServeSettings

__all__ = ["Upload", "from_base64", "read_json", "read_one", "read_several"]

M = TypeVar("M", bound=BaseModel)
W = TypeVar("W", bound=BaseModel)
HasImage = OnePicture | OneReport

BESIDE = 100_000
"""Bytes that a body may have beside its pictures."""
ENCODED = 3 / 2
"""Characters of base64 a byte, with line breaks as JSON writes them."""
NAME = 255
"""Most characters of a file's name that come back in a verdict."""


@dataclass(frozen=True)
class Upload:
    """A file's bytes, and its name where it has one."""

    data: bytes
    name: str | None = None


async def read_one(
    http: Request, settings: ServeSettings, whole: type[HasImage], wished: type[W]
) -> tuple[Upload, W]:
    """The picture of a request, multipart or JSON.

    Args:
        whole: what JSON holds: the picture and what is wished of it.
        wished: the latter alone.
    """
    if _kind(http) == "application/json":
        asked = await read_json(http, whole, settings, settings.upload_bytes)
        upload = Upload(from_base64(asked.image))
        _require_size([upload], settings.upload_bytes)
        return upload, _wishes(asked, wished)
    (upload, *others), wishes = await _read_form(http, settings, settings.upload_bytes, wished)
    if others:
        raise Refusal(
            422,
            "bad_request",
            f"found {1 + len(others)} files, expected one: /v1/detect/batch takes several",
        )
    return upload, wishes


async def read_several(http: Request, settings: ServeSettings) -> tuple[list[Upload], Wishes]:
    """The pictures of a batch; together they may have four times the bytes of one."""
    limit = 4 * settings.upload_bytes
    if _kind(http) == "application/json":
        asked = await read_json(http, SeveralPictures, settings, limit)
        uploads = [Upload(from_base64(each)) for each in asked.images]
        _require_size(uploads, limit)
        return uploads, _wishes(asked, Wishes)
    return await _read_form(http, settings, limit, Wishes)


async def read_json(http: Request, model: type[M], settings: ServeSettings, limit: int) -> M:
    """A JSON body; `limit` is that of the pictures in it, before they became base64."""
    body = b"".join([piece async for piece in _body(http, settings, int(limit * ENCODED))])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Refusal(422, "bad_request", f"the JSON does not fit: {_sentence(error)}") from error


def from_base64(text: str) -> bytes:
    """The bytes of base64, bare or as a data: URI; nothing is fetched. Raises Refusal.

    Takes it as programs write it: with line breaks, in the alphabet for addresses, without its
    padding, and with the escapes of a URI.
    """
    text = text.lstrip("\ufeff \t\r\n")
    head, comma, data = text.partition(",")
    if text[:5].lower() == "data:":
        if not comma or not re.search(r";\s*base64\s*$", head, re.IGNORECASE):
            raise Refusal(
                422, "unreadable_image", "found a data: URI without ;base64, expected one with it"
            )
        text = unquote(data, "ascii") if "%" in data else data
    elif "://" in text[:20]:
        raise Refusal(
            422,
            "unreadable_image",
            "found a picture's address: nothing is fetched here; send the picture in base64, "
            "such as data:image/jpeg;base64,...",
        )
    text = "".join(text.split()).rstrip("=")
    try:
        padded = (text + "=" * (-len(text) % 4)).translate(_STANDARD)
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(
            422, "unreadable_image", f"the picture is not base64 ({error}): encode its file anew"
        ) from error


_STANDARD = str.maketrans("-_", "+/")
"""From the alphabet for addresses."""


def _require_size(uploads: Sequence[Upload], limit: int) -> None:
    """Raises Refusal where pictures are larger than the body's limit lets a form's be."""
    if sum(len(upload.data) for upload in uploads) > limit + BESIDE:
        message = f"the pictures are larger than {limit:,} bytes: send smaller files"
        raise Refusal(413, "too_large", message)


class _InMemory(MultiPartParser):
    """Starlette's, which would put larger files on the disk, and takes a file for a text where
    its name stands in `filename*` alone, or nowhere beside the type of a picture.
    """

    spool_max_size = 1 << 62

    def on_headers_finished(self) -> None:
        part = self._current_part
        name = _file_name(part.content_disposition or b"", dict(part.item_headers))
        if name is not None and part.content_disposition is not None:
            quoted = re.sub(r'(["\\])', r"\\\1", name).encode(errors="replace")
            part.content_disposition += b'; filename="%s"' % quoted
        super().on_headers_finished()

    async def parse(self) -> FormData:
        form = await super().parse()
        whole = sum(isinstance(each, UploadFile) for _, each in form.multi_items())
        if whole < len(self._files_to_close_on_error):
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("it ends before its file does")
        return form


def _file_name(disposition: bytes, headers: Mapping[bytes, bytes]) -> str | None:
    """A file's name that the parser does not see; "" for a file without one, None for others."""
    is_seen = b"filename" in parse_options_header(disposition)[1]
    message = Message()
    message["content-disposition"] = " ".join(disposition.decode("latin-1").split())
    # Text, or for `filename*` a tuple of charset, language and text.
    parameters: list[tuple[str, Any]] = message.get_params([], "content-disposition")
    names = [value for key, value in parameters if key.lower() == "filename"]
    if (extended := next((name for name in names if isinstance(name, tuple)), None)) is not None:
        return collapse_rfc2231_value(extended)
    if names and not is_seen:
        return str(names[0]).encode("latin-1", "replace").decode("utf-8", "replace")
    media = headers.get(b"content-type", b"text/plain").strip().lower()
    return None if is_seen or media.startswith(b"text/plain") else ""


async def _read_form(
    http: Request, settings: ServeSettings, limit: int, wished: type[W]
) -> tuple[list[Upload], W]:
    if _kind(http) != "multipart/form-data":
        raise Refusal(
            415,
            "bad_request",
            f"the body is {_kind(http) or 'of no stated type'}, expected multipart/form-data with "
            'a field "file", or application/json',
        )
    form = await _form(http.headers, _body(http, settings, limit))
    files = form.getlist("file")
    uploads = [
        Upload(await each.read(), _plain(each.filename))
        for each in files
        if isinstance(each, UploadFile)
    ]
    # A field of a form that was left empty is the default; a name that nobody knows is still one.
    wishes = {
        name: value
        for name, value in form.items()
        if name != "file" and not (value == "" and name in wished.model_fields)
    }
    await form.close()
    if not uploads or len(uploads) < len(files):
        message = 'expected a file in each field "file", such as `-F file=@photo.jpg`'
        raise Refusal(422, "bad_request", message)
    try:
        return uploads, wished.model_validate(wishes)
    except ValidationError as error:
        raise Refusal(422, "bad_request", f"the form does not fit: {_sentence(error)}") from error


async def _form(headers: Headers, body: AsyncGenerator[bytes, None]) -> FormData:
    try:
        return await _InMemory(headers, body, max_files=BATCH, max_fields=10).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", None) or error
        raise Refusal(400, "bad_request", f"the form cannot be read: {reason}") from error


async def _body(http: Request, settings: ServeSettings, limit: int) -> AsyncGenerator[bytes, None]:
    """The body in pieces, as long as it keeps to the limit and the time."""
    limit += BESIDE
    too_large = Refusal(
        413, "too_large", f"the body is larger than {limit:,} bytes: send a smaller file"
    )
    stated = http.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit:
        raise too_large
    end = asyncio.get_running_loop().time() + settings.time_limit
    stream, seen = http.stream(), 0
    while True:
        try:
            async with asyncio.timeout_at(end):
                piece = await anext(stream, None)
        except TimeoutError:
            message = f"the body took longer than {settings.time_limit:g} s: send it faster"
            raise Refusal(408, "too_slow", message) from None
        if piece is None:
            return
        seen += len(piece)
        if seen > limit:
            raise too_large
        yield piece


def _kind(http: Request) -> str:
    return http.headers.get("content-type", "").partition(";")[0].strip().lower()


def _wishes(asked: BaseModel, wished: type[W]) -> W:
    return wished.model_validate(asked.model_dump(include=set(wished.model_fields)))


def _plain(name: str | None) -> str | None:
    """A file's name without folders, short, and such as JSON can hold."""
    bare = (name or "").replace("\\", "/").rpartition("/")[2]
    return bare.encode(errors="replace").decode()[:NAME] or None


def _sentence(error: ValidationError) -> str:
    first: Sequence[object] = error.errors()[0]["loc"]
    place = ".".join(map(str, first))
    reason = error.errors()[0]["msg"]
    return f"{place}: {reason}" if place else reason
