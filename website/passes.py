"""What each pass makes of one small cell, on the pages of docs/how-it-works.

    python website/passes.py      # writes the blocks of docs/how-it-works/*.md

Every block is one of SHOWN; blocks.py says how a page names it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill

import numpy as np
from blocks import write

from bptt import Cell
from bptt.calculus import bprop
from bptt.calculus.program import Program, Request, gradient_program
from bptt.calculus.simplify import simplify
from bptt.execute.codegen.kernel import Kernel, Module
from bptt.execute.codegen.target import lower_target
from bptt.execute.codegen.turns import full_turns, ragged_turns
from bptt.execute.compile.compiler import lay_out, lower_program
from bptt.execute.compile.expand import REDUCTIONS, expand
from bptt.execute.compile.generate import Generator
from bptt.execute.packing import pack_lengths
from bptt.language import parse_cell
from bptt.language.printer import ATOM, Writer
from bptt.language.syntax import parse_text
from bptt.step.graph import Node, name_of, walk
from bptt.step.shapes import show_shape

PAGES = Path(__file__).parent.parent / "docs/how-it-works"
TEXT = "h[t] = tanh(b + W @ h[t-1] + U @ x[t])\nL[t] = nll(softmax(V @ h[t]), y[t])"
SIZES = {"n_x": 20, "n_h": 32, "n_y": 24}
REAL = 4  # bytes of a float32
CARRY = "carry(h[-1])"  # what the loop back hands to the step before
ROTATED = ("grad(h)", CARRY)
WIDTH = 93  # signs of a line that website/assets/site.css makes room for
LOOPS = {0: "all steps at once", 1: "loop t = 1..tau", -1: "loop t = tau..1"}


# ----- nodes as text -----


@dataclass(frozen=True)
class Named(Writer):
    """Writes expressions of a program; what has a name is written by it."""

    names: Mapping[Node, str] = field(default_factory=dict)

    def bound(self, node: Node) -> tuple[str, int]:
        """The language's text, and a text for what only a program has."""
        if node in self.names:
            return self.names[node], ATOM
        if node.op == "weight":
            return "w[t]", ATOM
        if node.op in REDUCTIONS:
            return f"{node.op}({', '.join(map(self.text, node.inputs))})", ATOM
        return super().bound(node)


def show(node: Node, names: Mapping[Node, str]) -> str:
    """An expression in these names."""
    return Named(names=names).text(node)


def body(node: Node, names: dict[Node, str]) -> str:
    """The right side of the line that names a value."""
    return show(node, {other: n for other, n in names.items() if other is not node})


def names_of(roots: Mapping[str, Node]) -> dict[Node, str]:
    """The value of every equation, by its name."""
    names: dict[Node, str] = {}
    for name, root in roots.items():
        value = root.inputs[0] if root.op == "named" else root
        if value.inputs or value.op == "weight":
            names.setdefault(value, f"{name}[t]" if root.timed else name)
    return names


def add_name(names: dict[Node, str], node: Node) -> None:
    """Give a value that no equation names the next of p1, p2, ..."""
    if node not in names and node.op not in ("named", "transpose") and node.inputs:
        number = 1 + sum(name.startswith("p") for name in names.values())
        names[node] = f"p{number}[t]" if node.timed else f"p{number}"


def add_shared(names: dict[Node, str], nodes: Iterable[Node]) -> None:
    """Name what several of these nodes read."""
    readers = Counter(c for node in nodes for c in dict.fromkeys(node.inputs))
    for node, count in readers.items():
        if count > 1:
            add_name(names, node)


def lines(roots: Mapping[str, Node], own: Iterable[str] | None = None) -> str:
    """The named nodes as equations, with a line for what is read more than once.

    own: the names that get a line; all of them unless given.
    """
    names = names_of(roots)
    wanted = [names_of({n: roots[n]}).popitem() for n in own or roots]
    nodes = list(walk([node for node, _ in wanted]))
    add_shared(names, nodes)
    shared = [
        (node, name) for node, name in names.items()
        if name.startswith("p") and node in nodes
    ]  # fmt: skip
    return "\n".join(
        fill(f"{name} = {body(node, names)}", WIDTH, subsequent_indent="    ")
        for node, name in wanted + shared
    )


# ----- the passes -----


def tree(piece, depth: int = 1) -> list[str]:
    """A piece and what it is made of, with the columns where it stands."""
    data = "" if piece.data is None else f" {piece.data}"
    head = f"{'  ' * depth}{piece.op}{data}"
    own = f"{head:30} columns {piece.span.start}-{piece.span.end}"
    return [own, *(row for part in piece.arguments for row in tree(part, depth + 1))]


def parsed() -> str:
    """The tree of the first equation."""
    equation = parse_text(TEXT)[0][0]
    return "\n".join(
        [f"{equation.name}[{equation.when}] =", *tree(equation.expression)]
    )


def shaped() -> str:
    """Every node of the step and its shape."""
    found = [
        (show(node, {}), show_shape(node.shape))
        for node in walk(GRAPH.definitions.values())
        if node.op != "named"
    ]
    width = max(len(text) for text, _ in found)
    return "\n".join(f"{text:{width}}  {shape}" for text, shape in found)


