"""A cell's text as Python's grammar sees it, and the places that errors point at.

Lines are cut where the grammar cuts them; a common indentation is taken off, so that
equations may stand in an indented string. Nothing is evaluated.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Collection
from dataclasses import dataclass

from bptt import errors
from bptt.errors import Span
from bptt.language import hints

ONE_EQUATION = "one equation a line, written `name[t] = expression`"
SHOWN = 60
# Far beyond any network, and read in two seconds and 500 MB.
MAX_CHARACTERS = 1_000_000
MAX_LINES = 10_000
_SEPARATOR = re.compile("[\\n;]")
_UNREADABLE = re.compile("[\\0\\ud800-\\udfff]")


@dataclass(frozen=True)
class FunctionText:
    """`name(names) = expression` as the grammar sees it; body: None if it lacks one."""

    call: ast.Call
    body: ast.expr | None


class Source:
    """The text of a cell, its statements, and where each piece of it stands."""

    def __init__(self, text: str) -> None:
        """Take off a byte order mark and a common indentation; unify line ends."""
        self._text, self._lines = text, [text]
        if len(text) > MAX_CHARACTERS:  # before any work is done on it
            self._refuse_unreadable()
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self._text = textwrap.dedent(text)
        self._lines = self._text.split("\n")
        self._refuse_unreadable()

    def statements(self) -> list[ast.stmt | FunctionText]:
        """The lines as `ast` statements, `name(names) = expression` as functions.

        Raises: CellSyntaxError for what the grammar refuses.
        """
        signs = _function_signs(self._text)
        text = self._text
        for place in signs:  # one character for another: every place stays true
            text = f"{text[:place]};{text[place + 1 :]}"
        for place in _joints(text):
            text = f"{text[:place]},{text[place + 1 :]}"
        return _join_functions(self._parse(text), set(signs.values()))

    def _parse(self, text: str) -> list[ast.stmt]:
        try:
            # A warning is about Python, an invalid escape in a string for example.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(text).body
        except SyntaxError as error:
            raise self._syntax_error(error) from None
        except ValueError as error:
            # A literal that cannot be converted, in some versions of Python.
            raise self._syntax_error(SyntaxError(str(error))) from None
        except (RecursionError, MemoryError):
            longest = max(range(len(self._lines)), key=lambda i: len(self._lines[i]))
            raise errors.CellSyntaxError(
                Span(longest + 1, self._lines[longest], 0, 1),
                "an expression is nested too deeply",
                fix="give its inner parts a name, in equations of their own",
            ) from None

    def _refuse_unreadable(self) -> None:
        """Refuse what no grammar can read, or not in bounded time and memory."""
        for text, most, what in (
            (self._text, MAX_CHARACTERS, "characters"),
            (_SEPARATOR.findall(self._text), MAX_LINES, "lines"),
        ):
            if len(text) > most:
                raise errors.CellSizeError(
                    None,
                    f"the text has {len(text):,} {what}; a cell has {most:,} at most",
                    fix="is this the file you meant? Equations alike are one equation "
                    "with vectors and matrices",
                )
        for number, line in enumerate(self._lines, start=1):
            if hint := hints.raised(line):
                place, problem, fix = hint
                span = Span(number, line, place, place + 1)
                raise errors.CellSyntaxError(span, problem, fix=fix)
        found = _UNREADABLE.search(self._text)
        if found is not None:
            before = self._text[: found.start()]
            number, column = before.count("\n"), len(before.rpartition("\n")[2])
            raise errors.CellSyntaxError(
                Span(number + 1, self._lines[number], column, column + 1),
                f"the text holds the character U+{ord(found.group()):04X}, which is "
                "not text",
                fix="remove it; a cell file is UTF-8 text",
            )

    def _syntax_error(self, error: SyntaxError) -> errors.CellError:
        number = min(error.lineno or 1, len(self._lines))
        line = self._lines[number - 1]
        start = min(max(0, (error.offset or 1) - 1), len(line))
        problem, fix = f"this is not an expression: {error.msg}", ONE_EQUATION
        if isinstance(error, IndentationError):
            start = len(line) - len(line.lstrip())
            fix = "begin every line at the same margin, or put brackets around an "
            fix += "expression that continues"
        elif "nested" in error.msg:
            fix = "give its inner parts a name, in equations of their own"
        elif "integer string conversion" in error.msg:
            problem, fix = "this number has too many digits", "1e308 at most"
            digits = re.search(r"\d{4000,}", line)
            start = digits.start() if digits else start
        elif (hint := hints.of_line(line, start)) is not None:
            start, problem, fix = hint
            if word := hints.reserved_word(line):
                span = Span(number, line, start, start + len(word))
                return errors.ReservedNameError(span, problem, fix=fix)
        return errors.CellSyntaxError(
            Span(number, line, start, start + 1), problem, fix=fix
        )

    def span(self, node: ast.AST) -> Span:
        """Where a node stands; the first of its lines if it has several."""
        number = getattr(node, "lineno", 1)
        line = self._lines[number - 1]
        start = self._column(line, getattr(node, "col_offset", 0))
        end = len(line.rstrip())
        if getattr(node, "end_lineno", number) == number:
            end = self._column(line, getattr(node, "end_col_offset", 0))
        return Span(number, line, start, max(end, start + 1))

    @staticmethod
    def _column(line: str, byte_offset: int) -> int:
        """`ast` counts UTF-8 bytes; a caret counts characters."""
        return len(line.encode()[:byte_offset].decode(errors="replace"))

    def show(self, node: ast.AST) -> str:
        """A node as it was written, for a message."""
        text = self.span(node).text
        if len(text) > SHOWN:
            text = text[:SHOWN] + "…"
        return f"`{errors.visible(text)}`"


# ----- functions -----

_HEAD = re.compile(r"[ \t]*[^\W\d]\w*[ \t]*\(")
_IS_LIKELY = re.compile(r"\)[ \t]*=(?!=)")
_SIGN = re.compile(r"[ \t]*=(?!=)")
_PIECE = re.compile(r"[^\n;#()\[\]{}]+|#[^\n]*|.|\n")


def _function_signs(text: str) -> dict[int, tuple[int, int]]:
    """Where the `=` of `name(names) =` stands, and the line and byte of its `)`.

    Python's grammar has no such statement, but for this one character.
    """
    found: dict[int, tuple[int, int]] = {}
    if not _IS_LIKELY.search(text):
        return found
    depth, is_head = 0, _HEAD.match(text) is not None
    for piece in _PIECE.finditer(text):
        mark, end = piece.group(), piece.end()
        if mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth -= 1
            sign = _SIGN.match(text, end) if is_head and not depth else None
            if sign is not None:
                start = text.rfind("\n", 0, end) + 1
                line = text.count("\n", 0, end) + 1
                found[sign.end() - 1] = line, len(text[start:end].encode())
            is_head = is_head and depth > 0
        elif mark in "\n;" and depth == 0:
            is_head = _HEAD.match(text, end) is not None
    return found


def _joints(text: str) -> list[int]:
    """Where the `;` of `[u; v]` stand: in a list that closes, not after a name."""
    found: list[int] = []
    if "[" not in text or ";" not in text:
        return found
    opened: list[list[int] | None] = []
    before = ""
    for piece in _PIECE.finditer(text):
        mark = piece.group()
        if mark in ("(", "[", "{"):
            is_place = before[-1:].isalnum() or before[-1:] in ("_", "]", ")")
            opened.append([] if mark == "[" and not is_place else None)
        elif mark in (")", "]", "}") and opened:
            found += opened.pop() or []
        elif mark == ";" and opened:
            joints = opened[-1]
            if joints is not None:
                joints.append(piece.start())
        before = mark.rstrip() or before
    return sorted(found)


def _join_functions(
    statements: list[ast.stmt], heads: Collection[tuple[int, int]]
) -> list[ast.stmt | FunctionText]:
    """Put the two halves of every function together again.

    heads: where the calls end that are heads of functions, as line and byte.
    """
    result: list[ast.stmt | FunctionText] = []
    is_open = False
    for statement in statements:
        last = result[-1] if result else None
        if is_open and isinstance(last, FunctionText):
            same_line = statement.lineno == last.call.end_lineno
            is_open = False
            if same_line and isinstance(statement, ast.Expr):
                result[-1] = FunctionText(last.call, statement.value)
                continue
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and _end(call) in heads:
            result.append(FunctionText(call, None))
            is_open = True
        else:
            result.append(statement)
    return result


def _end(node: ast.Call) -> tuple[int | None, int | None]:
    return node.end_lineno, node.end_col_offset
