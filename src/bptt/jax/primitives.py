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

A forward pass that a backward pass may follow also returns the buffers in which its
kernels left their values, and the backward pass gets them among its operands. They are
arrays of JAX like all others: it keeps them as long as it needs them, and no longer.
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
from jax.interpreters import partial_eval as pe

from bptt import errors
from bptt.execute import dispatch
from bptt.jax import ffi
from bptt.jax.batching import batch
from bptt.jax.placement import like, vary_alike
from bptt.jax.run import run
from bptt.jax.scripts import write_script
from bptt.jax.task import Task

TARGET = "bptt"  # the name under which compiled programs call this module
STAMP_TYPE = jnp.uint32

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
    aliases, wanted = {}, list(context.avals_out)
    if task.is_backward and task.n_kept:  # the backward pass overwrites them
        first, n_buffers = len(task.kinds), task.n_kept - 1
        aliases = {first + n: len(wanted) + n for n in range(n_buffers)}
        used = context.avals_in[first : first + n_buffers]
        context = context.replace(avals_out=[*wanted, *used])
    rule = jax.ffi.ffi_lowering(TARGET, operand_output_aliases=aliases)
    return rule(context, *operands, task=task.encode())[: len(wanted)]


for _primitive in (forward_p, backward_p):
    _primitive.multiple_results = True
    _primitive.def_impl(_jit(_primitive))
    mlir.register_lowering(_primitive, _lower, platform="cpu")
    batching.primitive_batchers[_primitive] = functools.partial(batch, _primitive)
HANDLER = ffi.register(TARGET, run, write_script)


# ----- forward -----


def _forward_abstract(*operands: Any, task: Task) -> list[Any]:
    shapes, lead = _one_call(task, operands)
    dtype, first = real_dtype(operands), operands[0]
    shapes_out = task.result_shapes(shapes)
    results = [like(first, (*lead, *shape), dtype) for shape in shapes_out]
    if task.keeps and task.kept:
        kept = _find_kept(task, tuple(shapes), dtype)
        assert kept is not None
        results += [like(first, (*lead, *shape), dtype) for shape in kept.shapes]
        results.append(like(first, lead, STAMP_TYPE))
    return results


def _one_call(
    task: Task, operands: Sequence[Any]
) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """The shapes of one call's operands, and the axis of calls if there are more."""
    shapes = [tuple(operand.shape) for operand in operands]
    if not task.members:
        return shapes, ()
    pairs = list(zip(shapes, task.members, strict=True))
    count = next(shape[0] for shape, is_own in pairs if is_own)
    return [shape[1:] if is_own else shape for shape, is_own in pairs], (count,)


def real_dtype(operands: Sequence[Any]) -> Any:
    """The element type of a call: that of its real operands."""
    return next(o.dtype for o in operands if jnp.issubdtype(o.dtype, jnp.floating))


@functools.lru_cache(maxsize=256)
def _find_kept(task: Task, shapes: tuple[tuple[Any, ...], ...], dtype: Any) -> Any:
    """What a forward pass keeps for the backward pass, or None.

    That is where sizes are symbols, NumPy computes, or the call has a limit.
    """
    if task.call.limit is not None:
        return None
    if not all(isinstance(size, int) for shape in shapes for size in shape):
        return None
    given = task.split(shapes[: len(task.kinds)]).given
    sizes = task.call.parameter_sizes(given.tensors)
    for name, shape in given.inputs.items():
        dims = task.graph.inputs[name].shape
        tau, n_b = shape[:2]
        sizes |= {str(d): n for d, n in zip(dims, shape[2:], strict=True)}
    program, _ = task.phased_program
    return dispatch.find_kept(program, sizes, dtype.itemsize, tau, n_b)


def _forward_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, task: Task
) -> tuple[list[Any], list[Any]]:
    wrt = tuple(n for n, t in enumerate(tangents) if not isinstance(t, ad.Zero))
    moved = [tangents[number] for number in wrt]
    if task.keeps:  # JAX differentiates what it differentiated before
        results: list[Any] = forward_p.bind(*primals, task=task)
        n_out, keeping = len(results) - task.n_kept, replace(task, wrt=wrt, kept=0)
        kept: list[Any] = []
    else:
        keeping = replace(task, keeps=True, wrt=wrt)
        shapes, _ = _one_call(task, primals)
        found = _find_kept(keeping, tuple(shapes), real_dtype(primals))
        keeping = replace(keeping, kept=len(found.shapes) if found else 0)
        whole = forward_p.bind(*primals, task=keeping)
        n_out = len(whole) - keeping.n_kept
        results, kept = whole[:n_out], whole[n_out:]
    moves = tangent_p.bind(*moved, *primals, *kept, task=keeping)
    still = [ad.Zero(jax.typeof(kept).to_tangent_aval()) for kept in results[n_out:]]
    return results, [*moves, *still]


def _forward_dce(used: list[bool], equation: Any) -> tuple[list[bool], Any]:
    """Keep nothing where nobody goes back, in a checkpoint's first forward pass."""
    task = equation.params["task"]
    n_out = len(equation.outvars) - task.n_kept
    if not any(used):
        return [False] * len(equation.invars), None
    if task.n_kept and not any(used[n_out:]):
        plain = replace(task, keeps=False, kept=0, wrt=())
        equation = equation.replace(
            outvars=equation.outvars[:n_out], params={**equation.params, "task": plain}
        )
    return [True] * len(equation.invars), equation


forward_p.def_abstract_eval(_forward_abstract)
ad.primitive_jvps[forward_p] = _forward_jvp
pe.dce_rules[forward_p] = _forward_dce


# ----- tangent -----


def _tangent_abstract(*operands: Any, task: Task) -> list[Any]:
    primals = operands[len(task.wrt) : len(operands) - task.n_kept]
    return _forward_abstract(*primals, task=replace(task, keeps=False))


def _tangent_transpose(
    cotangents: Sequence[Any], *operands: Any, task: Task
) -> list[Any]:
    n_tangents = len(task.wrt)
    assert all(ad.is_undefined_primal(operand) for operand in operands[:n_tangents])
    primals = operands[n_tangents:]  # and what the forward pass kept
    arrived = {n: c for n, c in enumerate(cotangents) if not isinstance(c, ad.Zero)}
    gradients = [ad.Zero(operand.aval) for operand in operands[:n_tangents]]
    if arrived:
        # Of a batch every call has buffers and gradients of its own.
        own = (True,) * (task.n_kept + len(arrived)) if task.members else ()
        back = replace(
            task, is_backward=True, seeded=tuple(arrived), members=task.members + own
        )
        gradients = backward_p.bind(*primals, *arrived.values(), task=back)
        if task.members:  # what all calls share has the sum of their gradients
            gradients = [
                gradient if task.members[number] else gradient.sum(0)
                for number, gradient in zip(task.wrt, gradients, strict=True)
            ]
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
    if not task.members:
        return [operands[n].update(dtype=dtype, weak_type=False) for n in task.wrt]
    shapes, lead = _one_call(task, operands)
    return [like(operands[n], (*lead, *shapes[n]), dtype) for n in task.wrt]


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