def adjoint() -> str:
    """What back-propagation adds, as it is built."""
    seeds = {SIMPLE["L"]: Node("weight")}
    leaves = {
        name_of(node): node
        for node in walk(SIMPLE.values())
        if node.op in ("parameter", "input")
    }
    wanted = [node for node in leaves.values() if node.op == "parameter"]
    inputs = {name: node for name, node in leaves.items() if node.op == "input"}
    found = bprop.build_grad({**inputs, **SIMPLE}, seeds, wanted)
    totals = {f"∇{name}": node for name, node in found.totals.items()}
    roots = {**SIMPLE, **found.definitions, **totals}
    return lines(roots, [*found.definitions, *totals])


def names_in(program: Program) -> dict[Node, str]:
    """Names for equations, and for what another segment or several nodes read."""
    names = names_of(program.roots)
    home = {node: part for part in program.segments for node in part.nodes}
    readers: dict[Node, list[Node]] = {}
    for node in home:
        for child in dict.fromkeys(node.inputs):
            readers.setdefault(child, []).append(node)
    for node, part in home.items():
        found = readers.get(node, [])
        is_elsewhere = node.timed and any(home[r] is not part for r in found)
        if is_elsewhere or len(found) > 1:
            add_name(names, node)
    return names


def ordered(program: Program, only: int | None = None) -> str:
    """The segments, or those of one direction, each a heading and its lines."""
    names = names_in(program)
    rows = []
    for segment in program.segments:
        if only not in (None, segment.direction):
            continue
        rows.append(LOOPS[segment.direction])
        rows += [
            f"  {names[node]} = {body(node, names)}"
            for node in segment.nodes
            if node in names
        ]
    return "\n".join(rows)


def placed() -> str:
    """The buffers and what lies in them."""
    lowered, _, layout = lay_out(PROGRAM, SIZES, REAL)
    names = names_in(lowered)
    rows = []
    for number, buffer in enumerate(layout.buffers):
        held = [
            f"columns {place.column}-{place.column + place.width}: {show(node, names)}"
            for node, place in layout.places.items()
            if place.buffer == number
        ]
        steps = "tau + 2 steps" if buffer.is_padded else "tau steps"
        rows.append(f"m{number}: {steps}, {buffer.stride} float32 a row")
        rows += [f"  {text}" for text in held]
    return "\n".join(rows)


def emitted() -> str:
    """LLVM's text for the epilogue of the loop back, for 16-byte vectors."""
    _, plan, layout = lay_out(PROGRAM, SIZES, REAL)
    generator = Generator(plan, layout)
    module = Module(tuple(generator.collect_names()), lower_target("sse2"), REAL)
    number = next(n for n, s in enumerate(plan.segments) if s.direction == -1)
    module.add_kernel(Kernel(f"segment_{number}", generator.stages(number)))
    text = str(module.module)
    name = f'@"segment_{number}_0_epilogue"'
    function = next(f for f in text.split("\n\n") if name in f and "define" in f)
    body = max(re.split(r"\n(?=[\w.]+:\n)", function), key=len)
    # A constant vector says its number four times.
    return re.sub(r"<(float +\S+)(?:, \1)+>", r"splat(\1)", body).replace('"', "")


def stages() -> str:
    """The plan's stages, as `Cell.lower` shows them."""
    text = str(Cell(TEXT).lower(**SIZES))
    return "\n".join(text.splitlines()[1:-1])


def turns(lengths: list[int] | None) -> str:
    """The turns of a loop back over a batch of three rows, in rows of packed memory."""
    if lengths is None:
        numbers = full_turns(4, 3, -1)
    else:
        packing = pack_lengths(np.array(lengths), 4, 3, True)
        numbers = ragged_turns(packing, -1, packing.n_rows)
    head = ("step", "begin", "end", "before", "now", "after")
    rows = [head, *([row[0] + 1, *row[1:]] for row in numbers)]
    return "\n".join("".join(f"{entry!s:>8}" for entry in row) for row in rows)


GRAPH = parse_cell(TEXT)
SIMPLE = simplify(GRAPH.definitions)
PROGRAM = gradient_program(GRAPH, Request())
EXPANDED = expand(PROGRAM.unordered, SIZES)
LOWERED = lower_program(PROGRAM, SIZES)
SHOWN = {
    "text": lambda: TEXT,
    "tree": parsed,
    "shapes": shaped,
    "step": lambda: lines(GRAPH.definitions),
    "simple": lambda: lines(SIMPLE),
    "adjoint": adjoint,
    "program": lambda: lines(PROGRAM.unordered),
    "order": lambda: ordered(PROGRAM),
    "composite": lambda: lines(PROGRAM.unordered, ["L"]),
    "primitive": lambda: lines(EXPANDED, ["L"]),
    "carried": lambda: lines(EXPANDED, ROTATED),
    "rotated": lambda: lines(LOWERED.roots, (*ROTATED, f"{CARRY}.g0")),
    "lowered": lambda: ordered(LOWERED),
    "back": lambda: ordered(LOWERED, -1),
    "stages": stages,
    "layout": placed,
    "code": emitted,
    "full": lambda: turns(None),
    "ragged": lambda: turns([2, 4, 1]),
}


if __name__ == "__main__":
    write(sorted(PAGES.glob("*.md")), SHOWN)
