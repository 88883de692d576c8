"""What one call from XLA computes, written down so that a compiled program can hold it.

A task is text in the compiled program: the cell's equations and which arrays the call
passes. So a program that JAX serialises, or takes from its cache in another process,
still computes what it says.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bptt.calculus.program import (
    Program,
    Request,
    forward_program,
    gradient_program,
)
from bptt.execute import dispatch
from bptt.execute.bindings import Bindings, bind
from bptt.jax.kept import Kept
from bptt.language import parse_cell
from bptt.passes import ForwardPass
from bptt.results import Gradient, Run
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Shape


@dataclass(frozen=True)
class Task:
    """A forward pass, or the backward pass of one.

    Operands come in this order: the parameters, the inputs, the `initial` states that
    are given, the lengths of the rows if `has_lengths`; for a backward pass then the
    token, if the forward pass gave one, and the gradients of those results that
    `seeded` names. Results of a forward pass: the
    sequences of `nodes`, then the last value of each state in `final`, then the token,
    if `keeps`; of a backward pass: the gradients of the operands in `wrt`.

    text: the cell; keeps: a backward pass is to follow; wrt: numbers of operands;
    seeded: numbers of results.
    """

    text: str
    initial: tuple[str, ...]
    nodes: tuple[str, ...]
    final: tuple[str, ...]
    threads: int | None = None
    has_lengths: bool = False
    keeps: bool = False
    wrt: tuple[int, ...] = ()
    is_backward: bool = False
    seeded: tuple[int, ...] = ()

    def encode(self) -> str:
        """The task as text, read back by `decode`."""
        return json.dumps(asdict(self))

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
            next(rest) if self.has_lengths else None,
            next(rest) if self.keeps and self.is_backward else None,
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
        found += [(n_b, *numbers(nodes[name].shape)) for name in self.final]
        return found

    @property
    def operands(self) -> list[tuple[str, str]]:
        """The kind and name of every operand of a forward pass."""
        found = [("parameter", name) for name in self.graph.parameters]
        found += [("input", name) for name in self.graph.inputs]
        return found + [("initial", name) for name in self.initial]

    def request(self, seeds: Collection[str], *, is_phased: bool) -> Request:
        """What a program of this task's gradients is to give."""
        wanted = _wanted(self)
        return Request(
            inputs=tuple(name for kind, name in wanted if kind == "input"),
            initial=any(kind == "initial" for kind, _ in wanted),
            seeds=tuple(sorted(seeds)),
            values=self.nodes if is_phased else (),
            is_phased=is_phased,
        )


@dataclass(frozen=True)
class Operands:
    """A call's operands: by name, and the seeds by the number of the result."""

    params: Mapping[str, Any]
    inputs: Mapping[str, Any]
    initial: Mapping[str, Any]
    lengths: Any
    token: Any
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


_KEPT = Kept()


def _forward(task: Task, operands: Sequence[Array]) -> list[Array]:
    given = task.split(operands)
    bindings = _bind(task, given)
    if task.keeps:
        program, request = _phased_program(task)
        forward = ForwardPass(program, bindings, request, threads=task.threads)
        run = forward.run
        token = [_KEPT.put(_key(task, given), forward)]
    else:
        program = _forward_program(task)
        program, values = dispatch.run(program, bindings, threads=task.threads)
        run = Run(program, bindings, values)
        token = []
    final = run.final
    return [*(run[n] for n in task.nodes), *(final[n] for n in task.final), *token]


def _backward(task: Task, operands: Sequence[Array]) -> list[Array]:
    given = task.split(operands)
    seeds = _join_seeds(task, given)
    grad = _go_on(task, given, seeds) or _go_back(task, given, seeds)
    tables = {"parameter": grad, "input": grad.inputs, "initial": grad.initial}
    return [tables[kind][name] for kind, name in _wanted(task)]


