"""Verdicts and failures as rows of parquet: the contract's fields as columns, nested as there.

A row's `schema` says which it is; the other's columns are null. `parse_line(json.dumps(row))`
reads it back.
"""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import JsonValue

from sida.scale.store import Store
from sida.verdict import LABELS, Failure, Verdict

__all__ = ["FAILED", "VerdictRow", "count_labels", "encode", "read_rows", "row_of"]

VerdictRow = dict[str, JsonValue]

FAILED = "failed"
"""Counted in the place of a label for a picture without a verdict."""


def row_of(result: Verdict | Failure) -> VerdictRow:
    """The contract's fields, whose order the schema gives."""
    row = result.model_dump(mode="json")
    if row.get("provenance") is not None:  # values of any kind: parquet wants one for a column
        row["provenance"] = result.provenance.model_dump_json()  # type: ignore[union-attr]
    return row


def encode(rows: Sequence[VerdictRow]) -> bytes:
    """A parquet file of some rows."""
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), _schema()), file)
    return file.getvalue()


def count_labels(rows: Iterable[VerdictRow]) -> Counter[str]:
    """How many rows have each outcome (see `Verdict`), or `FAILED`."""
    return Counter(_outcome(row) for row in rows)


def _outcome(row: VerdictRow) -> str:
    if row.get("budget") is not None and row["inconclusive"]:
        return "inconclusive"
    return str(row.get("label") or FAILED)


def read_rows(store: Store, name: str, columns: Sequence[str] | None = None) -> list[VerdictRow]:
    """Rows of a file, or some columns of them."""
    import pyarrow.parquet

    with store.open(name) as stream:
        rows: list[VerdictRow] = pyarrow.parquet.read_table(
            stream, columns=None if columns is None else list(columns)
        ).to_pylist()
    return rows


def _schema() -> Any:
    import pyarrow as pa

    text, number, texts = pa.string(), pa.float64(), pa.list_(pa.string())
    probabilities = pa.struct(dict.fromkeys(LABELS, number))
    region = pa.struct(
        {"box": pa.list_(pa.int32()), "area": number, "score": number, "position": text}
    )
    claim_type = pa.struct({"cue": text, "inside": number, "outside": number, "text": text})
    delivery = pa.struct({
        "name": text, "label": text, "probabilities": probabilities, "inconclusive": pa.bool_(),
        "unsuitable": text, "held": pa.bool_(),
    })  # fmt: skip
    headings = pa.struct(dict.fromkeys(("lighting", "edges", "resolution", "shadows"), text))
    return pa.schema({
        "schema": text, "image": text, "sha256": text, "width": pa.int32(), "height": pa.int32(),
        "format": text, "label": text,
        "probabilities": probabilities,
        "calibrated": pa.bool_(), "inconclusive": pa.bool_(), "unsuitable": text,
        "budget": pa.struct({
            "max_false_positives": number, "threshold": number, "photographs": pa.int64(),
            "set": text,
        }),
        "stability": pa.struct(
            {"held": pa.int32(), "of": pa.int32(), "deliveries": pa.list_(delivery)}
        ),
        "mask": pa.struct(
            {"area": number, "threshold": number, "file": text, "regions": pa.list_(region)}
        ),
        "explanation": pa.struct({
            "text": text, "type": text, "areas": text, "content": text,
            "inconsistencies": headings, "claims": pa.list_(claim_type), "complete": pa.bool_(),
        }),
        "provenance": text,
        "model": pa.struct({"name": text, "version": text, "digest": text}),
        "warnings": texts, "seconds": number,
        "error": text, "message": text,
    })  # fmt: skip
