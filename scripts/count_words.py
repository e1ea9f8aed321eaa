"""Count how far the code's language is from the project's words (CONTRIBUTING.md).

    python scripts/count_words.py                      # each room of sida, and the whole
    python scripts/count_words.py tests benchmarks     # other folders
    python scripts/count_words.py sida/data --list     # every finding with its file and line

Reads syntax trees, imports nothing of what it counts. Exit status 0: it is a measure, no check.
"""

import argparse
import ast
import io
import tokenize
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

GLOSSARY = """
kind kinds look ask begin begun past see seen judge judged view views piece pieces one each it how
wanted wish wishes place places house home chance dice claim border told say tell said refusal ahead
micro what
found given held own some chosen asked kept done made known drawn shown named taken noted listed
marked stated gone lost met unseen looked others more most less further whole rest why where there
"""
"""The right column of the table, then the other participles and pronouns that name nothing."""
WORDS = frozenset(GLOSSARY.split())
OPENINGS = ("What ", "Whether ", "One ", "Who ")
MOST_PARAMETERS = 12
NO_COMMENT = ("# noqa", "# type:", "# fmt:", "# pragma", "#!")
CONTAINERS = frozenset({"tuple", "dict", "list", "Mapping", "Sequence", "Iterable", "Iterator"})


@dataclass
class Count:
    """Findings of one room, or of several added up."""

    names: int = 0
    words: Counter[str] = field(default_factory=Counter)
    docstrings: int = 0
    openings: int = 0
    code_lines: int = 0
    comments: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Count") -> None:
        self.names += other.names
        self.words += other.words
        self.docstrings += other.docstrings
        self.openings += other.openings
        self.code_lines += other.code_lines
        self.comments += other.comments
        self.findings += other.findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("sida")])
    parser.add_argument("--list", action="store_true", help="print each finding with its line")
    options = parser.parse_args()
    files = [file for folder in options.folders for file in python_files(folder)]
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    rooms: dict[str, Count] = defaultdict(Count)
    for file, tree in trees.items():
        rooms[room(file)].add(count(file, tree))
    total = Count()
    for part in rooms.values():
        total.add(part)
    print_table({**dict(sorted(rooms.items())), "all": total})
    print("\nmost frequent:", ", ".join(f"{word} {n}" for word, n in total.words.most_common(25)))
    print_list(f"functions of more than {MOST_PARAMETERS} parameters", long_functions(trees))
    print_list(
        "public signatures, fields and aliases with Any in a container", containers_of_any(trees)
    )
    print_list("import circles", import_circles(trees))
    print_list("classes and types defined more than once", repeated_classes(trees))
    if options.list:
        print_list("words and docstrings", total.findings)


def python_files(folder: Path) -> list[Path]:
    return [folder] if folder.is_file() else sorted(folder.rglob("*.py"))


def room(file: Path) -> str:
    """`sida/data` for everything below it; a module that is a room stands for itself."""
    return "/".join(file.parts[:2])


def count(file: Path, tree: ast.Module) -> Count:
    """Names, docstrings and comments of one file."""
    result = Count()
    for name, line in bound_names(tree):
        result.names += 1
        word = name.strip("_").lower()
        if word in WORDS:
            result.words[word] += 1
            result.findings.append(f"{file}:{line}: {name}")
    for docstring, line in docstrings(tree):
        result.docstrings += 1
        if docstring.startswith(OPENINGS):
            result.openings += 1
            result.findings.append(f"{file}:{line}: {docstring.splitlines()[0]}")
    result.code_lines, result.comments = lines_and_comments(file, tree)
    return result


def bound_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that the code binds: variables, parameters, attributes, functions, classes."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name, node.lineno


def docstrings(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Docstrings, and the strings below constants and fields that document them."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for statement in body:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield text.strip(), statement.lineno


def lines_and_comments(file: Path, tree: ast.Module) -> tuple[int, int]:
    """Lines that hold code (docstrings are none), and comments meant for readers."""
    prose = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code: set[int] = set()
    comment_lines: set[int] = set()
    empty = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
    for token in tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            if not token.string.startswith(NO_COMMENT):
                comment_lines.add(token.start[0])
        elif token.type not in empty and token.type != tokenize.ENDMARKER:
            code.update(range(token.start[0], token.end[0] + 1))
    # A comment of several lines is one comment.
    comments = sum(line in code or line - 1 not in comment_lines for line in comment_lines)
    return len(code - prose), comments


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    args = function.args
    variadic = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *variadic]


