"""The step as a C99 header: no dependency but math.h, no memory but the caller's."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from bptt.step.graph import Node
from bptt.step.shapes import Array
from bptt.train.errors import ExportError
from bptt.train.export.single_step import ALIASES, SingleStep, Units

ELEMENTWISE = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "pow": "powf({0}, {1})", "neg": "-{0}", "maximum": "fmaxf({0}, {1})",
    "minimum": "fminf({0}, {1})", "greater": "(float)({0} > {1})",
    "greater_equal": "(float)({0} >= {1})", "where": "({0} != 0 ? {1} : {2})",
    "tanh": "tanhf({0})", "sigmoid": "NAME_sigmoid({0})",
    "relu": "({0} <= 0 ? 0 : {0})", "softplus": "NAME_softplus({0})",
    "exp": "expf({0})", "log": "logf({0})", "sqrt": "sqrtf({0})", "sin": "sinf({0})",
    "cos": "cosf({0})", "abs": "fabsf({0})", "sign": "(float)(({0} > 0) - ({0} < 0))",
    "floor": "floorf({0})", "round": "rintf({0})", "expm1": "expm1f({0})",
    "erf": "erff({0})",
}  # fmt: skip
HELPERS = """\
static inline float NAME_sigmoid(float x) {
  float d = expf(x >= 0 ? -x : x);
  return (x >= 0 ? 1.0f : d) / (1.0f + d);
}
static inline float NAME_softplus(float x) {
  return (x >= 0 ? x : 0.0f) + log1pf(expf(x >= 0 ? -x : x));
}
static inline float NAME_largest(const float *x, int n) {
  float m = x[0];
  for (int i = 1; i < n; i++) m = fmaxf(m, x[i]);
  return m;
}
static inline float NAME_logsumexp(const float *x, int n) {
  float m = NAME_largest(x, n), s = 0;
  for (int i = 0; i < n; i++) s += expf(x[i] - m);
  return m + logf(s);
}
"""


def c_header(step: SingleStep, name: str = "bptt") -> str:
    """The text of a header with NAME_state, NAME_begin and NAME_step.

    NAME_step reads one x (n_x floats, or a token) and writes its prediction:
    probabilities of classes, probabilities of ones, or real numbers.
    Raises: ExportError for an operation that has no line here.
    """
    lines = _Lines(step)
    for node in step.nodes:
        lines.add(node)
    out = lines.of(step.o)
    units = "" if step.y_units is None else _in_units(step.y_units, lines)
    n_o = prod(step.shape(step.o))
    x = "int x" if step.x_is_token else "const float *x"
    fields = "".join(f"  float {n}[{prod(s)}];\n" for n, (_, s) in step.states.items())
    kept = "".join(
        f"  float next_{n}[{prod(s)}];\n"
        f"  for (int i = 0; i < {prod(s)}; i++) next_{n}[i] = {lines.of(node)}[i];\n"
        for n, (node, s) in step.states.items()
    )
    moved = "".join(
        f"  for (int i = 0; i < {prod(s)}; i++) state->{n}[i] = next_{n}[i];\n"
        for n, (_, s) in step.states.items()
    )
    text = (
        "/* One step of a trained recurrent network, written by bptt export.\n"
        "   NAME_begin sets the state of a new sequence; NAME_step reads one x\n"
        "   and writes one prediction. Link with -lm. */\n"
        "#ifndef NAME_H\n#define NAME_H\n#include <math.h>\n#include <string.h>\n\n"
        f"#define NAME_N_X {step.n_x}\n#define NAME_N_O {n_o}\n"
        f"typedef struct {{\n{fields}}} NAME_state;\n\n"
        f"{HELPERS}\n{lines.tables()}\n"
        "static inline void NAME_begin(NAME_state *state) {\n"
        "  memset(state, 0, sizeof *state);\n}\n\n"
        f"static inline void NAME_step(NAME_state *state, {x}, float *prediction) {{\n"
        f"{lines.body()}{kept}{moved}{_link(step.link, out, n_o)}{units}}}\n#endif\n"
    )
    return text.replace("NAME_H", f"{name.upper()}_H").replace("NAME", name)


def _in_units(units: Units, lines: "_Lines") -> str:
    mean, scale = map(lines.table, units)
    return (
        f"  for (int i = 0; i < {units[0].size}; i++) "
        f"prediction[i] = prediction[i] * {scale}[i] + {mean}[i];\n"
    )


def _link(link: str | None, out: str, n: int) -> str:
    each = f"  for (int i = 0; i < {n}; i++) prediction[i] = "
    if link == "softmax":
        total = f"  float total = NAME_logsumexp({out}, {n});\n"
        return f"{total}{each}expf({out}[i] - total);\n"
    if link == "sigmoid":
        return f"{each}NAME_sigmoid({out}[i]);\n"
    return f"{each}{out}[i];\n"


class _Lines:
    """Names of nodes, tables of constants, and the lines of the step."""

    def __init__(self, step: SingleStep) -> None:
        self._step = step
        self._names: dict[Node, str] = {
            n: f"state->{s}" for n, s in step.before.items()
        }
        if step.x is not None:
            self._names[step.x] = "x" if step.x_units is None else "x_read"
        self._tables: list[str] = []
        self._body: list[str] = []
        if step.x_units is not None:
            mean, scale = (self.table(one) for one in step.x_units)
            each = f"x_read[i] = (x[i] - {mean}[i]) / {scale}[i];"
            self._body.append(f"float x_read[{step.n_x}];")
            self._body.append(f"for (int i = 0; i < {step.n_x}; i++) {each}")

    def of(self, node: Node) -> str:
        """The name of a node's array; a constant becomes a table when first read."""
        if node not in self._names:
            self._names[node] = self.table(self._step.constants[node])
        return self._names[node]

    def table(self, values: Array) -> str:
        """The name of a new table of constants."""
        name = f"NAME_c{len(self._tables)}"
        listed = ", ".join(_literal(v) for v in values.ravel())
        self._tables.append(f"static const float {name}[{values.size}] = {{{listed}}};")
        return name

    def tables(self) -> str:
        """The constants."""
        return "\n".join(self._tables) + "\n"

    def body(self) -> str:
        """The lines."""
        return "".join(f"  {line}\n" for line in self._body)

    def add(self, node: Node) -> None:
        """The lines of one node."""
        if node.op in ALIASES:
            self._names[node] = self.of(node.inputs[0])
            return
        shape = self._step.shape(node)
        me, n = f"v{len(self._names)}", prod(shape)
        self._body.append(f"float {me}[{n}];")
        loop = f"for (int i = 0; i < {n}; i++) "
        names = [self.of(child) for child in node.inputs]
        if node.op in ELEMENTWISE:
            read = [
                f"{name}[{'i' if prod(self._step.shape(child)) > 1 else 0}]"
                for name, child in zip(names, node.inputs, strict=True)
            ]
            text = ELEMENTWISE[node.op].format(*read)
            self._body.append(f"{loop}{me}[i] = {text};")
        elif node.op in OTHERS:
            inner = [self._step.shape(child) for child in node.inputs]
            self._body.extend(OTHERS[node.op](me, names, inner, shape, node))
        else:
            raise ExportError(node.op, "this operation has no line of C yet")
        self._names[node] = me


