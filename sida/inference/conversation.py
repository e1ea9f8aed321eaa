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
from sida.inference.language import Past
from sida.model.processor import HasPixels
from sida.model.prompt import CHAT_REPLIES, build_prompt, conversation, later_question, neutral
from sida.verdict import Verdict

__all__ = ["Conversation"]

READ = ("[CLS]", "[SEG]")
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
        self._forgotten = 0
        self._ids = self._said(self.history)  # all since the picture, of turns not forgotten
        self._past: Past | None = None
        self._start = 0  # where the picture ends in it

    @property
    def talks(self) -> bool:
        """Whether the model answers questions; else `ask` says so, and gives the explanation."""
        return self._engine.talks

    def ask(self, text: str) -> Iterator[str]:
        """Pieces of the answer as they are written, one answer at a time.

        A turn that is broken off is forgotten.

        Raises:
            InputError: there is no question, or it is too long for the model.
        """
        question = neutral(text, keep=READ)
        if not question.strip():
            raise InputError("found no question: ask something about the picture.")
        given: list[str] = []
        pieces = self._converse(question) if self.talks else self._explain()
        for piece in pieces:
            given.append(piece)
            yield piece
        self.history.append((text, "".join(given)))

    def _explain(self) -> Iterator[str]:
        """What a model that does not converse has to say."""
        yield f"{self.verdict.model.name} can explain its verdict, but not converse."
        explanation = self.verdict.explanation
        self.complete = explanation is None or explanation.complete
        if explanation is not None:
            yield f"\n{explanation.text}"

    def _converse(self, question: str) -> Iterator[str]:
        past, asked = self._room_for(question)
        before = len(self._ids)
        self._ids += asked
        ended = False
        try:
            yield from self._pieces(self._answer(past, "[CLS]" in question))
            self.complete = self._ids[-1] in self._stops
            if self._ids[-1] != self._tokenizer.eos_id:
                self._ids.append(self._tokenizer.eos_id)
            ended = True
        finally:
            if not ended:
                del self._ids[before:]
                past.length = min(past.length, self._start + before)

    def _room_for(self, question: str) -> tuple[Past, list[int]]:
        """The cache and the question's ids; old turns go where the answer would find no room."""
        if self._past is None:
            self._past = self._engine.begin(self._picture)
            self._start = self._past.length
        positions = self._engine.model.config.language.max_position_embeddings - self._start
        room = positions - min(TEXT_LIMIT, positions // 2)
        asked = self._question(question, first=not self._ids)
        while len(self._ids) + len(asked) > room:
            if self._forgotten == len(self.history):
                raise InputError(
                    f"the question has {len(asked)} tokens, and the model takes {room}: shorten it."
                )
            self._forgotten += 1
            self._past.length = self._start
            self._ids = self._said(self.history[self._forgotten :])
            asked = self._question(question, first=not self._ids)
        return self._past, asked

    def _answer(self, past: Past, classify: bool) -> Iterator[int]:
        """Ids of an answer as they come."""
        if not classify:
            classify = yield from self._written(past)
        if not classify:
            return
        # The class was asked for: the verdict has it already.
        trained = self._tokenizer.end_id is not None
        if trained:
            begun = [*conversation(self._tokenizer, self.verdict.label).answer_ids]
        else:  # as published, a model of detection says no more than this
            begun = self._tokenizer.encode(CHAT_REPLIES[self.verdict.label], bos=False)
            begun.append(self._tokenizer.eos_id)
        self._ids += begun
        yield from begun
        if trained:
            yield from self._written(past)

    def _written(self, past: Past) -> Generator[int, None, bool]:
        """Ids as the model writes them, up to a `[CLS]`; whether there was one.

        They are noted in `_ids`, and those that the cache lacks are fed first.
        """
        unfed = self._ids[past.length - self._start :]
        for i in generate(self._engine.model, past, unfed, self._stops, TEXT_LIMIT):
            if i == self._tokenizer.cls_id:
                return True
            self._ids.append(i)
            yield i
        return False

    def _pieces(self, ids: Iterable[int]) -> Iterator[str]:
        """Text of ids as they come. Markers vanish, but `[SEG]`, which points to the mask."""
        run: list[int] = []
        known, gap = "", ""
        for i in ids:
            if i in self._tokenizer.tokens:
                run, known = [], ""
                if i == self._tokenizer.seg_id:
                    yield f"{gap}({self._mask_words()})"
                    gap = " "
                continue
            run.append(i)
            text = self._tokenizer.decode(run)
            new = text[len(known) :]
            if not new or text.endswith("\N{REPLACEMENT CHARACTER}"):  # half a character
                continue
            yield new if known else gap + new
            known, gap = text, " "

    def _mask_words(self) -> str:
        if self.verdict.localization is not None:
            return "see the mask"
        return f"no mask: judged {self.verdict.label.replace('_', ' ')}"

    def _question(self, question: str, first: bool) -> list[int]:
        """Ids from the end of the picture, or of an answer, to where the answer begins."""
        if first:
            return [*build_prompt(self._tokenizer, question).after]
        return [*later_question(self._tokenizer, question)]

    def _said(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """Ids of whole turns."""
        ids: list[int] = []
        for question, answer in turns:
            ids += self._question(neutral(question, keep=READ), first=not ids)
            ids += self._tokenizer.encode(neutral(answer), bos=False)
            ids.append(self._tokenizer.eos_id)
        return ids
