"""Random cases: several loops both ways, and every combination of what is asked.

Equations stand in blocks. A block runs forward (its nodes read each other at t-1),
backward (at t+1) or holds no loop; a later block may read an earlier one at t and at
the step of each name's way. So every cell that is written is one that bptt promises to
run.
"""

from __future__ import annotations

import random
import re

from tests.fuzz.case import INNER, NAME, Case, Equation
from tests.fuzz.forms import (
    after_time,
    both_losses,
    chosen_by_itself,
    delayed,
    held,
    indexed,
    inner_count,
    inner_steps,
    starts,
)
from tests.fuzz.grammar import Dims, Writer
from tests.fuzz.places import NUMBERS_AT_PLACES, elements, numbers, taps, two_indices

SMALL = (1, 2, 2, 3, 3, 4, 5)
EDGES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33)
SUMS = ("n_p+n_q", "n_p+n_q", "n_q+n_p", "n_p+1", "n_q+n_q")
SQUASHES = ("tanh({0})", "sigmoid({0})", "sin({0})", "{0}", "{0}", "relu({0})")
FACTORS = ("0.5", "-0.7", "0.9")
NAME_OF_SIZE = re.compile(r"\bn_[a-z]\b")
FORMS = ("squash", "squash", "linear", "linear", "matrix", "carry", "rename")


def generate(seed: int) -> Case:
    """The case of a seed: the same in every process."""
    rng = random.Random(seed)  # noqa: S311  (cells, not secrets)
    dims = tuple(f"n_{letter}" for letter in "pqr"[: rng.choice((1, 2, 2, 3))])
    more = (rng.choice(SUMS),) if rng.random() < 0.35 else ()
    more += (rng.choice(("2", "3")),) if rng.random() < 0.2 else ()
    more = tuple(d for d in more if {*d.split("+")} <= {*dims, "1", "2", "3"})
    builder = _Builder(Writer(rng, dims + more), rng)
    equations = builder.equations()
    sizes = {dim: rng.choice(SMALL) for dim in dims}
    if rng.random() < 0.35:
        sizes[rng.choice(dims)] = rng.choice(EDGES)
    return _call(builder, equations, sizes, seed)