Shape = tuple[int, ...]
Shapes = list[Shape]
Rule = Callable[[str, list[str], Shapes, Shape, Node], list[str]]


def _sum(me: str, n: Shapes, term: str) -> list[str]:
    loop = f"for (int j = 0; j < {prod(n[0])}; j++)"
    return [f"{me}[0] = 0;", f"{loop} {me}[0] += {term};"]


def _matvec(me: str, v: list[str], n: Shapes, _s: Shape, _n: Node) -> list[str]:
    rows, columns = n[0]
    term = f"{v[0]}[i * {columns} + j] * {v[1]}[j]"
    return [
        f"for (int i = 0; i < {rows}; i++) {{",
        "  float s = 0;",
        f"  for (int j = 0; j < {columns}; j++) s += {term};",
        f"  {me}[i] = s;",
        "}",
    ]


def _matmul(me: str, v: list[str], n: Shapes, _s: Shape, _n: Node) -> list[str]:
    (rows, inner), columns = n[0], n[1][1]
    term = f"{v[0]}[i * {inner} + j] * {v[1]}[j * {columns} + k]"
    return [
        f"for (int i = 0; i < {rows}; i++) for (int k = 0; k < {columns}; k++) {{",
        "  float s = 0;",
        f"  for (int j = 0; j < {inner}; j++) s += {term};",
        f"  {me}[i * {columns} + k] = s;",
        "}",
    ]


