"""Mutated files through every parser of ours: none may raise, hang, or take much memory.

python benchmarks/fuzz_files.py [--count 1000000] [--seed 0] [--processes 2] [--keep DIR]

File N of a seed is always the same. What is no sentence of ours (an error of Python's, a signal,
more than --seconds) is a crash: it is printed with its number and, with --keep, its file is kept.
Exits with 1 where there was one.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[1]))

from sida.errors import PictureError
from sida.image.jpeg import complete_variants, scan_count
from sida.image.png import without_broken_parts, without_texts
from sida.image.read import read_picture
from sida.image.signatures import looks_like
from sida.image.truth_mask import read_truth_mask
from sida.provenance.contradictions import contradictions
from sida.provenance.declared import credentials as credentials_module
from sida.provenance.declared.aigc import aigc_label
from sida.provenance.declared.exif import read_exif
from sida.provenance.declared.generator_settings import generator_settings
from sida.provenance.declared.iptc import photoshop_iptc, read_iptc
from sida.provenance.declared.metadata import declarations
from sida.provenance.declared.packets import iptc_blocks, xmp_packets
from sida.provenance.declared.png_texts import png_texts
from sida.provenance.declared.user_comment import decode_comment
from sida.provenance.declared.xmp import XmpError, read_xmp
from tests.image.test_truth_mask import UNUSUAL
from tests.pictures import KINDS, file_bytes
from tests.provenance import made_files as made

PIXELS = 1_000_000
AT_MOST = 60_000  # bytes of a file to begin with
TOKENS = (
    b"\0", b"\xff", b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xe1", b"\xff\xff", b"\0\0\0\0",
    b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"II*\0", b"MM\0*", b"Exif\0\0", b"UNICODE\0",
    b"JIS\0\0\0\0\0", b"8BIM", b"\x1c\x02", b"tEXt", b"zTXt", b"iTXt", b"rdf:resource=''",
    b"<rdf:li>", b"]]>", b"&amp;", b"Steps: 1, Seed: 1", b"Negative prompt:", b'{"prompt": ',
    b'"nodes": [', b"null", b"NaN", b"1e999", b"[" * 99, b"{" * 99, b"-1", b"9" * 20, b"9" * 5000,
)  # fmt: skip


class Parser(NamedTuple):
    """What is called with mutated bytes, and the bytes that are mutated."""

    name: str
    seeds: tuple[bytes, ...]
    run: Callable[[bytes], None]


def whole_file(data: bytes) -> None:
    """Decoding, everything that is declared, and the mask in it."""
    for text in png_texts(data):
        aigc_label(text.text)
    complete_variants(data)
    scan_count(data)
    without_broken_parts(data)
    without_texts(data)
    looks_like(data)
    with contextlib.suppress(PictureError):
        read_truth_mask(data)
    with contextlib.suppress(PictureError):
        picture = read_picture(data, max_pixels=PIXELS)
        declared = declarations(data.replace(b"jumb", b"none"), picture)
        list(contradictions(declared, (), (picture.width, picture.height)))
        for statement in declared:
            statement.model_dump_json()


def containers(data: bytes) -> None:
    """Blocks in a file that need not be a picture any more."""
    texts = list(png_texts(data))
    list(iptc_blocks(data, texts, {}))
    for packet in xmp_packets(data, texts, {}):
        xmp(packet.data)


def xmp(data: bytes) -> None:
    """An XMP packet by itself."""
    with contextlib.suppress(XmpError):
        read_xmp(data)


def exif(data: bytes) -> None:
    """An EXIF block, and its comment by itself."""
    read_exif(data)
    decode_comment(data[-200:])


def iptc(data: bytes) -> None:
    """IPTC-IIM, and Photoshop's resources."""
    list(read_iptc(data))
    photoshop_iptc(data)


def settings(data: bytes) -> None:
    """A text that may be a generator's settings, under each keyword that some of them use."""
    text = data.decode("utf-8", "replace")
    keywords = (
        "parameters",
        "prompt",
        "workflow",
        "Comment",
        "sd-metadata",
        "Dream",
        "Description",
    )
    for keyword in keywords:
        list(generator_settings({keyword: text, "Software": "NovelAI", "fooocus_scheme": "x"}))
    aigc_label(text)


