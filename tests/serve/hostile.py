"""Uploads that nobody would send in good faith, each to be refused with a sentence."""

import base64
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import Image

from tests.pictures import file_bytes, png, png_chunk

__all__ = ["Hostile", "hostile"]

BOUNDARY = "sida-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
WHOLE = ("jpeg", "png", "webp", "tiff", "bmp", "avif", "ppm", "gif")


class Hostile(NamedTuple):
    """A request to `/v1/detect`."""

    kind: str
    content_type: str
    body: bytes


def form(data: bytes, name: str = "photo.jpg", field: str = "file") -> bytes:
    """A form with one file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    return head.encode() + b"\r\n" + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def hostile(count: int, seed: int = 0) -> Iterator[Hostile]:
    """`count` uploads, kinds in turn, the same for the same seed."""
    rng = random.Random(seed)
    makers = [*FILES.items(), *ENVELOPES.items()]
    for number in range(count):
        kind, make = makers[number % len(makers)]
        made = make(rng)
        if isinstance(made, Hostile):
            yield made._replace(kind=kind)
        elif rng.random() < 0.3:
            body = json.dumps({"image": base64.b64encode(made).decode()}).encode()
            yield Hostile(kind, "application/json", body)
        else:
            yield Hostile(kind, FORM, form(made, rng.choice(NAMES)))


NAMES = ("photo.jpg", "../../etc/passwd", "a" * 400 + ".png", "x.png\\..\\y", "naïve.gif", "")


def _truncated(rng: random.Random) -> bytes:
    whole = file_bytes(rng.choice(WHOLE))
    return whole[: rng.randint(4, len(whole) // 2)]


def _huge_header(rng: random.Random) -> bytes:
    side = rng.randint(12_000, 60_000)
    wide, high = struct.pack(">I", side), struct.pack("<I", side)
    jpeg = bytearray(file_bytes("jpeg"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
    bmp = bytearray(file_bytes("bmp"))
    bmp[18:26] = high + high
    return rng.choice(
        [
            png(b"\0" * 100, side, side, 8, 2),
            bytes(jpeg),
            bytes(bmp),
            b"P6 %d %d 255\n" % (side, side) + b"\0" * 50,
            b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", wide * 2 + b"\x08\x02\0\0\0"),
        ]
    )


def _bomb(rng: random.Random) -> bytes:
    """Few bytes that would be 400 megapixels."""
    if "bomb" not in _made:
        stream = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(stream, "PNG")
        _made["bomb"] = stream.getvalue()
    return _made["bomb"]


_made: dict[str, bytes] = {}


def _polyglot(rng: random.Random) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.html", "<script>alert(1)</script>")
    return rng.choice(
        [
            b"GIF89a/*" + b" " * 40 + b"*/=1;alert(1)//",
            b"\x89PNG\r\n\x1a\n" + archive.getvalue(),
            b"\xff\xd8\xff\xe0" + b"<?php system($_GET['c']); ?>" * 9,
            b"BM" + b"<script>alert(1)</script>" * 5,
            b"RIFF\x40\0\0\0WEBP" + archive.getvalue(),
        ]
    )


def _other_type(rng: random.Random) -> bytes:
    return rng.choice(
        [
            b"%PDF-1.7\n1 0 obj\n",
            b"<!doctype html><script>alert(1)</script>",
            b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            b'<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>',
            b"\x7fELF" + b"\0" * 60,
            b"MZ" + b"\0" * 60,
            b"\0\0\0\x18ftypmp42" + b"\0" * 40,
            b"push graphic-context\nfill 'url(https://example.com/\"|ls \"-la)'\n",
            b"%!PS-Adobe-3.0\n(a) run\n",
        ]
    )


def _noise(rng: random.Random) -> bytes:
    return rng.choice([b"", b"\0" * 1000, rng.randbytes(rng.randint(1, 3000))])


def _damaged(rng: random.Random) -> bytes:
    """A picture whose first bytes are others, so that no format knows it."""
    whole = file_bytes(rng.choice(("jpeg", "png", "webp", "bmp", "gif")))
    return rng.randbytes(12) + whole[12:]


def _as_json(value: object) -> Hostile:
    return Hostile("", "application/json", json.dumps(value).encode())


FILES: dict[str, Callable[[random.Random], bytes | Hostile]] = {
    "truncated": _truncated,
    "huge dimensions": _huge_header,
    "bomb": _bomb,
    "polyglot": _polyglot,
    "another type": _other_type,
    "noise": _noise,
    "damaged": _damaged,
}
GOOD = base64.b64encode(file_bytes("png")).decode()
ENVELOPES: dict[str, Callable[[random.Random], bytes | Hostile]] = {
    "no boundary": lambda d: Hostile("", "multipart/form-data", form(b"x")),
    "another boundary": lambda d: Hostile("", FORM + "x", form(file_bytes("png"))),
    "no end": lambda d: Hostile("", FORM, form(file_bytes("png"))[: d.randint(10, 200)]),
    "another field": lambda d: Hostile("", FORM, form(file_bytes("png"), field="picture")),
    "text as file": lambda d: Hostile(
        "",
        FORM,
        form(b"x").replace(b'; filename="photo.jpg"', b""),
    ),
    "no type": lambda d: Hostile("", d.choice(["", "text/plain", "image/png"]), file_bytes("png")),
    "broken JSON": lambda d: Hostile(
        "", "application/json", d.choice([b"", b"{", b"\xff\xfe", b'{"image": ', b"[" * 100_000])
    ),
    "another JSON": lambda d: _as_json(
        d.choice([[], None, {}, {"image": 3}, {"image": None}, {"image": [GOOD]}, {"images": []}])
    ),
    "no base64": lambda d: _as_json({"image": d.choice(["%%%", GOOD[:-3], "é", "a b"])}),
    "an address": lambda d: _as_json(
        {
            "image": d.choice(
                ["http://127.0.0.1/x.png", "https://example.com/x.png", "file:///etc/passwd"]
            )
        }
    ),
    "an unknown wish": lambda d: _as_json({"image": GOOD, "mask": True}),
    "a wish of another type": lambda d: _as_json({"image": GOOD, "masks": {"all": 1}}),
}