def _layer_norm(
    me: str, v: list[str], _n: Shapes, shape: Shape, node: Node
) -> list[str]:
    size = shape[-1]
    eps: Any = node.data
    loop, centred = f"for (int j = 0; j < {size}; j++)", f"({v[0]}[j] - m)"
    return [
        "{",
        "  float m = 0, q = 0;",
        f"  {loop} m += {v[0]}[j] / {size};",
        f"  {loop} q += {centred} * {centred} / {size};",
        f"  {loop} {me}[j] = {centred} / sqrtf(q + {_literal(np.float32(eps))});",
        "}",
    ]


def _vector(text: str) -> Rule:
    """A rule whose line has {me}, {a}, {b}, {n} (size of a), {m} (of the result)."""

    def rule(me: str, v: list[str], n: Shapes, shape: Shape, _: Node) -> list[str]:
        first = n[0] or (1,)
        return [
            text.format(
                me=me, a=v[0], b=v[-1], n=prod(first), m=prod(shape),
                rows=first[0], columns=first[-1], last=(shape or (1,))[-1],
            )
        ]  # fmt: skip

    return rule


OTHERS: Mapping[str, Rule] = {
    "matvec": _matvec,
    "matmul": _matmul,
    "layer_norm": _layer_norm,
    "dot": lambda me, v, n, _s, _n: _sum(me, n, f"{v[0]}[j] * {v[1]}[j]"),
    "sum": lambda me, v, n, _s, _n: _sum(me, n, f"{v[0]}[j]"),
    "mean": lambda me, v, n, _s, _n: _sum(me, n, f"{v[0]}[j] / {prod(n[0])}"),
    "fill": _vector("for (int i = 0; i < {m}; i++) {me}[i] = {a}[0];"),
    "max": _vector("{me}[0] = NAME_largest({a}, {n});"),
    "logsumexp": _vector("{me}[0] = NAME_logsumexp({a}, {n});"),
    "softmax": _vector(
        "{{ float s = NAME_logsumexp({a}, {n}); "
        "for (int i = 0; i < {n}; i++) {me}[i] = expf({a}[i] - s); }}"
    ),
    "log_softmax": _vector(
        "{{ float s = NAME_logsumexp({a}, {n}); "
        "for (int i = 0; i < {n}; i++) {me}[i] = {a}[i] - s; }}"
    ),
    "cumsum": _vector(
        "{{ float s = 0; for (int i = 0; i < {n}; i++) {me}[i] = s += {a}[i]; }}"
    ),
    "outer": _vector(
        "for (int i = 0; i < {n}; i++) for (int j = 0; j < {last}; j++) "
        "{me}[i * {last} + j] = {a}[i] * {b}[j];"
    ),
    "transpose": _vector(
        "for (int i = 0; i < {rows}; i++) for (int j = 0; j < {columns}; j++) "
        "{me}[j * {rows} + i] = {a}[i * {columns} + j];"
    ),
    "lookup": _vector(
        "for (int i = 0; i < {m}; i++) {me}[i] = {a}[i * {columns} + {b}];"
    ),
    "one_hot": _vector("for (int i = 0; i < {m}; i++) {me}[i] = (float)(i == {a});"),
}


def _literal(value: Array | np.floating) -> str:
    text = f"{float(value):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")
