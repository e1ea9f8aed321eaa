"""A run with Ray that reads from an S3 server on this machine and writes to it.

python benchmarks/scale_s3.py PICTURES [--limit 1000] [--workers 2]

PICTURES is a folder; its first pictures are put into a bucket of moto's server, and judged from
there into another prefix. Prints in how many verdicts, probabilities and masks the result differs
from `detect_many` on the files, and what a refusing bucket and an empty prefix are answered.
"""

import argparse
import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
from moto.server import ThreadedMotoServer

sys.path.insert(0, str(Path(__file__).parent.parent))

from sida.detector import Detector
from sida.files import find_pictures
from sida.image.overlay import png_bytes
from sida.verdict import Verdict

KEYS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def server() -> Iterator[Any]:
    """A running S3 server, which this process and its children then use."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    os.environ.update(KEYS, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    try:
        yield fsspec.filesystem("s3")
    finally:
        running.stop()


def detected(*arguments: str) -> tuple[int, str]:
    """`sida detect --engine ray`: exit status and last line of standard error."""
    command = [sys.executable, "-m", "sida", "detect", "--engine", "ray", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    return finished.returncode, (finished.stderr.strip().splitlines() or [""])[-1]


def summary(files: list[Path]) -> dict[str, tuple[Any, ...]]:
    """Label, probabilities and mask of each, by name."""
    rows = {}
    for file, verdict in zip(files, Detector.load("tiny").detect_many(files), strict=True):
        if isinstance(verdict, Verdict):
            mask = None if verdict.mask is None else png_bytes(verdict.mask)
            rows[file.name] = (verdict.label, dict(verdict.probabilities.items()), mask)
    return rows


def differences(s3: Any, expected: dict[str, tuple[Any, ...]]) -> dict[str, float]:
    """How far the rows in the bucket are from these."""
    counts = {"rows": 0, "expected": len(expected), "labels": 0, "masks": 0, "probabilities": 0.0}
    for part in s3.find("bucket/out/verdicts"):
        for row in pyarrow.parquet.read_table(io.BytesIO(s3.cat_file(part))).to_pylist():
            label, probabilities, mask = expected[row["image"].rpartition("/")[2]]
            path = (row["mask"] or {}).get("file")
            content = None if path is None else s3.cat_file(f"bucket/out/{path}")
            off = [abs(row["probabilities"][row] - p) for row, p in probabilities.items()]
            counts["rows"] += 1
            counts["labels"] += row["label"] != label
            counts["masks"] += content != mask
            counts["probabilities"] = max(counts["probabilities"], *off)
    return counts


def main() -> None:
    """Fill a bucket, judge it, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    files = [folder.path for folder in find_pictures([options.pictures])][: options.limit]
    with server() as s3:
        s3.makedirs("bucket", exist_ok=True)
        for file in files:
            s3.pipe_file(f"bucket/in/{file.name}", file.read_bytes())
        started = time.time()
        status, last = detected(
            "s3://bucket/in", "--out", "s3://bucket/out", "--workers", options.workers
        )
        output: dict[str, Any] = {"status": status, "seconds": time.time() - started}
        output["different"] = differences(s3, summary(files))
        output["empty prefix"] = detected("s3://bucket/nothing", "--out", "s3://bucket/other")
        output["no such bucket"] = detected("s3://none/in", "--out", "s3://bucket/other")
    if status:
        output["said"] = last
    print(json.dumps(output, indent=1))


if __name__ == "__main__":
    main()
