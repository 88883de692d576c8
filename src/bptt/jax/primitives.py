"""The operations that JAX sees: a cell's forward pass, and its backward pass.

    bptt_forward   params, inputs, initial          -> sequences of nodes, final states
    bptt_tangent   their tangents, linear in them   -> never computed, only transposed
    bptt_backward  params, inputs, initial, seeds   -> gradients
    bptt_second    their tangents                   -> refused

JAX differentiates a primitive by its tangent and then transposes that; here the
transpose is known, it is back-propagation through time. Rules on primitives rather than
`jax.custom_vjp`, because of the order in which JAX applies them: the gradient of a mean
over `vmap` then sees one pass over all rows and sums the parameters' gradient inside
the kernels, where a custom rule would be asked for one gradient per row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from bptt import errors
from bptt.jax import ffi
from bptt.jax.kept import TOKEN_SHAPE, TOKEN_TYPE
from bptt.jax.placement import like, vary_alike
from bptt.jax.task import Task, run

TARGET = "bptt"  # the name under which compiled programs call this module

forward_p = Primitive("bptt_forward")
tangent_p = Primitive("bptt_tangent")
backward_p = Primitive("bptt_backward")
second_p = Primitive("bptt_second")


def forward(task: Task, operands: Sequence[Any]) -> list[Any]:
    """The results of a forward pass, as JAX values."""
    results: list[Any] = forward_p.bind(*vary_alike(operands), task=task)
    return results


def _jit(primitive: Primitive) -> Any:
    """How a primitive runs outside `jit`: compiled alone, once per task and shapes.

    Under `jax.disable_jit`, too: it would call itself without end.
    """

    @functools.partial(jax.jit, static_argnames="task")
    def compiled(*operands: Any, task: Task) -> Any:
        return primitive.bind(*operands, task=task)

    def call(*operands: Any, task: Task) -> Any:
        with jax.disable_jit(False):
            return compiled(*operands, task=task)

    return call


def _lower(context: Any, *operands: Any, task: Task) -> Any:
    return jax.ffi.ffi_lowering(TARGET)(context, *operands, task=task.encode())


for _primitive in (forward_p, backward_p):
    _primitive.multiple_results = True
    _primitive.def_impl(_jit(_primitive))
    mlir.register_lowering(_primitive, _lower, platform="cpu")
_HANDLER = ffi.register(TARGET, run)


# ----- forward -----


def _forward_abstract(*operands: Any, task: Task) -> list[Any]:
    shapes = task.result_shapes([operand.shape for operand in operands])
    dtype = real_dtype(operands)
    results = [like(operands[0], shape, dtype) for shape in shapes]
    token = [like(operands[0], TOKEN_SHAPE, TOKEN_TYPE)] if task.keeps else []
    return results + token


def real_dtype(operands: Sequence[Any]) -> Any:
    """The element type of a call: that of its real operands."""
    return next(o.dtype for o in operands if jnp.issubdtype(o.dtype, jnp.floating))


def _forward_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, task: Task
) -> tuple[list[Any], list[Any]]:
    wrt = tuple(n for n, t in enumerate(tangents) if not isinstance(t, ad.Zero))
    moved = [tangents[number] for number in wrt]
    keeping = replace(task, keeps=True, wrt=wrt)
    *results, token = forward(keeping, primals)
    moves = tangent_p.bind(*moved, *primals, token, task=keeping)
    if task.keeps:  # JAX differentiates what it differentiated before
        still = ad.Zero(jax.core.ShapedArray(TOKEN_SHAPE, jax.dtypes.float0))
        results, moves = [*results, token], [*moves, still]
    return results, moves


forward_p.def_abstract_eval(_forward_abstract)
ad.primitive_jvps[forward_p] = _forward_jvp


# ----- tangent -----


def _tangent_abstract(*operands: Any, task: Task) -> list[Any]:
    primals = operands[len(task.wrt) : -1]
    return _forward_abstract(*primals, task=task)[:-1]


def _tangent_transpose(
    cotangents: Sequence[Any], *operands: Any, task: Task
) -> list[Any]:
    n_tangents = len(task.wrt)
    assert all(ad.is_undefined_primal(operand) for operand in operands[:n_tangents])
    primals = operands[n_tangents:]
    # `primals` ends with the token of the forward pass.
    arrived = {n: c for n, c in enumerate(cotangents) if not isinstance(c, ad.Zero)}
    gradients = [ad.Zero(operand.aval) for operand in operands[:n_tangents]]
    if arrived:
        task = replace(task, is_backward=True, seeded=tuple(arrived))
        gradients = backward_p.bind(*primals, *arrived.values(), task=task)
    return [*gradients, *[None] * len(primals)]


def _refuse_forward_mode(*_: Any, **__: Any) -> Any:
    raise errors.ForwardModeError(
        "bptt.jax back-propagates through time, so it has reverse mode alone "
        "(jax.grad, jax.vjp, jax.jacrev); jax.jvp, jax.jacfwd and jax.linearize need "
        "forward mode"
    )


def _refuse(primitive: Primitive, refuse: Any) -> None:
    """Refuse to compute a primitive: where its value is not used, it does no harm."""
    primitive.multiple_results = True
    primitive.def_impl(refuse)
    mlir.register_lowering(primitive, refuse)
    batching.primitive_batchers[primitive] = refuse
    ad.primitive_jvps[primitive] = refuse
    ad.primitive_transposes[primitive] = refuse


_refuse(tangent_p, _refuse_forward_mode)
tangent_p.def_abstract_eval(_tangent_abstract)
ad.primitive_transposes[tangent_p] = _tangent_transpose


# ----- backward -----


def _backward_abstract(*operands: Any, task: Task) -> list[Any]:
    dtype = real_dtype(operands)
    return [operands[n].update(dtype=dtype, weak_type=False) for n in task.wrt]


def _refuse_second_derivative(*_: Any, **__: Any) -> Any:
    raise errors.SecondDerivativeError(
        "bptt.jax differentiates a cell once; its backward pass has no derivative in "
        "JAX. cell.hessian_vector(params, inputs, direction) gives the product of the "
        "Hessian with a direction"
    )


def _backward_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, task: Task
) -> tuple[list[Any], list[Any]]:
    results = backward_p.bind(*primals, task=task)
    moved = [t for t in tangents if not isinstance(t, ad.Zero)]
    return results, second_p.bind(*moved, *results, task=task)


def _second_abstract(*operands: Any, task: Task) -> list[Any]:
    return list(operands[len(operands) - len(task.wrt) :])


backward_p.def_abstract_eval(_backward_abstract)
ad.primitive_jvps[backward_p] = _backward_jvp
_refuse(second_p, _refuse_second_derivative)
second_p.def_abstract_eval(_second_abstract)


# ----- batching: more rows -----


def _batch(
    primitive: Primitive, operands: Sequence[Any], axes: Sequence[Any], *, task: Task
) -> tuple[list[Any], list[Any]]:
    """A batch of batches is one batch of more rows, where all share the parameters.

    One after another where each has parameters, or wants a parameter gradient, of its
    own.
    """
    n_params = len(task.graph.parameters)
    is_own = any(axis is not None for axis in axes[:n_params])
    if is_own or any(number < n_params for number in task.wrt):
        return _one_by_one(primitive, operands, axes, task)
    count = next(
        o.shape[a] for o, a in zip(operands, axes, strict=True) if a is not None
    )
    leads = _lead_axes(task)
    folded = [
        _fold(operand, axis, lead, count)
        for operand, axis, lead in zip(operands, axes, leads, strict=True)
    ]
    results = primitive.bind(*folded, task=task)
    out = [leads[n] for n in task.wrt] if task.is_backward else _result_axes(task)
    return [_unfold(r, a, count) for r, a in zip(results, out, strict=True)], out


def _lead_axes(task: Task) -> list[int | None]:
    """Where rows lie in every operand: axis 1 of sequences, 0 of initial states."""
    graph, results = task.graph, _result_axes(task)
    return [
        *[None for _ in graph.parameters],
        *[1 for _ in graph.inputs],
        *[0 for _ in task.initial],
        *([0] if task.has_lengths else []),
        *([None] if task.keeps and task.is_backward else []),
        *[results[number] for number in task.seeded],
    ]


def _result_axes(task: Task) -> list[int | None]:
    token = [None] if task.keeps else []
    return [*[1 for _ in task.nodes], *[0 for _ in task.final], *token]


def _fold(operand: Any, axis: int | None, lead: int | None, count: int) -> Any:
    """The batch axis and the axis of rows as one, at `lead`."""
    if lead is None:  # parameters, shared by all; any token, since it is a mere hint
        return operand if axis is None else jnp.take(operand, 0, axis)
    if axis is None:
        shape = (*operand.shape[:lead], count, *operand.shape[lead:])
        operand = jnp.broadcast_to(jnp.expand_dims(operand, lead), shape)
    else:
        operand = jnp.moveaxis(operand, axis, lead)
    shape = operand.shape
    return operand.reshape(
        *shape[:lead], shape[lead] * shape[lead + 1], *shape[lead + 2 :]
    )


def _unfold(result: Any, lead: int | None, count: int) -> Any:
    if lead is None:
        return result
    shape = result.shape
    return result.reshape(
        *shape[:lead], count, shape[lead] // count, *shape[lead + 1 :]
    )


def _one_by_one(
    primitive: Primitive, operands: Sequence[Any], axes: Sequence[Any], task: Task
) -> tuple[list[Any], list[Any]]:
    batched = [
        jnp.moveaxis(operand, axis, 0)
        for operand, axis in zip(operands, axes, strict=True)
        if axis is not None
    ]

    def one(rows: Sequence[Any]) -> list[Any]:
        rest = iter(rows)
        full = [
            o if a is None else next(rest) for o, a in zip(operands, axes, strict=True)
        ]
        results: list[Any] = primitive.bind(*full, task=task)
        return results

    results = jax.lax.map(one, batched)
    return results, [0] * len(results)


for _primitive in (forward_p, backward_p):
    batching.primitive_batchers[_primitive] = functools.partial(_batch, _primitive)