def _bind(
    task: Task, given: Operands, seeds: Mapping[str, Array] | None = None
) -> Bindings:
    return bind(
        task.graph, given.params, given.inputs, given.initial, seeds,
        lengths=given.lengths,
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _wanted(task: Task) -> tuple[tuple[str, str], ...]:
    """The kind and name of every operand whose gradient is wanted."""
    operands = task.operands
    return tuple(operands[number] for number in task.wrt)


def _join_seeds(task: Task, given: Operands) -> dict[str, Array]:
    """One gradient per node: a state's last value is a row of its sequence."""
    results = (*task.nodes, *task.final)
    tau, n_b = next(iter(given.inputs.values())).shape[:2]
    last = tau - 1 if given.lengths is None else given.lengths - 1
    seeds: dict[str, Array] = {}
    for number, array in given.seeds.items():
        name = results[number]
        if number < len(task.nodes):
            seeds[name] = array
            continue
        rows = seeds.get(name)
        whole = (tau, *array.shape)
        rows = np.zeros(whole, array.dtype) if rows is None else rows.copy()
        at = 0 if name in task.graph.backward else last
        rows[at, np.arange(n_b)] += array
        seeds[name] = rows
    return seeds


# ----- with the buffers of the forward pass -----


def _waited_for(task: Task) -> tuple[str, ...]:
    """The nodes at which a kept forward pass expects gradients.

    Which results will get one is not known yet; a guess that is wrong costs a second
    forward pass, and one that is too wide the reading of zeros.
    """
    return task.nodes or task.final


@functools.lru_cache(maxsize=256)
def _phased_program(task: Task) -> tuple[Program, Request]:
    request = task.request(_waited_for(task), is_phased=True)
    return gradient_program(task.graph, request), request


def _key(task: Task, given: Operands) -> Hashable:
    """Equal for a forward pass and its backward pass alone."""
    first = next(iter(given.inputs.values()))
    return _forward_of(task), first.shape[:2], first.dtype


@functools.lru_cache(maxsize=256)
def _forward_of(task: Task) -> Task:
    return replace(task, is_backward=False, seeded=())


def _go_on(task: Task, given: Operands, seeds: dict[str, Array]) -> Gradient | None:
    """The gradient from the buffers of the forward pass, if they can serve."""
    names = _waited_for(task)
    if given.token is None or not set(seeds) <= set(names):
        return None
    forward = _KEPT.take(_key(task, given), given.token)
    if forward is None:
        return None
    bindings = _move(forward.bindings, given)
    for name in names:
        if name not in seeds:
            shape = bindings.numbers(task.graph.definitions[name].shape)
            whole = (bindings.tau, bindings.n_b, *shape)
            seeds[name] = np.zeros(whole, bindings.dtype)
    return forward.backward(seeds, bindings)


def _move(bindings: Bindings, given: Operands) -> Bindings:
    """The arrays of a forward pass where XLA has them now; they were checked then."""

    def places(old: Mapping[str, Array], new: Mapping[str, Array]) -> dict[str, Array]:
        return {n: array.astype(old[n].dtype, copy=False) for n, array in new.items()}

    packed = {name: bindings.pack(array) for name, array in given.inputs.items()}
    return replace(
        bindings,
        parameters=given.params,
        inputs=places(bindings.inputs, packed),
        initial=places(bindings.initial, given.initial),
    )


# ----- without -----


@functools.lru_cache(maxsize=256)
def _forward_program(task: Task) -> Program:
    return forward_program(task.graph, task.nodes)


@functools.lru_cache(maxsize=256)
def _gradient_program(task: Task, seeds: frozenset[str]) -> tuple[Program, Request]:
    request = task.request(seeds, is_phased=False)
    return gradient_program(task.graph, request), request


def _go_back(task: Task, given: Operands, seeds: dict[str, Array]) -> Gradient:
    """Forward and backward in one."""
    bindings = _bind(task, given, seeds)
    program, request = _gradient_program(task, frozenset(seeds))
    program, values = dispatch.run(program, bindings, threads=task.threads)
    return Gradient(program, bindings, values, request, _no_run)


def _no_run() -> Run:
    raise AssertionError("the forward values are never asked for")