def credentials(data: bytes) -> None:
    """Feed answers of the reader of content credentials, in any shape."""
    try:
        store = json.loads(data)
    except (ValueError, RecursionError):
        return
    credentials_module._read_in_process = lambda *_: {"store": store, "thumbnails": {}}
    for statement in credentials_module.credentials(b"jumb c2pa"):
        statement.model_dump_json()


def parsers() -> list[Parser]:
    """Every one, with files of each form that the tests make."""
    cases = [case.make() for case in made.CASES if "hostile" not in case.name and not case.options]
    pictures = [file_bytes(form) for form in KINDS] + [make() for make in UNUSUAL.values()]
    small = tuple(data for data in dict.fromkeys(cases + pictures) if len(data) <= AT_MOST)
    packets = (made.xmp(made.source_type("digitalCapture"), made.RESOURCE + made.LABEL_XMP),)
    blocks = [made.camera(gps=made.PLACE), made.exif({}, made.comment(made.WEB_UI))]
    raw = tuple(block.tobytes() for block in blocks)
    graphs = (made.COMFY, made.GRAPH, made.INVOKE, made.SWARM, made.FOOOCUS, made.DRAW_THINGS)
    objects = [json.dumps(graph).encode() for graph in graphs]
    texts = (made.WEB_UI, made.ONE_LINE, made.JOURNEY, made.LABEL, json.dumps(made.NOVEL_WEBP))
    store = {
        "active_manifest": "a",
        "manifests": {
            "a": {
                "claim_generator_info": [{"name": "n", "version": "1"}],
                "signature_info": {"issuer": "i", "common_name": "c", "time": "t"},
                "assertions": [
                    {"label": "c2pa.actions.v2", "data": {"actions": made.created(made.GENERATED)}}
                ],
                "ingredients": [{"title": "t", "relationship": "parentOf", "active_manifest": "b"}],
            },
            "b": {"assertions": []},
        },
        "validation_status": [{"code": "signingCredential.untrusted"}],
        "validation_results": {"activeManifest": {"failure": [{"code": "claim.missing"}]}},
    }
    return [
        Parser("whole files", small, whole_file),
        Parser("blocks in files", small, containers),
        Parser("EXIF", raw, exif),
        Parser("XMP", packets, xmp),
        Parser("IPTC", (made.iptc((110, "credit"), (120, "text"))[14:],), iptc),
        Parser("settings", (*objects, *(text.encode() for text in texts)), settings),
        Parser("credentials", (json.dumps(store).encode(),), credentials),
    ]