def long_functions(trees: dict[Path, ast.Module]) -> list[str]:
    return [
        f"{file}:{function.lineno}: {function.name} has {len(parameters(function))}"
        for file, tree in trees.items()
        for function in functions(tree)
        if len(parameters(function)) > MOST_PARAMETERS
    ]


def containers_of_any(trees: dict[Path, ast.Module]) -> list[str]:
    """Annotations of public functions and of fields, and aliases, such as `tuple[Any, ...]`."""
    lines = []
    for file, tree in trees.items():
        for owner, annotation in public_annotations(tree):
            if holds_any(annotation):
                text = ast.unparse(annotation)
                lines.append(f"{file}:{annotation.lineno}: {owner}: {text}")
    return lines


def public_annotations(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        name = getattr(node, "name", None) or ""
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(node, ast.Module):
            yield from aliases(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ((name, arg.annotation) for arg in parameters(node) if arg.annotation)
            if node.returns:
                yield name, node.returns
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign):
                    yield name, statement.annotation


def aliases(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Type aliases such as `Row = dict[str, Any]`, which would hide it in signatures."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            yield from ((name, statement.value) for name in class_names(statement))


def holds_any(annotation: ast.expr) -> bool:
    return any(
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id in CONTAINERS
        and any(isinstance(part, ast.Name) and part.id == "Any" for part in plain_nodes(node.slice))
        for node in ast.walk(annotation)
    )


def plain_nodes(node: ast.expr) -> Iterator[ast.AST]:
    """All nodes but those in NDArray[...], whose Any is a dtype."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "NDArray":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from plain_nodes(child)


def import_circles(trees: dict[Path, ast.Module]) -> list[str]:
    """Modules that need each other, imports inside of functions included."""
    modules = {module_name(file): tree for file, tree in trees.items()}
    graph = {name: imported(tree, modules.keys()) - {name} for name, tree in modules.items()}
    reach = {name: reachable(graph, name) for name in graph}
    circles = {
        frozenset({name, *(other for other in reach[name] if name in reach[other])})
        for name in graph
        if name in reach[name]
    }
    return [" <-> ".join(sorted(circle)) for circle in circles]


def module_name(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.Module, modules: Collection[str]) -> set[str]:
    """Those of `modules` named by import statements; those for type checkers alone are left out."""
    unused = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in unused:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members
            if not members <= set(modules):  # `from package import module` needs the module alone
                names.add(node.module)
    return names & set(modules)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    visited: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in visited:
            visited.add(name)
            waiting += graph[name]
    return visited


def repeated_classes(trees: dict[Path, ast.Module]) -> list[str]:
    """Names of classes and of type aliases (`Mask = NDArray[np.bool_]`) in several modules."""
    files: dict[str, list[str]] = defaultdict(list)
    for file, tree in trees.items():
        for statement in tree.body:
            for name in class_names(statement):
                files[name].append(str(file))
    return [f"{name}: {', '.join(paths)}" for name, paths in sorted(files.items()) if paths[1:]]


def class_names(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() | ast.BinOp()):
            if name[0].isupper() and not name.isupper():
                yield name


def print_table(rooms: dict[str, Count]) -> None:
    print(
        f"{'':24}{'names':>7}{'words':>7}{'%':>6}{'docstr.':>9}{'%':>6}{'lines':>7}{'comm. %':>9}"
    )
    for name, part in rooms.items():
        words = part.words.total()
        print(
            f"{name:24}{part.names:>7}{words:>7}{percent(words, part.names):>6}"
            f"{part.docstrings:>9}{percent(part.openings, part.docstrings):>6}"
            f"{part.code_lines:>7}{percent(part.comments, part.code_lines):>9}"
        )


def percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}" if total else "-"


def print_list(title: str, lines: list[str]) -> None:
    print(f"\n{title}: {len(lines)}", *lines, sep="\n  ")


if __name__ == "__main__":
    main()
