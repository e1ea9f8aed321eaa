"""Text to ids and back, exactly as the published (legacy, slow) LLaMA tokenizer.

Text is cut at every added or special token, longest first; white space beside an added token is
dropped; each piece that remains is encoded alone by sentencepiece, so that each begins with
the blank that sentencepiece puts first. No call of today's transformers gives these ids.
"""

import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import sentencepiece

from sida.errors import CheckpointError
from sida.files import write_bytes, write_text

__all__ = ["MARKERS", "Tokenizer"]

MARKERS = ("[SEG]", "<im_start>", "<im_end>", "[CLS]", "[END]")
"""Added tokens in the published order; `[END]` is in description models only."""
SPECIAL = ("<unk>", "<s>", "</s>")


class Tokenizer:
    """A sentencepiece model and the tokens added to it.

    Args:
        model: the serialized sentencepiece model.
        added: token -> id, from the number of pieces upwards without a gap.

    Raises:
        CheckpointError: not a sentencepiece model, or ids that leave a gap or collide.
    """

    bos_id, eos_id, unk_id, pad_id = 1, 2, 0, 0

    def __init__(self, model: bytes, added: dict[str, int]) -> None:
        self.model, self.added = model, dict(sorted(added.items(), key=lambda item: item[1]))
        self.sentencepiece = sentencepiece.SentencePieceProcessor()
        try:
            self.sentencepiece.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise CheckpointError("tokenizer.model is not a sentencepiece model.") from error
        size = self.sentencepiece.GetPieceSize()
        if list(self.added.values()) != list(range(size, size + len(added))):
            raise CheckpointError(
                f"added_tokens.json gives ids {list(self.added.values())}, expected "
                f"{size} to {size + len(added) - 1} after the {size} pieces of tokenizer.model."
            )
        ids = {token: i for i, token in enumerate(SPECIAL)}
        self.ids: dict[str, int] = {**ids, **self.added}
        self.tokens = {i: token for token, i in self.ids.items()}

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read `tokenizer.model` and `added_tokens.json`."""
        folder = Path(folder)
        try:
            model = (folder / "tokenizer.model").read_bytes()
            added = json.loads((folder / "added_tokens.json").read_text(encoding="utf-8"))
            return cls(model, {str(token): int(i) for token, i in added.items()})
        except CheckpointError as error:
            raise CheckpointError(f"{folder}: {error}") from error
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise CheckpointError(
                f"{folder} has no readable tokenizer ({error}): expected tokenizer.model and "
                "added_tokens.json."
            ) from error

    def save(self, folder: str | Path) -> None:
        """Write what `load` reads."""
        write_bytes(Path(folder) / "tokenizer.model", self.model)
        write_text(Path(folder) / "added_tokens.json", json.dumps(self.added, indent=2) + "\n")

    def __len__(self) -> int:
        """Rows that the embedding needs."""
        return self.sentencepiece.GetPieceSize() + len(self.added)

    def with_token(self, token: str) -> "Tokenizer":
        """The same with one more token, after all others."""
        return Tokenizer(self.model, {**self.added, token: len(self)})

    @property
    def cls_id(self) -> int:
        """Id of `[CLS]`, before which the class is read."""
        return self.ids["[CLS]"]

    @property
    def seg_id(self) -> int:
        """Id of `[SEG]`, before which the mask prompt is read."""
        return self.ids["[SEG]"]

    @property
    def end_id(self) -> int | None:
        """Id of `[END]`, which closes an explanation; None in detection models."""
        return self.ids.get("[END]")

    @cached_property
    def _cut(self) -> re.Pattern[str]:
        longest_first = sorted(self.ids, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """Ids of a text, with `<s>` first unless `bos` is False; `</s>` is never added."""
        ids = [self.bos_id] if bos else []
        parts = self._cut.split(text)
        for number, part in enumerate(parts):
            if part in self.ids:
                ids.append(self.ids[part])
                continue
            if number > 0 and parts[number - 1] in self.added:
                part = part.lstrip()
            if number + 1 < len(parts) and parts[number + 1] in self.added:
                part = part.rstrip()
            ids += self.sentencepiece.EncodeAsIds(part) if part else []
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids as transformers 4.31 puts it: a blank around added tokens.

        Ids beyond the last token, which a model with more rows can write, have no text.
        """
        groups: list[str] = []
        run: list[int] = []
        for i in [*(i for i in ids if i < len(self)), None]:
            if i is not None and self.tokens.get(i) not in self.added:
                run.append(i)
                continue
            if run:
                groups.append(self._decode_run(run))
                run = []
            if i is not None:
                groups.append(self.tokens[i])
        return " ".join(groups)

    def _decode_run(self, ids: list[int]) -> str:
        """Text of pieces and special tokens; a blank goes before the pieces that a special ends."""
        text, run = "", []
        for i in ids:
            if i >= len(SPECIAL):
                run.append(i)
                continue
            text += (" " if run else "") + self.sentencepiece.DecodeIds(run) + SPECIAL[i]
            run = []
        last: str = self.sentencepiece.DecodeIds(run)
        return text + last
