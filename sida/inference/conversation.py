"""`Conversation`: questions about one picture, answered as the text is written.

The verdict comes from the fixed question, before anything is asked. Questions, and what an answer
makes of text in the picture, go through the network in other passes and cannot change it:
- an answer that is to begin with `[CLS]`, or does, begins with the verdict's own sentence;
- `[SEG]` in an answer points to the verdict's mask; no other mask is made.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence

from sida.errors import InputError
from sida.inference.engine import TEXT_LIMIT, Engine
from sida.inference.generate import generate
from sida.inference.llama import KVCache
from sida.model.processor import HasPixels
from sida.model.prompt import CHAT_REPLIES, build_prompt, conversation, later_question, neutral
from sida.verdict import Verdict

__all__ = ["Conversation"]

MARKERS = ("[CLS]", "[SEG]")
"""Markers that the original questions have in them; others are taken out of what a user types."""


class Conversation:
    """A picture that has been judged, and what was said of it.

    Keys and values of all that was said are kept, so a question costs itself and its answer. Where
    the model has no positions left, the oldest turns are forgotten.

    Args:
        engine: its model is used from one thread.
        verdict: of the fixed question.
        picture: the one that was judged.
        history: questions with their answers that came before.

    Attributes:
        verdict: it stays as it is.
        history: questions with their answers, each added when its answer has ended.
        complete: whether the model ended the last answer by itself; else it was cut.
    """

    def __init__(
        self,
        engine: Engine,
        verdict: Verdict,
        picture: HasPixels,
        history: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.verdict = verdict
        self.history = list(history)
        self.complete = True
        self._engine, self._picture = engine, picture
        self._tokenizer = engine.processor.tokenizer
        ends = (self._tokenizer.end_id, self._tokenizer.eos_id)
        self._stops = frozenset(i for i in ends if i is not None)
        self._dropped_turns = 0
        self._ids = self._encode_turns(self.history)  # since the picture, without dropped turns
        self._cache: KVCache | None = None
        self._picture_end = 0  # where the picture ends in it

    @property
    def converses(self) -> bool:
        """True for a model that answers questions; of another, `ask` gives the explanation."""
        return self._engine.converses

    def ask(self, text: str) -> Iterator[str]:
        """Pieces of the answer as they are written, one answer at a time.

        A turn that is broken off is forgotten.

        Raises:
            InputError: there is no question, or it is too long for the model.
        """
        question = neutral(text, keep=MARKERS)
        if not question.strip():
            raise InputError("found no question: ask something about the picture.")
        answer: list[str] = []
        stream = self._converse(question) if self.converses else self._explain()
        for text_part in stream:
            answer.append(text_part)
            yield text_part
        # Only here, so that an answer that nobody reads to its end leaves no trace.
        self.history.append((text, "".join(answer)))

    def _explain(self) -> Iterator[str]:
        """The explanation, of a model that does not converse."""
        yield f"{self.verdict.model.name} can explain its verdict, but not converse."
        explanation = self.verdict.explanation
        self.complete = explanation is None or explanation.complete
        if explanation is not None:
            yield f"\n{explanation.text}"

    def _converse(self, question: str) -> Iterator[str]:
        cache, question_ids = self._make_room(question)
        before = len(self._ids)
        self._ids += question_ids
        ended = False
        try:
            yield from self._decode_stream(self._answer_ids(cache, "[CLS]" in question))
            self.complete = self._ids[-1] in self._stops
            if self._ids[-1] != self._tokenizer.eos_id:
                self._ids.append(self._tokenizer.eos_id)
            ended = True
        finally:
            # A turn that was broken off is cut from ids and cache alike: the next one must find
            # both at the same length.
            if not ended:
                del self._ids[before:]
                cache.length = min(cache.length, self._picture_end + before)

    def _make_room(self, question: str) -> tuple[KVCache, list[int]]:
        """The cache and the question's ids; old turns go where the answer lacks positions."""
        if self._cache is None:
            self._cache = self._engine.prefill_picture(self._picture)
            self._picture_end = self._cache.length
        positions = self._engine.model.config.language.max_position_embeddings - self._picture_end
        limit = positions - min(TEXT_LIMIT, positions // 2)
        question_ids = self._encode_question(question, first=not self._ids)
        while len(self._ids) + len(question_ids) > limit:
            if self._dropped_turns == len(self.history):
                raise InputError(
                    f"the question has {len(question_ids)} tokens, and the model takes {limit}: "
                    "shorten it."
                )
            self._dropped_turns += 1
            self._cache.length = self._picture_end
            self._ids = self._encode_turns(self.history[self._dropped_turns :])
            question_ids = self._encode_question(question, first=not self._ids)
        return self._cache, question_ids

    def _answer_ids(self, cache: KVCache, classify: bool) -> Iterator[int]:
        """Ids of an answer as they come."""
        if not classify:
            classify = yield from self._generate(cache)
        if not classify:
            return
        # The class was asked for: the verdict has it already.
        trained = self._tokenizer.end_id is not None
        if trained:
            start = [*conversation(self._tokenizer, self.verdict.label).answer_ids]
        else:  # as published, a model of detection says no more than this
            start = self._tokenizer.encode(CHAT_REPLIES[self.verdict.label], bos=False)
            start.append(self._tokenizer.eos_id)
        self._ids += start
        yield from start
        if trained:
            yield from self._generate(cache)

    def _generate(self, cache: KVCache) -> Generator[int, None, bool]:
        """Ids as the model writes them, up to a `[CLS]`; returns True where there was one.

        They are noted in `_ids`, and those that the cache lacks are fed first.
        """
        unfed = self._ids[cache.length - self._picture_end :]
        for i in generate(self._engine.model, cache, unfed, self._stops, TEXT_LIMIT):
            if i == self._tokenizer.cls_id:
                return True
            self._ids.append(i)
            yield i
        return False

    def _decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Text of ids as they come. Markers vanish, but `[SEG]`, which points to the mask."""
        run: list[int] = []
        text, gap = "", ""
        for i in ids:
            if i in self._tokenizer.tokens:
                run, text = [], ""
                if i == self._tokenizer.seg_id:
                    yield f"{gap}({self._mask_reference()})"
                    gap = " "
                continue
            run.append(i)
            # A token may be half a character, so the whole run is decoded, and its new end given.
            longer = self._tokenizer.decode(run)
            new = longer[len(text) :]
            if not new or longer.endswith("\N{REPLACEMENT CHARACTER}"):
                continue
            yield new if text else gap + new
            text, gap = longer, " "

    def _mask_reference(self) -> str:
        if self.verdict.localization is not None:
            return "see the mask"
        return f"no mask: judged {self.verdict.label.replace('_', ' ')}"

    def _encode_question(self, question: str, first: bool) -> list[int]:
        """Ids from the end of the picture, or of an answer, to where the answer begins."""
        if first:
            return [*build_prompt(self._tokenizer, question).after]
        return [*later_question(self._tokenizer, question)]

    def _encode_turns(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """Ids of whole turns."""
        ids: list[int] = []
        for question, answer in turns:
            ids += self._encode_question(neutral(question, keep=MARKERS), first=not ids)
            ids += self._tokenizer.encode(neutral(answer), bos=False)
            ids.append(self._tokenizer.eos_id)
        return ids
