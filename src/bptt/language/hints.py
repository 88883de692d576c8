"""What a person may have meant by what the language does not have.

Each hint is for a line that is refused anyway: it says the same in the person's terms,
at the place that they can see, with what to write instead.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Collection

from bptt.language.numbers import whole

STACKED = (
    "vectors are put together as `[h[t-1]; x[t]]`; a product with them is also the sum "
    "of two products, `W @ h[t-1] + U @ x[t]`"
)
# Names of other libraries that no operation here has.
CALLS_INSTEAD = {
    "cumprod": "a product over the steps so far is a state, `p[t] = p[t-1] * x[t]`",
    "matmul": "`A @ u`",
    "mm": "`A @ u`",
    "einsum": "products `A @ u`, `outer(u, v)`, `dot(u, v)`",
    "transpose": "`A.T`",
    "pow": "`u ** v`",
    "square": "`u ** 2`",
    "multiply": "`u * v`",
    "add": "`u + v`",
    "detach": "`stop_gradient(u)`",
    "cross_entropy": "`nll(softmax(o[t]), y[t])`",
    "one_hot": "a column of the matrix, `U[:, x[t]]`, is its product with a one-hot "
    "vector",
    "embedding": "`E[:, x[t]]`, the column of a token",
    "dropout": "declare a mask that is drawn, `m: n_h = dropout(0.5)`, and multiply by "
    "m[t]",
    "zeros": "a number stands for a vector of it, `h[0] = 0`; `fill(0, n_h)` is one",
    "ones": "a number stands for a vector of it, `h[0] = 1`; `fill(1, n_h)` is one",
    **dict.fromkeys(("logistic", "sigm"), "`sigmoid(u)`"),
    **dict.fromkeys(("LN", "layernorm", "LayerNorm"), "`layer_norm(u)`"),
    "ln": "`log(u)`",
    "tan": "`sin(u) / cos(u)`",
    "sinh": "`(exp(u) - exp(-u)) / 2`",
    "cosh": "`(exp(u) + exp(-u)) / 2`",
    "trace": "`sum(diagonal(A))`",
    "var": "`mean((u - mean(u)) ** 2)`",
    "std": "`sqrt(mean((u - mean(u)) ** 2))`",
    "len": "the size of the vector u is `n_u`, of the sequence `tau`",
    "σ": "`sigmoid(u)`",
    "batch_norm": "`layer_norm(u)`: a row of a batch never reads another",
    **dict.fromkeys(("random", "rand", "randn", "normal", "uniform", "bernoulli"),
                    "declare an input that is drawn, `e: n_h = normal(0.1)`, and read "
                    "e[t]"),
    **dict.fromkeys(("concat", "concatenate", "cat", "hstack", "vstack"),
                    STACKED),
}  # fmt: skip
# Signs of print that a keyboard has no key for, and what the language writes.
SIGNS = {
    "·": "`*` element by element, `@` for a product with a matrix",
    "×": "`*` element by element, `@` for a product with a matrix",
    "⊙": "`*`", "∘": "`*`", "∗": "`*`", "−": "`-`", "–": "`-`", "÷": "`/`",
    "≤": "`<=`", "≥": "`>=`", "²": "`** 2`", "³": "`** 3`", "⊤": "`.T`",
    "‖": "`norm(u)`", "∥": "`norm(u)`",
    "′": "another name, such as h_1", "√": "`sqrt(u)`", "∑": "`sum(u)`",
    "σ": "`sigmoid(u)`",
}  # fmt: skip
# What the last step is called elsewhere.
LAST_STEP = frozenset({"T", "N", "n", "n_t", "t_max", "tmax", "end", "last"})
# Letters that Python reads as plain ones: `Wᵀ` would be a parameter WT, `hₜ` one ht.
RAISED = {"ᵀ": "`.T`", "ₜ": "`[t]`"}
NAMED = sorted({*keyword.kwlist} - {"True", "False", "None"})
_WORD = re.compile(rf"(?<![\w.])({'|'.join(NAMED)})(?!\w)")
_CALLED_STEP = re.compile(
    r"\b([^\W\d]\w*)\s*(?:\^\s*)?[({]+\s*(t\s*(?:[+-]\s*\d+)?)\s*\)"
)
_SIZES = re.compile(r"^\s*([^\W\d]\w*)\s*:\s*(\w+) *(?: x |[*×]| by ) *(\w+)\s*$")
_RANGE = re.compile(
    r"=.*,\s*(?:for\s+)?(?!t\b|tau\b)([^\W\d]\w*) *(?:=|in) *(-?\d+)[ ,.:…]+(\w+)\s*$"
)
_PRIMED = re.compile(r"[\w\])]'")
_BESIDE = re.compile(r"(?<![\w.\]])((?:[^\W\d]\w*(?:\[[^\[\]]*\])?|\d+(?:\.\d+)?)) +"
                     r"([^\W\d]\w*(?:\[[^\[\]]*\])?)")  # fmt: skip
_BRACED = re.compile(r"\b([^\W\d]\w*?)_\{([^}]*)\}")

Hint = tuple[int, str, str]  # where in the line, the problem, the fix


def of_line(line: str, column: int) -> Hint | None:
    """What a line that the grammar refuses at a column may have meant."""
    code = line.split("#", 1)[0]
    return (
        _sizes(code) or _range(code) or _sign(code) or _braces(code)
        or _stacked(code, column) or _bars(code) or _called(code)
        or _word(code) or _prime(code) or _side_by_side(code, column)
    )  # fmt: skip


def raised(code: str) -> Hint | None:
    """`Wᵀ` and `hₜ`, which the grammar reads as names of other letters."""
    for place, character in enumerate(code.split("#", 1)[0]):
        if character in RAISED:
            problem = f"{character} is not a letter of a name"
            return place, problem, f"write {RAISED[character]}"
    return None


def reserved_word(line: str) -> str:
    """The word of the grammar that a refused line uses as a name; "" for none."""
    code = line.split("#", 1)[0]
    found = _WORD.search(code)
    return found.group(1) if found and of_line(line, 0) == _word(code) else ""


def _sign(code: str) -> Hint | None:
    for place, character in enumerate(code):
        if character in SIGNS and not character.isidentifier():
            problem = f"{character} is not a sign of the language"
            return place, problem, f"write {SIGNS[character]}"
    return None


def _sizes(code: str) -> Hint | None:
    """`W: n_h x n_x`."""
    found = _SIZES.search(code)
    if found is None:
        return None
    name, rows, columns = found.groups()
    problem = "the sizes of a matrix stand in brackets"
    return found.start(2), problem, f"{name}: ({rows}, {columns})"


def _range(code: str) -> Hint | None:
    """`..., j = 1..4` behind an equation."""
    found = _RANGE.search(code)
    if found is None or ";" in code:
        return None
    index, first, last = found.groups()
    problem = "an index is declared by itself, on a line or behind a `;`"
    return found.start(1), problem, f"`{index} = {first}, ..., {last}`"


def _braces(code: str) -> Hint | None:
    found = _BRACED.search(code)
    if found is None:
        return None
    name, step = found.groups()
    return found.start(), "a step is written in square brackets", f"{name}[{step}]"


def _stacked(code: str, column: int) -> Hint | None:
    """`[h; x]`: the `;` at the column stands inside a bracket."""
    if code[column : column + 1] != ";":
        return None
    opened = []
    for place, character in enumerate(code[:column]):
        if character in "([{":
            opened.append(place)
        elif character in ")]}" and opened:
            opened.pop()
    if not opened:
        return None
    return opened[-1], "a `;` inside this bracket", STACKED


def _bars(code: str) -> Hint | None:
    place = code.find("|")
    if place < 0 or code.count("|") % 2:
        return None
    inner = code[place + 1 : code.find("|", place + 1)]
    return place, "an absolute value is written as a call", f"abs({inner.strip()})"


def _called(code: str) -> Hint | None:
    found = _CALLED_STEP.search(code)
    if found is None:
        return None
    name, step = found.groups()
    return found.start(), "a step is written in square brackets", f"{name}[{step}]"


def _word(code: str) -> Hint | None:
    found = _WORD.search(code)
    if found is None:
        return None
    word = found.group(1)
    other = " or λ" if word == "lambda" else ""
    problem = f"{word} is a word of the grammar and cannot name anything"
    return found.start(), problem, f"another name, such as {word}_1{other}"


def _prime(code: str) -> Hint | None:
    found = _PRIMED.search(code)
    if found is None:
        return None
    fix = "`A.T`, of two vectors `dot(u, v)`; a name has no prime, write h_1"
    return found.end() - 1, "a transpose is written `.T`", fix


def _side_by_side(code: str, column: int) -> Hint | None:
    every = _BESIDE.finditer(code)
    found = next((f for f in every if f.start() <= column <= f.end()), None)
    if found is None:
        return None
    a, b = found.groups()
    problem = f"nothing stands between {a} and {b}"
    fix = f"`{a} * {b}` element by element"
    if not a[0].isdigit():
        fix = f"`{a} @ {b}` for a matrix and what it multiplies, {fix}"
    return found.start(2), problem, fix


def declared_index(place: str) -> str:
    """What to do about an index that no line declares."""
    return f"declare the index, `{place} = 1, ..., n_{place}`"


def step_fix(name: str, node: ast.Subscript, show: Callable[[ast.AST], str]) -> str:
    """What may stand in `name[...]` instead of what is no step."""
    step = node.slice
    if isinstance(step, ast.Name):  # an index that no line declares
        first = (
            f"{name}[tau] for the last step" if step.id in LAST_STEP else f"{name}[t]"
        )
        return f"{first}, or {declared_index(step.id)}"
    if isinstance(step, ast.Tuple):
        return element_fix(node, show)
    if whole(step) == -1:
        return f"{name}[tau] for the last step, {name}[t-1] for the one before"
    fix = f"{name}[t] or {name}[t-1]; a value before the first step is given with the "
    fix += f"call, `initial={{'{name}': ...}}`"
    if isinstance(step, ast.Constant):
        fix += f"; an element of a vector is {element_fix(node, show)}"
    return fix


def alone(node: ast.expr, known: Collection[str]) -> str:
    """`tanh(u)` for `np.tanh`, `sum(h[t])` for `h[t].sum`; "" for what nothing is."""
    if not isinstance(node, ast.Attribute):
        return ""
    if node.attr not in known:
        return CALLS_INSTEAD.get(node.attr, "")
    is_read = isinstance(node.value, ast.Subscript) and isinstance(
        node.value.value, ast.Name
    )
    return f"`{node.attr}({ast.unparse(node.value) if is_read else 'u'})`"


def element_fix(node: ast.expr, show: Callable[[ast.AST], str]) -> str:
    """How the language writes the element, or the part, that Python's bracket reads."""
    general = "a vector's elements 2 to 4, counted from 1, are `u[2, ..., 4]`"
    if not isinstance(node, ast.Subscript):
        return f"one node for each equation; {general}"
    *steps, last = (
        node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    )
    value = show(node.value).strip("`")
    if any(isinstance(part, ast.Subscript) for part in steps):
        parts = "; ".join(show(part).strip("`") for part in (*steps, last))
        return f"`{value} @ [{parts}]`, a matrix times vectors put together"
    if isinstance(last, ast.Name) and last.id not in ("t", "tau"):
        return declared_index(last.id)
    bounds = _bounds(last)
    if bounds is None or any(
        isinstance(step, ast.Constant | ast.Slice) for step in steps
    ):
        return general
    places = ", ".join(
        [*(show(step).strip("`") for step in steps), bounds[0], "...", bounds[1]]
    )
    if isinstance(last, ast.Slice):
        return f"`{value}[{places}]`, counted from 1"
    return f"`sum({value}[{places}])`, counted from 1"


def _bounds(node: ast.expr) -> tuple[str, str] | None:
    """First and last element, counted from 1, of a number or of Python's a:b."""
    ends = [node.lower, node.upper] if isinstance(node, ast.Slice) else [node, node]
    values = [end.value for end in ends if isinstance(end, ast.Constant)]
    numbers = [value for value in values if type(value) is int]
    if len(numbers) < 2:
        return None
    first, last = numbers
    if isinstance(node, ast.Slice):
        return str(first + 1), str(last)
    return str(first or 1), str(last or 1)  # 0 is the first one elsewhere
