"""A run with Ray against `detect_many` on the same pictures and cores, in the same hour.

python benchmarks/scale.py PICTURES [--workers 2] [--limit N]

PICTURES is a folder. `detect_many` is run as one process a worker, each on a share of the parts,
which is what the same cores give without Ray; once before and once after, as a machine's pace
drifts, and their mean is what the run with Ray is compared with. Prints JSON: seconds to start and
pictures a second after that of both, the largest memory of driver and workers in every thousand
pictures, and in how many verdicts, probabilities and masks the two differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset

sys.path.insert(0, str(Path(__file__).parent.parent))

from sida.image.overlay import png_bytes
from sida.inference.malloc import keep_freed
from sida.scale import Selection, detect
from sida.scale.plan import SHARD_SIZE
from sida.verdict import Verdict
from tests.scale.processes import judging


def by_hand(files: list[str], start: int, workers: int) -> None:
    """One process of the comparison: judge every `workers`-th part, write a line a picture.

    Parts are those of a run, so that the same pictures share a pass: else last digits differ.
    """
    import torch

    from sida.detector import Detector

    torch.set_num_threads(1)
    keep_freed()
    detector = Detector.load("tiny")
    print(json.dumps({"ready": time.time()}), flush=True)
    own_files = [file for index, file in enumerate(files) if index // SHARD_SIZE % workers == start]
    for verdict in detector.detect_many(own_files, masks="tampered"):
        line: dict[str, Any] = {"image": verdict.image, "label": getattr(verdict, "label", None)}
        if isinstance(verdict, Verdict):
            line["probabilities"] = dict(verdict.probabilities.items())
            line["mask"] = None if verdict.mask is None else png_bytes(verdict.mask).hex()
        print(json.dumps(line))
    print(json.dumps({"end": time.time()}))


def compared(folder: str, limit: int | None, workers: int) -> tuple[dict[str, Any], float, float]:
    """Lines by picture, seconds to get ready, and pictures a second after that."""
    started = time.time()
    files = [tempfile.TemporaryFile("w+") for _ in range(workers)]  # noqa: SIM115 - a pipe would fill up
    shares = [
        subprocess.Popen(
            [sys.executable, __file__, folder, "--workers", str(workers), "--start", str(start)]
            + (["--limit", str(limit)] if limit else []),
            stdout=file,
        )
        for start, file in enumerate(files)
    ]
    summary_text = []
    for share, file in zip(shares, files, strict=True):
        share.wait()
        file.seek(0)
        summary_text.append([json.loads(line) for line in file])
    lines = {line["image"]: line for share in summary_text for line in share[1:-1]}
    ready, end = (
        max(share[0]["ready"] for share in summary_text),
        max(share[-1]["end"] for share in summary_text),
    )
    return lines, ready - started, len(lines) / (end - ready)


class Watch:
    """When workers have begun, and what memory is held since.

    Attributes:
        done: pictures so far.
        driver_mb, worker_mb: the largest in every thousand pictures, of any worker.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.ready, self.done = out, 0.0, 0
        self.driver_mb: list[float] = []
        self.worker_mb: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._note)
        self._thread.start()

    def _note(self) -> None:
        while not self._ended.wait(1.0 if self.ready else 0.2):
            if not self.ready and any(self.out.glob("begun/part-*")):
                self.ready = time.time()
            if self.ready:
                _note_most(self.driver_mb, self.done, _resident(os.getpid()))
                for worker in judging(os.getpid()):
                    _note_most(self.worker_mb, self.done, _resident(worker))

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def _note_most(peak: list[float], count: int, megabytes: float) -> None:
    thousand = count // 1000
    peak += [0.0] * (thousand + 1 - len(peak))
    peak[thousand] = max(peak[thousand], megabytes)


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def with_ray(folder: str, limit: int | None, workers: int, out: Path) -> dict[str, Any]:
    """Judge with Ray; says how fast that was once workers had begun, and what memory was held."""
    started, watch, end = time.time(), Watch(out), 0.0

    def note(count: int, total: int) -> None:
        nonlocal end
        end, watch.done = time.time(), count

    try:
        summary = detect(
            [folder], out, selection=Selection(limit=limit), workers=workers, on_progress=note
        )
    finally:
        watch.end()
    return {
        "seconds_to_start": watch.ready - started,
        "pictures_a_second": summary.pictures / (end - watch.ready),
        "driver_mb": watch.driver_mb,
        "worker_mb": watch.worker_mb,
    }


def differences(lines: dict[str, Any], out: Path) -> dict[str, float]:
    """How far the rows of a run are from those lines."""
    rows = pyarrow.dataset.dataset(out / "verdicts").to_table().to_pylist()
    results = {"labels": 0, "masks": 0, "probabilities": 0.0}
    for row in rows:
        other = lines[row["image"]]
        results["labels"] += row["label"] != other["label"]
        if row["label"] is None:
            continue
        path = (row["mask"] or {}).get("file")
        results["masks"] += (path and (out / path).read_bytes().hex()) != other["mask"]
        off = [abs(row["probabilities"][row] - p) for row, p in other["probabilities"].items()]
        results["probabilities"] = max(results["probabilities"], *off)
    return {"rows": len(rows), "expected": len(lines), **results}


def main() -> None:
    """Judge both ways, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--start", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start is not None:
        from sida.files import find_pictures

        files = [folders.name for folders in find_pictures([options.pictures])][: options.limit]
        by_hand(files, options.start, options.workers)
        return
    expected = (options.pictures, options.limit, options.workers)
    with tempfile.TemporaryDirectory() as temporary:
        lines, *before = compared(*expected)
        ray = with_ray(*expected, Path(temporary, "out"))
        hand = [before, compared(*expected)[1:]]  # before and after: a machine's pace drifts
        starts, rates = zip(*hand, strict=True)
        share = ray["pictures_a_second"] / (sum(rates) / len(rates))
        summary_text = {"ray": ray, "share": share}
        summary_text["detect_many"] = {"seconds_to_start": starts, "pictures_a_second": rates}
        summary_text["different"] = differences(lines, Path(temporary, "out"))
    print(json.dumps(summary_text, indent=1))


if __name__ == "__main__":
    main()
