"""Tasks on NumPy arrays: what XLA's call does."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bptt.calculus.program import Program, forward_program
from bptt.call import CellCall
from bptt.execute import dispatch
from bptt.execute.bindings import Bindings, bind
from bptt.execute.checks import check_index
from bptt.execute.packing import pack_lengths
from bptt.execute.rows import take_apart
from bptt.execute.tokens import start_of
from bptt.execute.weighting import refuse_no_weight
from bptt.jax.task import Operands, Task, decode, program_of
from bptt.jax.watches import is_on, note
from bptt.results import Gradient, Run
from bptt.step.shapes import Array


def run(text: str, operands: Sequence[Array], results: Sequence[Array]) -> None:
    """Do a task: fill `results` from `operands`.

    A backward pass of a forward pass that kept its buffers gets them among its results,
    after the gradients, where it may write.
    Raises: IndexRangeError, LengthsError, ReductionError, and if asked for
    NotFiniteError, for values that cannot be; the shapes were checked when JAX traced
    the call.
    """
    task = decode(text)
    if task.watched is not None and not is_on(task.watched[0]):
        # The same buffers; a pass that looks and one that does not never share them.
        task = _unwatched(task)
    compute = _backward if task.is_backward else _forward
    if not task.members:
        compute(task, operands, results)
        return
    one = _one_of(task)
    for number in range(len(results[0])):
        compute(
            one,
            [
                operand[number, ...] if is_own else operand
                for operand, is_own in zip(operands, task.members, strict=True)
            ],
            [result[number, ...] for result in results],
        )


@functools.lru_cache(maxsize=256)
def _one_of(task: Task) -> Task:
    return replace(task, members=())


@functools.lru_cache(maxsize=256)
def _unwatched(task: Task) -> Task:
    return replace(task, watched=None)


def _forward(task: Task, operands: Sequence[Array], results: Sequence[Array]) -> None:
    read = task.split(operands)
    if read.divisor is not None:
        for total in read.divisor.tolist():
            refuse_no_weight("mean", total)
    bindings = bind_task(task, read)
    limit = task.call.limit
    if limit is not None:
        program, _ = task.phased_program
        call = dispatch.begin(program, bindings, threads=task.threads, limit=limit)
        run = Run(call.program, bindings, call.values)
    elif task.n_kept:
        *memory, stamp = results[-task.n_kept :]
        program, _ = task.phased_program
        stamp[...], chosen = _place(task, bindings, memory)
        call = dispatch.begin(program, bindings, threads=task.threads, memory=chosen)
        run = Run(call.program, bindings, call.values)
    else:
        program, values = dispatch.run(
            forward_program_of(task.call), bindings, threads=task.threads
        )
        run = Run(program, bindings, values)
    final = take_apart(task.graph, run.final)
    values_out = [run[n] for n in task.call.outputs]
    values_out += [final[n] for n in task.call.finals]
    for result, value in zip(results, values_out, strict=False):
        result[...] = value


def _place(
    task: Task, bindings: Bindings, memory: Sequence[Array]
) -> tuple[int, list[Array] | None]:
    """What buffers hold here, and which of them, in the order of the program.

    0 and None where they cannot.
    """
    stamp, numbers = choose_kept(task, bindings, [array.shape for array in memory])
    return stamp, None if numbers is None else [memory[n] for n in numbers]


def choose_kept(
    task: Task, bindings: Bindings, shapes: Sequence[tuple[int, ...]]
) -> tuple[int, list[int] | None]:
    """The stamp of buffers, and the numbers of those that the program wants, in order.

    0 and None where they cannot serve: a program of another CPU has other buffers. One
    that no watch looks at needs some of those that it would if one did.
    """
    program, _ = task.phased_program
    kept = dispatch.find_kept(
        program, bindings.sizes, bindings.dtype.itemsize, bindings.tau, bindings.n_b
    )
    if kept is None:
        return 0, None
    left, chosen = list(range(len(shapes))), []
    for shape in kept.shapes:
        number = next((n for n in left if shapes[n] == shape), None)
        if number is None:
            return 0, None
        left.remove(number)
        chosen.append(number)
    return kept.stamp, chosen


def _backward(task: Task, operands: Sequence[Array], results: Sequence[Array]) -> None:
    read = task.split(operands)
    bindings = bind_task(task, read)
    seeds = task.call.join_seeds(
        read.seeds, bindings.tau, bindings.n_b, read.given.lengths
    )
    memory = results[len(task.wrt) :]
    grad = _go_on(task, bindings, read, seeds, memory) or _go_back(
        task, bindings, seeds
    )
    if task.watched is not None:
        note(*task.watched, grad.nodes)
    initial = take_apart(task.graph, grad.initial)
    tables = {"parameter": grad, "input": grad.inputs, "initial": initial}
    for result, (kind, name) in zip(results, task.wanted, strict=False):
        result[...] = tables[kind][name]


def _go_on(
    task: Task,
    bindings: Bindings,
    read: Operands,
    seeds: dict[str, Array],
    memory: Sequence[Array],
) -> Gradient | None:
    """The gradient from the buffers of the forward pass, if they can serve."""
    names = task.waited_for
    if not read.kept or not set(seeds) <= set(names):
        return None
    stamp, chosen = _place(task, bindings, memory)
    if not stamp or int(read.kept[-1]) != stamp:
        return None
    _fill_up(task, bindings, seeds)
    program, request = task.phased_program
    call = dispatch.begin(
        program, bindings, threads=task.threads, memory=chosen, is_resumed=True
    )
    call.finish(seeds)
    return Gradient(call.program, bindings, call.values, request, _no_run)


def _fill_up(task: Task, bindings: Bindings, seeds: dict[str, Array]) -> None:
    """Zeros where the phased program expects a gradient, and none arrived."""
    for name in task.waited_for:
        if name not in seeds:
            shape = bindings.numbers(task.graph.definitions[name].shape)
            whole = (bindings.tau, bindings.n_b, *shape)
            seeds[name] = np.zeros(whole, bindings.dtype)


def _go_back(task: Task, bindings: Bindings, seeds: dict[str, Array]) -> Gradient:
    """Forward and backward in one."""
    limit = task.call.limit
    # With a limit the kernels that a call without one would take: for the same bits.
    is_phased = limit is not None and set(seeds) <= set(task.waited_for)
    if is_phased:
        _fill_up(task, bindings, seeds)
    packed = {name: bindings.pack(array) for name, array in seeds.items()}
    bindings = replace(bindings, seeds=packed)
    program, request = program_of(task.call, task.request(seeds, is_phased=is_phased))
    program, values = dispatch.run(program, bindings, threads=task.threads, limit=limit)
    return Gradient(program, bindings, values, request, _no_run)


def _no_run() -> Run:
    raise AssertionError("the forward values are never asked for")


@functools.lru_cache(maxsize=256)
def forward_program_of(call: CellCall) -> Program:
    """The program of a forward pass that nothing follows."""
    return forward_program(call.graph.at_every_step(), call.outputs)


# ----- bindings -----


def bind_task(task: Task, read: Operands) -> Bindings:
    """The operands in the form of the executors.

    Their shapes and types were checked when JAX traced the call. NaN passes, as it does
    in JAX: one of many calls in a batch may have diverged.
    """
    given = read.given
    if task.check_finite:
        return bind(
            task.graph, given.tensors, given.inputs, given.initial,
            lengths=given.lengths,
        )  # fmt: skip
    lead = next(iter(given.inputs.values())).shape[:2]
    tau, n_b = lead
    shapes = tuple(array.shape for array in (*given.tensors.values(),
                                             *given.inputs.values()))  # fmt: skip
    sizes = _sizes(task.call, shapes)
    packing = pack_lengths(given.lengths, tau, n_b, is_batched=True)
    inputs = given.inputs
    if packing is not None:
        inputs = {name: packing.pack(array) for name, array in inputs.items()}
        lead = (packing.n_rows,)
    dtype = _dtype(task, read)

    def ready(name: str, array: Array) -> Array:
        index = task.graph.inputs[name].index
        if index is None:
            return array
        limit = sizes.get(str(index)) or int(str(index))
        shown = f"{index} = {limit}"
        return check_index(f"input {name}", array, limit, shown, packing)

    return Bindings(
        dtype, tau, n_b, True, sizes, given.tensors,
        {name: ready(name, array) for name, array in inputs.items()},
        {name: start_of(task.graph, name, array, sizes, dtype)
         for name, array in given.initial.items()},
        np.broadcast_to(np.ones((), dtype), lead), {}, packing,
    )  # fmt: skip


def _dtype(task: Task, read: Operands) -> np.dtype[Any]:
    """The one element type of a call's real operands."""
    given = read.given
    tables = (given.tensors, given.inputs, given.initial, read.seeds)
    arrays: list[Array] = [a for table in tables for a in table.values()]
    return next(array.dtype for array in arrays if array.dtype.kind == "f")


@functools.lru_cache(maxsize=256)
def _sizes(call: CellCall, shapes: tuple[tuple[int, ...], ...]) -> Mapping[str, int]:
    """Every named dimension's size."""
    graph = call.graph.at_every_step()
    sizes: dict[str, int] = {}
    specs = [(spec.shape, 0) for spec in graph.parameters.values()]
    specs += [(spec.shape, 2) for spec in graph.inputs.values()]
    for (dims, lead), shape in zip(specs, shapes, strict=True):
        named = zip(dims, shape[lead:], strict=True)
        sizes |= {dim: size for dim, size in named if isinstance(dim, str)}
    return sizes
