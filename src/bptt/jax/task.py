"""What one call from XLA computes, written down so that a compiled program can hold it.

A task is text in the compiled program: the cell's equations and which arrays the call
passes. So a program that JAX serialises, or takes from its cache in another process,
still computes what it says.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.execute import dispatch
from bptt.execute.bindings import Bindings, bind
from bptt.execute.program import (
    Program,
    Request,
    forward_program,
    gradient_program,
)
from bptt.graph import Graph
from bptt.language import parse_cell
from bptt.results import Gradient, Run
from bptt.shapes import Shape

Array = NDArray[Any]


@dataclass(frozen=True)
class Task:
    """A forward pass, or the backward pass of one.

    Operands come in this order: the parameters, the inputs, the `initial` states that
    are given; for a backward pass then the gradients of those results that `seeded`
    names. Results of a forward pass: the sequences of `nodes`, then the last value of
    each state in `final`; of a backward pass: the gradients of the operands in `wrt`.

    text: the cell; seeded: numbers of results; wrt: numbers of operands.
    """

    text: str
    initial: tuple[str, ...]
    nodes: tuple[str, ...]
    final: tuple[str, ...]
    threads: int | None = None
    seeded: tuple[int, ...] = ()
    wrt: tuple[int, ...] = ()

    def encode(self) -> str:
        """The task as text, read back by `decode`."""
        return json.dumps(asdict(self))

    @property
    def is_backward(self) -> bool:
        """Whether gradients are asked for."""
        return bool(self.wrt)

    @property
    def graph(self) -> Graph:
        """The cell without its total: L is a node like others, JAX sums it."""
        return _graph(self.text)

    def split(self, operands: Sequence[Any]) -> Operands:
        """The operands by name."""
        graph, rest = self.graph, iter(operands)
        return Operands(
            {name: next(rest) for name in graph.parameters},
            {name: next(rest) for name in graph.inputs},
            {name: next(rest) for name in self.initial},
            {number: next(rest) for number in self.seeded},
        )

    def result_shapes(self, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The shapes of a forward pass's results, from the operands' shapes."""
        graph, given = self.graph, self.split(shapes)
        sizes: dict[Any, int] = {}
        specs = [(s.shape, given.params[n]) for n, s in graph.parameters.items()]
        specs += [(s.shape, given.inputs[n]) for n, s in graph.inputs.items()]
        for dims, shape in specs:
            sizes |= zip(dims, shape[len(shape) - len(dims) :], strict=True)
        tau, n_b = next(iter(given.inputs.values()))[:2]

        def numbers(dims: Shape) -> tuple[int, ...]:
            return tuple(d if isinstance(d, int) else sizes[d] for d in dims)

        nodes = graph.definitions
        found = [(tau, n_b, *numbers(nodes[name].shape)) for name in self.nodes]
        return found + [(n_b, *numbers(nodes[name].shape)) for name in self.final]


@dataclass(frozen=True)
class Operands:
    """A call's operands: by name, and the seeds by the number of the result."""

    params: Mapping[str, Any]
    inputs: Mapping[str, Any]
    initial: Mapping[str, Any]
    seeds: Mapping[int, Any]


@functools.lru_cache(maxsize=256)
def decode(text: str) -> Task:
    """The task that `encode` wrote."""
    fields: dict[str, Any] = json.loads(text)
    lists = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
    return Task(**{**fields, **lists})


@functools.lru_cache(maxsize=256)
def _graph(text: str) -> Graph:
    return replace(parse_cell(text), loss=None)


def run(text: str, operands: Sequence[Array], results: Sequence[Array]) -> None:
    """Do a task: fill `results` from `operands`.

    Raises: NotFiniteError, IndexRangeError, for values that cannot be; the shapes were
    checked when JAX traced the call.
    """
    task = decode(text)
    compute = _backward if task.is_backward else _forward
    for result, value in zip(results, compute(task, operands), strict=True):
        result[...] = value


@functools.lru_cache(maxsize=256)
def _forward_program(task: Task) -> Program:
    return forward_program(task.graph, task.nodes)


def _forward(task: Task, operands: Sequence[Array]) -> list[Array]:
    given = task.split(operands)
    bindings = bind(task.graph, given.params, given.inputs, given.initial)
    program, values = _execute(_forward_program(task), bindings, task)
    run = Run(program, bindings, values)
    final = run.final
    return [*(run[n] for n in task.nodes), *(final[n] for n in task.final)]


@functools.lru_cache(maxsize=256)
def _backward_request(
    task: Task,
) -> tuple[Program, Request, tuple[tuple[str, str], ...]]:
    graph = task.graph
    kinds = [("parameter", name) for name in graph.parameters]
    kinds += [("input", name) for name in graph.inputs]
    kinds += [("initial", name) for name in task.initial]
    wanted = tuple(kinds[number] for number in task.wrt)
    results = (*task.nodes, *task.final)
    request = Request(
        inputs=tuple(name for kind, name in wanted if kind == "input"),
        initial=any(kind == "initial" for kind, _ in wanted),
        seeds=tuple(sorted({results[number] for number in task.seeded})),
    )
    return gradient_program(graph, request), request, wanted


def _backward(task: Task, operands: Sequence[Array]) -> list[Array]:
    given = task.split(operands)
    program, request, wanted = _backward_request(task)
    seeds = _join_seeds(task, given)
    bindings = bind(task.graph, given.params, given.inputs, given.initial, seeds)
    program, values = _execute(program, bindings, task)

    def run_forward() -> Run:
        raise AssertionError("the forward values are never asked for")

    grad = Gradient(program, bindings, values, request, run_forward)
    tables = {"parameter": grad, "input": grad.inputs, "initial": grad.initial}
    return [tables[kind][name] for kind, name in wanted]


def _join_seeds(task: Task, given: Operands) -> dict[str, Array]:
    """One gradient per node: a state's last value is the last row of its sequence."""
    results = (*task.nodes, *task.final)
    tau = next(iter(given.inputs.values())).shape[0]
    seeds: dict[str, Array] = {}
    for number, array in given.seeds.items():
        name = results[number]
        if number < len(task.nodes):
            seeds[name] = array
            continue
        rows = seeds.get(name)
        rows = (
            np.zeros((tau, *array.shape), array.dtype) if rows is None else rows.copy()
        )
        rows[-1] += array
        seeds[name] = rows
    return seeds


def _execute(program: Program, bindings: Bindings, task: Task) -> tuple[Program, Any]:
    return dispatch.run(program, bindings, dispatch.COMPILED, task.threads)
