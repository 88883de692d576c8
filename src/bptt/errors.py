"""Every mistake a person can make with a cell or its arrays, one class per mistake.

A message restates what the person wrote, says what was found, and names the likely
fix. `BpttError` is the common base; nothing here is raised for the library's own bugs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from unicodedata import combining, east_asian_width

WIDTH = 96
BESIDE = 1000  # names of a folder that are looked at for the nearest


class BpttError(Exception):
    """Base of every error that bptt raises on purpose."""


def find_nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if any is.

    First as it is written, then whatever its capitals, hyphens and underscores.

    >>> find_nearest("N-H", ["n_x", "n_h"])
    'n_h'
    """
    names = sorted(known)
    close = get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return close[0]
    plain = {_plain(one): one for one in names}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def _plain(name: object) -> str:
    return str(name).casefold().replace("-", "_")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """What to append to a refusal of a name: the nearest known one, or nothing.

    >>> did_you_mean("lstn", ["gru", "lstm"])
    '; did you mean lstm?'
    """
    close = find_nearest(name, known)
    return "" if close is None else f"; did you mean {close}?"


def list_known(name: object, known: Iterable[str]) -> str:
    """The names there are, and the nearest one: the end of a refusal.

    >>> list_known("hh", ["a", "h"])
    'a, h; did you mean h?'
    """
    names = tuple(known)
    return f"{', '.join(names) or 'none'}{did_you_mean(name, names)}"


def nearest_file(path: str | Path) -> str:
    """What to append to a refusal of a path: the nearest name beside it, or nothing."""
    place = Path(path)
    try:
        names = sorted(found.name for found in place.parent.iterdir())
    except (OSError, ValueError):  # a cell's own text, say, is no path
        return ""
    others = [name for name in names if name != place.name]
    near = find_nearest(place.name, others[:BESIDE])
    return "" if near is None else f"; did you mean {place.parent / near}?"


def no_attribute(
    module: str, name: str, known: Iterable[str], kind: str = "attribute"
) -> AttributeError:
    """What a module raises for a name that it has not, with the nearest that it has."""
    # Given the name alone, Python adds no second guess of its own behind this one.
    near = did_you_mean(name, known)
    return AttributeError(f"module {module!r} has no {kind} {name!r}{near}", name=name)


def how_to_install(extra: str) -> str:
    """The command that installs an extra: no index has a package of this name yet.

    >>> print(how_to_install("plot"))
    from a clone of bptt, pip install -c constraints.txt ".[plot]"
    """
    return f'from a clone of bptt, pip install -c constraints.txt ".[{extra}]"'


def not_installed(what: str, package: str, extra: str) -> str:
    """What to say where `what` needs a package that an extra brings."""
    return (
        f"{what} needs the package {package}, which is not installed: "
        f"{how_to_install(extra)}"
    )


@dataclass(frozen=True)
class Span:
    """A piece of one line of a cell's text: columns `start` to `end`, from zero.

    called: for a piece of a function's body, the call that it was read for.
    """

    line_number: int
    line: str
    start: int
    end: int
    called: Span | None = None

    def text_to(self, other: Span) -> str:
        """What stands between this and a later piece, without comments."""
        if self.line_number == other.line_number:
            return self.line[self.end : other.start]
        return self.line[self.end :].split("#")[0] + other.line[: other.start]

    @property
    def text(self) -> str:
        """The piece as it was written."""
        return self.line[self.start : self.end]

    def quote(self) -> str:
        """The line with a row of carets under the piece; a long line is cut."""
        end = min(max(self.end, self.start + 1), self.start + WIDTH)
        first = max(0, end - WIDTH) if end > WIDTH else 0
        before, after = ("…" if first else ""), ""
        if len(self.line) > first + WIDTH:
            after = "…"
        line = before + visible(self.line[first : first + WIDTH]) + after
        blank = " " * len(before) + _blank(self.line[first : self.start])
        carets = "^" * max(1, columns_of(self.line[self.start : end]))
        return f"    {line}\n    {blank}{carets}"