class _Builder:
    """Writes the equations of one cell."""

    def __init__(self, writer: Writer, rng: random.Random) -> None:
        self.w, self.rng = writer, rng
        self.count = 0

    def equations(self) -> tuple[Equation, ...]:
        """Blocks, then a loss or none, then what inference or a call would miss."""
        written: list[Equation] = []
        for _ in range(self.rng.choice((1, 1, 2, 2, 3))):
            written += self.block()
        self.w.peers = []
        for form in (indexed, inner_steps, held, chosen_by_itself):
            if self.rng.random() < 0.12:
                written += form(self.w)
        for form in (two_indices, numbers, taps, elements):
            if self.rng.random() < 0.06:
                written += form(self.w)
        written = starts(self.w, written) + written
        if self.rng.random() < 0.2:
            written += after_time(self.w)
        elif self.rng.random() < 0.8:
            self.w.lagged = [n for n in self.w.now if self.rng.random() < 0.3]
            self.w.names.shapes["L"], self.w.names.kinds["L"] = (), "node"
            self.w.names.ways["L"] = -1
            written += both_losses(self.w, self.loss())
        return self.complete(delayed(self.rng, written))

    def block(self) -> list[Equation]:
        """Some equations that run one way."""
        w, rng = self.w, self.rng
        way = rng.choice((-1, -1, -1, 1, 1, 0))
        earlier = list(w.now)
        peers = [self.new_node(way) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
        written = []
        for name in peers:
            lagged = peers if way else [n for n in peers if n in w.now]
            w.lagged = lagged + [n for n in earlier if rng.random() < 0.5]
            w.peers = peers
            written.append(Equation(name, self.right(name, is_loop=bool(way))))
            w.now.append(name)
        return written

    def new_node(self, way: int) -> str:
        """A name, its shape and the way it is carried."""
        rank = self.rng.choice((1, 1, 1, 1, 0, 2 if self.w.has_matrices else 0))
        shape = tuple(self.w.dim() for _ in range(rank))
        name = f"{'shP'[rank]}{self.count}"
        self.count += 1
        self.w.names.shapes[name], self.w.names.kinds[name] = shape, "node"
        self.w.names.ways[name] = way or self.rng.choice((-1, 1))
        return name

    def right(self, name: str, *, is_loop: bool) -> str:
        """The right side of a node: squashed, linear, a name or of parameters."""
        w, rng = self.w, self.rng
        shape = w.names.shapes[name]
        own = f"{name}[t{w.names.ways[name]:+d}]"
        form = rng.choice(FORMS)
        depth = rng.choice((0, 1, 1, 2, 2, 3))
        if form == "carry":
            known = [read for read in w.nodes(shape) if not read.endswith("[t]")]
            return rng.choice(known) if known else w.leaf(shape)
        if form == "rename":
            known = [read for read in w.nodes(shape) if read.endswith("[t]")]
            return rng.choice(known) if known else w.leaf(shape)
        if not is_loop and rng.random() < 0.25:
            return w.fixed(shape, depth + 1)
        text = w.expression(shape, depth)
        if is_loop and form == "linear":
            return f"{self.factor(shape)} * {own} + {text}"
        if is_loop and form == "matrix" and shape:
            square = w.parameter((shape[0], shape[0]))
            return f"{square} @ {own} + {text}"
        if is_loop and rng.random() < 0.5:
            text = f"0.5 * {own} + {text}"
        if rng.random() < 0.4:
            text = f"{text} + 0.3 * {w.parameter(shape)}"
        return rng.choice(SQUASHES).format(text)

    def factor(self, shape: Dims) -> str:
        """What a linear state is multiplied by: a number, a parameter or a gate."""
        w = self.w
        options = (
            lambda: self.rng.choice(FACTORS),
            lambda: f"sigmoid({w.parameter(w.pick((shape, ())))})",
            lambda: f"sigmoid({w.expression(w.pick((shape, ())), 1)})",
            lambda: f"(1 - sigmoid({w.input(w.pick((shape, ())))}))",
            lambda: w.parameter(()),
        )
        return self.rng.choice(options)()

    def loss(self) -> str:
        """A scalar; most of the time a loss on some node."""
        w = self.w
        if self.rng.random() < 0.4:
            return w.expression((), 3)
        vectors = [n for n in w.now if len(w.names.shapes[n]) == 1]
        if not vectors:
            return w.expression((), 2)
        name, q = self.rng.choice(vectors), w.dim()
        o = f"{w.parameter((q, *w.names.shapes[name]))} @ {name}[t]"
        if self.rng.random() < 0.5:
            o = f"{w.parameter((q,))} + {o}"
        forms = (
            lambda: f"nll(softmax({o}), {w.index(q)})",
            lambda: f"nll(softmax({o}), {w.target((q,))})",
            lambda: f"bce(sigmoid({o}), {w.target((q,))})",
            lambda: f"mse({o}, {w.input((q,))})",
            lambda: f"0.1 * sum(({o}) ** 2)",
        )
        return self.rng.choice(forms)()

    def complete(self, written: list[Equation]) -> tuple[Equation, ...]:
        """Read what must be read at t, and give every dimension a parameter."""
        names, extra = self.w.names, []
        text = "\n".join(equation.right for equation in written)
        unread = [n for n in names.ways if f"{n}[t" in text and f"{n}[t]" not in text
                  and f"{n}[t, j]" not in text]  # fmt: skip
        for name in unread:
            if names.kinds[name] == "index":
                dim = names.counts[name]
                extra.append(f"sum({self.w.parameter((dim, dim))}[:, {name}[t]])")
            if names.kinds[name] == "input":
                extra.append(f"sum(sin({name}[t]))" if names.shapes[name]
                             else f"{name}[t]")  # fmt: skip
        inputs = [n for n, k in names.kinds.items() if k in ("input", "index")]
        if not any(f"{name}[t" in text for name in inputs):
            extra.append(f"sum({self.w.target(self.w.dims[:1])})")
        read = {*NAME.findall(text)}
        given = {d for n, s in names.shapes.items()
                 if names.kinds[n] != "node" and n in read for d in s}  # fmt: skip
        missing = [dim for dim in self.w.dims if dim not in given]
        extra += [f"sum(cos({self.w.parameter((dim,))}))" for dim in missing]
        for number, text in enumerate(extra):
            self.w.names.shapes[f"z{number}"] = ()
            self.w.names.kinds[f"z{number}"] = "node"
            written.append(Equation(f"z{number}", text))
        return tuple(written)


def _some(rng: random.Random, names, probability: float) -> frozenset[str]:
    return frozenset(name for name in names if rng.random() < probability)


def _call(
    builder: _Builder, equations: tuple[Equation, ...], sizes: dict[str, int], seed: int
) -> Case:
    """The sizes and options of one call."""
    rng, names = builder.rng, builder.w.names
    has_loss = any(equation.name == "L" for equation in equations)
    is_last = not any(eq.name == "L" and eq.at for eq in equations)
    sizes = {**sizes, "n_j": rng.choice((1, 2, 3)), "n_i": rng.choice((1, 2, 3))}
    tau = rng.choice((1, 2, 3, 4, 5, 6, 8))
    n_b = rng.choice((0, 1, 2, 3, 4, 5, rng.choice(EDGES)))
    lengths = None
    if n_b and rng.random() < 0.5:
        lengths = tuple(rng.randint(1, tau) for _ in range(n_b))
    kinds = dict(names.kinds)
    reductions = ("sum", "batch_mean", "mean", *(() if is_last else ("last",)))
    case = Case(
        equations, dict(names.shapes), kinds, dict(names.counts), frozenset(kinds),
        sizes, tau, n_b, lengths,
        weights=rng.choice(("", "", "step", "row" if n_b else "step"))
        if has_loss and not is_last else "",
        indices={"j": "n_j", INNER: inner_count(builder.w) or "0", **names.indices},
        reduction=rng.choice(reductions) if has_loss else "sum",
        wants_inputs=rng.random() < 0.5, wants_initial=rng.random() < 0.5,
        threads=rng.choice((1, 2, 3)), values=seed,
        dtype=rng.choice(("float64", "float64", "float32")),
    )  # fmt: skip
    return _requests(case, rng)


def _requests(case: Case, rng: random.Random) -> Case:
    """The case with what is asked of it, and with what its text declares."""
    seeds = _some(rng, case.real, 0.2 if case.has_loss else 0.5)
    if not case.has_loss and not seeds:
        seeds = frozenset({rng.choice(case.real)})
    started = {eq.name for eq in case.equations if eq.at in ("[0]", "[tau+1]")}
    states = [name for name in sorted(case.states) if name not in started
              and case.kinds[case.owner(name)] != "choice"]  # fmt: skip
    places = [holder for name in case.defined if case.is_inner(name)
              for holder in case.holders_of_places(name)]  # fmt: skip
    # Only what nothing else settles is declared in a third of the cases.
    optional = [n for n, s in case.shapes.items()
                if len(s) == (1 if n[0].islower() else 2) and n[0] != "q"
                and n not in NUMBERS_AT_PLACES]  # fmt: skip
    # A size is a number where a line names the dimension.
    reads_sizes = any(NAME_OF_SIZE.search(eq.right) for eq in case.equations)
    dropped = set(optional) if rng.random() < 0.3 and not reads_sizes else set()
    return case.but(
        nodes=_some(rng, [*case.real, *places], rng.choice((0, 0.3, 1))),
        seeds=seeds, start=_some(rng, states, rng.choice((0, 0.5, 1))),
        declared=case.declared - dropped - set(case.counts),
    )  # fmt: skip
