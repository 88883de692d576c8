"""Random instances of a cell: all sizes distinct and at least 2, everything non-zero.

With one hidden unit every order of factors gives the same product, and with two equal
sizes a transpose goes unnoticed; so no instance has either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.calculus.program import forward_program
from bptt.execute import reference
from bptt.execute.bindings import Bindings, bind
from bptt.execute.tokens import counted_by
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Shape, number_of, numbers_of

DRAWN_REDUCTIONS = ("sum", "sum", "mean")
DRAWS = 20
SPREAD = 0.6
TAME = 20.0  # 1 - sigmoid(20) still has half of its digits


@dataclass(frozen=True)
class Instance:
    """The numbers of one check: sizes, parameters, sequences, initial states, weights.

    Instance 1 sums the loss (the book's reduction), 2 weights it, 3 takes the mean. A
    cell without a loss is seeded with a random gradient on its last vector.
    """

    number: int
    seed: int
    sizes: Mapping[str, int]
    params: Mapping[str, Array]
    inputs: Mapping[str, Array]
    initial: Mapping[str, Array]
    seeds: Mapping[str, Array]
    reduction: str
    weights: Array | None

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `Cell.gradient` beside params and inputs."""
        return {
            "initial": self.initial, "seeds": self.seeds,
            "reduction": self.reduction, "weights": self.weights,
        }  # fmt: skip

    def bind(self, graph: Graph) -> Bindings:
        """The arrays in the executor's form."""
        return bind(
            graph, self.params, self.inputs, self.initial, self.seeds, self.reduction,
            self.weights,
        )  # fmt: skip

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        weighted = "" if self.weights is None else ", weighted"
        return (
            f"instance {self.number}: {sizes}; {self.reduction}{weighted}; "
            f"seed {self.seed}"
        )


def make_instance(
    graph: Graph, number: int, seed: int, least_tau: int = 0, seeded: str = ""
) -> Instance | None:
    """A random instance, or None if no draw gives finite values.

    least_tau: how many steps it has at least; seeded: where a gradient arrives from
    outside in a cell without a loss, if not at `seeded_name`.

    Where values grow so far that functions saturate, the spread is made smaller: there
    every gradient is 0 but for rounding, and proves nothing. If they grow with every
    spread, it is the one with which they grow least. A domain (log, sqrt) is
    met by less spread and a higher mean, draw by draw.
    """
    found, least = None, float("inf")
    for instance in _smaller(graph, number, seed, least_tau, seeded):
        largest = _largest(graph, instance)
        if largest <= TAME:
            return instance
        if largest < least:
            found, least = instance, largest
    if found is not None:
        return found
    for instance in _higher(graph, number, seed, least_tau, seeded):
        if np.isfinite(_largest(graph, instance)):
            return instance
    return None


def other_instances(
    graph: Graph, number: int, seed: int, least_tau: int = 0, seeded: str = ""
) -> Iterator[Instance]:
    """Every draw that `make_instance` chooses among, the largest numbers first."""
    yield from _smaller(graph, number, seed, least_tau, seeded)
    yield from _higher(graph, number, seed, least_tau, seeded)


def _smaller(
    graph: Graph, number: int, seed: int, least_tau: int, seeded: str
) -> Iterator[Instance]:
    for draw, spread in enumerate((SPREAD, SPREAD / 2, SPREAD / 4, SPREAD / 8)):
        rng = np.random.default_rng([seed, number, draw])
        yield _draw(graph, number, seed, rng, spread, 0.0, least_tau, seeded)


def _higher(
    graph: Graph, number: int, seed: int, least_tau: int, seeded: str
) -> Iterator[Instance]:
    for draw in range(1, DRAWS):
        rng, lift = np.random.default_rng([seed, number, draw]), draw / DRAWS
        spread = SPREAD * (1 - lift)
        yield _draw(graph, number, seed, rng, spread, lift, least_tau, seeded)


def _draw(
    graph: Graph, number: int, seed: int, rng: np.random.Generator, spread: float,
    lift: float = 0.0, least_tau: int = 0, seeded: str = "",
) -> Instance:  # fmt: skip
    sizes = draw_sizes(graph, rng)
    while sizes["tau"] < least_tau or sizes["tau"] in list(sizes.values())[1:]:
        sizes["tau"] += 1

    def normal(lead: tuple[int, ...], shape: Shape) -> Array:
        core = numbers_of(shape, sizes)
        draw = spread * rng.standard_normal((*lead, *core)) + lift
        return np.asarray(draw)

    lead = (sizes["tau"], sizes["n_b"])
    params = {name: normal((), spec.shape) for name, spec in graph.parameters.items()}
    inputs: dict[str, Array] = {}
    for name, source in graph.inputs.items():
        if source.index is None:
            inputs[name] = normal(lead, source.shape)
        else:
            limit = number_of(source.index, sizes)
            inputs[name] = rng.integers(0, limit, lead)
    initial = {}
    for name in graph.states:
        if counted_by(graph, name) is not None:
            continue
        if name in graph.definitions:
            initial[name] = normal(lead[1:], graph.definitions[name].shape)
        else:
            initial[name] = normal(lead[1:], graph.inputs[name].shape)
    seeds = {}
    if graph.loss is None:
        name = seeded or seeded_name(graph)
        seeds[name] = normal(lead, graph.definitions[name].shape)
    weights = rng.uniform(0.5, 1.5, lead) if number == 2 and graph.loss else None
    reduction = DRAWN_REDUCTIONS[(number - 1) % 3] if graph.loss else "sum"
    return Instance(
        number, seed, sizes, params, inputs, initial, seeds, reduction, weights
    )


def draw_sizes(graph: Graph, rng: np.random.Generator) -> dict[str, int]:
    """A size for every named dimension, tau and n_b: distinct and at least 2."""
    fixed = {d for node in graph.definitions.values() for d in node.shape
             if isinstance(d, int)}  # fmt: skip
    tau = int(rng.integers(4, 7))
    names = ["n_b", *(dim for dim in graph.dims() if dim not in ("tau", "n_b"))]
    free = [size for size in range(2, 40) if size != tau and size not in fixed]
    # One more than is needed, so that instances differ in more than their order.
    chosen = [free[0], *rng.permutation(free[1 : len(names) + 1])]
    # The batch is kept smallest: it multiplies the cost and proves least.
    return {"tau": tau, **{n: int(s) for n, s in zip(names, chosen, strict=False)}}


def seeded_name(graph: Graph) -> str:
    """The vector defined last; the last definition if there is no vector."""
    vectors = graph.vectors()
    return vectors[-1] if vectors else tuple(graph.definitions)[-1]


def _largest(graph: Graph, instance: Instance) -> float:
    """The largest value of any node; infinite if one is not finite."""
    names = tuple(graph.definitions)
    program = forward_program(graph, names)
    with np.errstate(all="ignore"):
        run = reference.run(program, instance.bind(graph))
    sizes = [float(np.max(np.abs(run[program.roots[n]]), initial=0.0)) for n in names]
    return max(sizes) if np.all(np.isfinite(sizes)) else float("inf")