def mutated(data: bytes, bystanders: tuple[bytes, ...], rng: random.Random) -> bytes:
    """A few changes of bytes, lengths, order and place; often several of them."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 9))):
        at, size = rng.randrange(len(content) + 1), rng.choice((1, 1, 2, 4, 8, 40, 300))
        operation = rng.randrange(8)
        if operation <= 1:
            content[at : at + 1] = bytes([rng.randrange(256)])
        elif operation == 2:
            content[at : at + 1] = bytes(
                [(content[at] if at < len(content) else 0) ^ 1 << rng.randrange(8)]
            )
        elif operation == 3:
            token = rng.choice(TOKENS)
            content[at : at + (len(token) if rng.random() < 0.5 else 0)] = token
        elif operation == 4:
            del content[at : at + size]
        elif operation == 5:
            content[at:at] = content[at : at + size] * rng.choice((1, 1, 2, 20))
        elif operation == 6:
            content[at : at + 4] = rng.randrange(2**32).to_bytes(4, "big") if size > 2 else bytes(4)
        else:
            other = rng.choice(bystanders)
            start = rng.randrange(len(other))
            content[at : at + size] = other[start : start + size]
    return bytes(content)


def file_of(number: int, seed: int, targets: list[Parser]) -> tuple[Parser, bytes]:
    """File `number` of a seed, and the parser that it goes through."""
    rng = random.Random(f"{seed}/{number}")
    parser = targets[number % len(targets)]
    return parser, mutated(rng.choice(parser.seeds), parser.seeds, rng)


class Slow(Exception):
    """A parser took too long."""


def work(numbers: range, seed: int, seconds: int, at: "Synchronized[int]", results: Any) -> None:
    """Go through the numbers; `at` says which one it is, for whoever finds this process dead."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C complain there

    def on_alarm(*_: object) -> None:
        raise Slow(f"more than {seconds} seconds")

    signal.signal(signal.SIGALRM, on_alarm)
    targets, counts, slowest = parsers(), Counter[str](), (0.0, 0)
    for number in numbers:
        at.value = number
        parser, data = file_of(number, seed, targets)
        start = time.perf_counter()
        signal.alarm(seconds)
        try:
            parser.run(data)
        except Exception:
            results.put(("crash", number, parser.name, traceback.format_exc(limit=-3)))
        finally:
            signal.alarm(0)
        slowest = max(slowest, (time.perf_counter() - start, number))
        counts[parser.name] += 1
        if sum(counts.values()) % 5000 == 0:
            results.put(("part", number, dict(counts), slowest))
            counts.clear()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results.put(("done", peak, dict(counts), slowest))


def attack(options: argparse.Namespace) -> int:
    """Run all processes, start one anew behind a file that killed it, print, count crashes."""
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    step = options.processes
    ranges = [range(first, options.count, step) for first in range(step)]
    at = [context.Value("q", numbers.start) for numbers in ranges]

    def start_process(index: int, numbers: range) -> Any:
        arguments = (numbers, options.seed, options.seconds, at[index], results)
        process = context.Process(target=work, args=arguments, daemon=True)
        process.start()
        return process

    processes = [start_process(index, numbers) for index, numbers in enumerate(ranges)]
    counts, slowest, peak, crashes = Counter[str](), (0.0, 0), 0, Counter[str]()
    for event, number, name, detail in events(results, processes, at, ranges, start_process):
        if event == "crash":
            crashes[detail] += 1
            if crashes[detail] == 1:
                print(f"file {number}, {name}:\n{detail}", flush=True)
                keep(options, number)
        else:
            counts.update(name)
            slowest = max(slowest, detail)
            peak = max(peak, number) if event == "done" else peak
    for name, count in sorted(counts.items()):
        print(f"{name:20}{count:10,}")
    print(f"{'all':20}{sum(counts.values()):10,}")
    print(f"crashes: {sum(crashes.values())}, of {len(crashes)} forms")
    print(f"longest: {slowest[0]:.2f} s (file {slowest[1]})")
    print(f"peak memory of a process: {peak / 1024:,.0f} MB")
    return sum(crashes.values())


def events(
    results: Any, processes: list[Any], at: list[Any], ranges: list[range], start_process: Callable
) -> Iterator[tuple[str, Any, Any, Any]]:
    """What the processes report until all are done; a dead one is reported and started anew."""
    running = len(processes)
    while running:
        try:
            event_row = results.get(timeout=1)
        except Exception:  # nothing yet: look whether somebody died
            for index, process in enumerate(processes):
                if process.exitcode not in (None, 0):
                    dead = at[index].value
                    yield "crash", dead, "a signal", f"the process ended with {process.exitcode}"
                    remaining = range(
                        dead + ranges[index].step, ranges[index].stop, ranges[index].step
                    )
                    processes[index] = start_process(index, remaining)
            continue
        running -= event_row[0] == "done"
        yield event_row


def keep(options: argparse.Namespace, number: int) -> None:
    """Write the file, where a folder is named."""
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        data = file_of(number, options.seed, parsers())[1]
        (options.keep / f"{options.seed}-{number}").write_bytes(data)


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=20, help="beyond which a file is a crash")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write what crashes there")
    sys.exit(attack(parser.parse_args()) > 0)


if __name__ == "__main__":
    main()
