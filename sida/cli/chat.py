"""`sida chat`: questions about one picture, answered in the terminal as the text is written."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.errors import notify, sentence
from sida.cli.loading import load
from sida.cli.options import Device, Dtype, ModelName, Quantize
from sida.errors import InputError, SidaError

if TYPE_CHECKING:
    from sida.detector import Detector
    from sida.inference.conversation import Conversation

__all__ = ["register"]

HELP = """\
/image PATH     judge another picture and talk about that one
/verdict        the verdict; it comes from a fixed question, and no wording changes it
/mask FILE.png  write the mask, 0 or 255
/help           these lines
/quit           end, as Ctrl-D does; Ctrl-C breaks off an answer
Anything else is a question about the picture.
"""


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(chat)


def chat(
    picture: Annotated[
        str | None, typer.Argument(metavar="[PICTURE]", help="The picture to ask about.")
    ] = None,
    model: ModelName = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = None,
) -> None:
    """Ask questions about a picture. Each line is a question or a command; /help lists them.

    Lines may come from a pipe. The verdict comes from a fixed question, and no conversation can
    change it. The model small explains its verdict, but does not answer questions.

    Exit status: 0 every line was answered, 1 a line from a pipe could not be, 2 the picture or
    the model is not available.

    \b
    Examples:
      sida chat photo.jpg --model sida-7b-description
      echo 'Is the light consistent?' | sida chat photo.jpg --model sida-7b-description
    """
    from sida.options import ModelOptions

    options = ModelOptions(model or DEFAULT_MODEL, None, device, dtype, quantize, batch_size=1)
    session = _ChatSession(load(options))
    if picture is not None:
        session.image(picture)
    terminal = sys.stdin.isatty()
    refused = False
    for line in _lines(terminal):
        try:
            if line.split()[:1] == ["/quit"]:
                break
            session.answer(line.strip())
        except BrokenPipeError:
            raise
        except (SidaError, OSError, MemoryError) as error:
            refused = True
            notify(f"Error: {sentence(error)}")
        except KeyboardInterrupt:
            if not terminal:
                raise
            typer.echo()
            notify("Interrupted: this question and its answer are dropped.")
    raise typer.Exit(1 if refused and not terminal else 0)


def _lines(terminal: bool) -> Iterator[str]:
    """Typed lines until Ctrl-D, or Ctrl-C where nothing is being answered; or piped lines."""
    if not terminal:
        for line in sys.stdin.buffer:
            yield line.decode(errors="replace")
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # input() then edits lines and remembers them
    while True:
        try:
            line = input("> ")
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return
        yield line


class _ChatSession:
    """The picture that is talked about, and what a line does."""

    def __init__(self, detector: "Detector") -> None:
        self._detector = detector
        self._name = ""
        self._conversation: Conversation | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "/image": self.image,
            "/mask": self._mask,
            "/verdict": lambda _: self._show(explained=True),
            "/help": lambda _: typer.echo(HELP, nl=False),
        }

    def answer(self, line: str) -> None:
        """Do what a line says. Raises SidaError where it cannot be done."""
        if not line:
            return
        if line.startswith("/"):
            word, _, argument = line.partition(" ")
            command = self._commands.get(word)
            if command is None:
                raise InputError(f"there is no command {word}: /help lists them.")
            command(argument.strip().strip("'\""))  # a terminal puts quotes round what is dropped
            return
        self._answer_question(line)

    def image(self, path: str) -> None:
        """Judge a picture, and talk about it from now on."""
        if not path:
            raise InputError("found no path: type /image and the path of a picture.")
        conversation = self._detector.chat(Path(path).expanduser())
        self._name, self._conversation = path, conversation
        self._show(explained=False)

    def _answer_question(self, question: str) -> None:
        from sida.cli.table import plain

        conversation = self._current()
        for text in conversation.ask(question):
            typer.echo(plain(text), nl=False)
            sys.stdout.flush()
        typer.echo()
        if not conversation.complete:
            notify("The answer was cut: it reached the length limit.")

    def _show(self, explained: bool) -> None:
        from sida.cli.table import Row, render

        row = Row.of(self._name, self._current().verdict)
        typer.echo(render([row if explained else replace(row, text=None)]), nl=False)

    def _mask(self, path: str) -> None:
        if not path:
            raise InputError("found no path: type /mask and the name of a PNG file.")
        verdict = self._current().verdict
        if verdict.mask is None:
            raise InputError(f"there is no mask: the picture was judged {verdict.label}.")
        verdict.save_mask(Path(path).expanduser())
        notify(f"The mask is in {path}.")

    def _current(self) -> "Conversation":
        if self._conversation is None:
            raise InputError("there is no picture yet: type /image and its path.")
        return self._conversation