def visible(text: str) -> str:
    """The text with everything replaced that would not print as itself."""
    return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    wide = sum(east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(combining(c) != 0 for c in text)


def _blank(text: str) -> str:
    """White space as wide as the text: a tab stays a tab."""
    return "".join(c if c == "\t" else " " * columns_of(c) for c in text)


class CellError(BpttError):
    """A cell's text does not say a recurrent network.

    The message shows the line, a caret, what is wrong, the shapes known so far and
    the likely fix.
    """

    def __init__(
        self, span: Span | None, problem: str, *, fix: str = "", shapes: str = ""
    ) -> None:
        """Compose the message; `span` is None when no single line is at fault."""
        parts = []
        if span is not None:
            parts.append(f"line {span.line_number} of the cell:\n{span.quote()}")
            call = span.called
            while call is not None:
                parts.append(f"called on line {call.line_number}:\n{call.quote()}")
                call = call.called
        parts.append(problem)
        if shapes:
            parts.append(f"Shapes known so far: {shapes}")
        if fix:
            parts.append(f"Likely fix: {fix}")
        super().__init__("\n".join(parts))
        self.span = span
        self.problem = problem
        self.fix = fix


class CellSyntaxError(CellError):
    """The text is not an expression that Python's grammar knows."""


class UnsupportedSyntaxError(CellError):
    """Valid Python, but not part of the cell language."""


class UnknownOperationError(CellError):
    """A function is called that is not in the table of operations."""


class ArgumentCountError(CellError):
    """An operation is called with the wrong number or kind of arguments."""


class FunctionDefinitionError(CellError):
    """A line `name(names) = expression` does not say what its parameters are."""


class RecursiveFunctionError(CellError):
    """A function calls itself, so that replacing calls would never end."""


class UndefinedNameError(CellError):
    """A state is read that no equation defines."""


class UseBeforeDefinitionError(CellError):
    """`name[t]` is read above the line that defines it."""


class DuplicateDefinitionError(CellError):
    """Two equations, or two declarations, for one name."""


class FutureStepError(CellError):
    """A step later than t+1 is read."""


class DistantStepError(CellError):
    """A step earlier than t-1 is read."""


class TwoDirectionsError(CellError):
    """A value would have to wait for an earlier step and for a later one."""


class OutOfTimeError(CellError):
    """A value is read where it is not known yet, or has another step."""


class CellSizeError(CellError):
    """The text is far longer than any cell."""


class BareInputError(CellError):
    """A vector without `[t]` is multiplied by a parameter, as an input would be."""


class BareStateError(CellError):
    """A name that varies in time is read without `[t]` or `[t-1]`, or the reverse."""


class ReservedNameError(CellError):
    """A name that the language needs for itself is defined or declared."""


class RankError(CellError):
    """An operation is given a scalar, vector or matrix where it takes another."""


class ProductShapeError(CellError):
    """The two factors of a matrix product do not fit."""


class DimensionClashError(CellError):
    """One dimension would need two sizes."""


class DeclarationError(CellError):
    """A declaration is malformed, or contradicts the equations."""


class IndexDeclarationError(CellError):
    """An index is not declared as `j = 1, ..., n_head`."""


class IndexUseError(CellError):
    """An index stands where it cannot, or is missing where it must stand."""


class InnerStepError(CellError):
    """Inner steps, `s[t, l-1]`, that have no start, no number or no order."""


class IndexKindError(CellError):
    """An input is used both as an integer index and as a real vector."""


class LossShapeError(CellError):
    """`L[t]` is not a scalar."""


class UnsizedStateError(CellError):
    """A state has a dimension that no parameter and no input gives a size."""


class EmptyCellError(CellError):
    """The text holds no equation."""


class ArgumentError(BpttError):
    """An array or option given to a cell does not fit it."""


class MissingInputError(ArgumentError):
    """An input sequence that the equations read was not given."""


class UnexpectedNameError(ArgumentError):
    """An array was given under a name that the cell does not know."""


class MissingParameterError(ArgumentError):
    """A parameter of the cell was not given."""


class InputRankError(ArgumentError):
    """An array has the wrong number of axes."""


class SizeError(ArgumentError):
    """A named dimension has two sizes, or one that cannot be."""


class MissingSizeError(ArgumentError):
    """The size of a named dimension is needed and was not given."""


class DtypeError(ArgumentError):
    """An array has an element type that cannot be used in its place."""


class NotFiniteError(ArgumentError):
    """An array holds NaN."""


class EmptySequenceError(ArgumentError):
    """A sequence has no step, or a batch has no row."""


class IndexRangeError(ArgumentError):
    """A token or class lies outside its dimension."""


class UnknownNodeError(ArgumentError, KeyError):
    """A node, copy or gradient is asked for that the cell does not have.

    A KeyError, too, so that `in` and `.get` work on results.
    """

    def __str__(self) -> str:
        """The message as it is; a KeyError would print its `repr`."""
        return str(self.args[0])


class NoLossError(ArgumentError):
    """A gradient is asked of a cell without a loss, and nothing seeds it."""


class ReductionError(ArgumentError):
    """An unknown reduction of the loss, or weights that do not fit."""


class LengthsError(ArgumentError):
    """`lengths` are no whole numbers from 1 to tau, one for each row."""


class InitialValueError(ArgumentError):
    """A parameter's initial value cannot be made."""


class RateError(ArgumentError):
    """A rate of dropout or zoneout, or a deviation of noise, that cannot be."""


class LayerError(ArgumentError):
    """A cell cannot be a layer of a network: it has a loss, no input or no output."""


class StackSizeError(ArgumentError):
    """The sizes of two layers that are joined do not fit."""


class UnknownCellError(ArgumentError):
    """No cell of the library, and no file, has this name."""


class CellFileError(ArgumentError):
    """A cell file cannot be read."""


class ThreadsError(ArgumentError):
    """A number of threads that cannot be."""


class MemoryBudgetError(ArgumentError):
    """A number of bytes that says nothing, or in which a call cannot run.

    least: the bytes in which it can.
    """

    least: int | None = None


class SegmentError(ArgumentError):
    """Inputs that come in segments do not fit together, or cannot be kept in a file."""


class CheckpointError(ArgumentError):
    """A way to keep some states alone that does not exist, or not for this call.

    why: in a clause, what keeps this cell from every such way.
    """

    why: str | None = None


class TruncationError(ArgumentError):
    """Windows of truncated backpropagation that make no sense, or not here."""


class UnknownExecutorError(ArgumentError):
    """No executor has this name."""


class NotLowerableError(ArgumentError):
    """Kernels are asked of a cell that they have no form for."""


class FlowError(ArgumentError):
    """The flow of gradients is asked of what it is not measured for."""


class UnknownLayerError(ArgumentError):
    """What is to be imported is no recurrent layer that a cell exists for."""


class UntranslatableCellError(ArgumentError):
    """Another library has no layer for a cell."""


class MissingExtraError(BpttError, ImportError):
    """A part of the library needs packages that are not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(not_installed(what, package, extra))


class ForwardModeError(BpttError):
    """A framework asks for forward-mode differentiation, which is not offered."""


class SecondDerivativeError(BpttError):
    """A framework asks for the derivative of a gradient, which is not offered."""
