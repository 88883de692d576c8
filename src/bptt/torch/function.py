"""Cells under torch's autograd: kernels forward and backward, on tensors' memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bptt.passes import ForwardPass
from bptt.step.shapes import Array
from bptt.torch.guard import Way, choose
from bptt.torch.interpret import interpret
from bptt.torch.kept import Buffers, check_unpacked, is_hooked, restored
from bptt.torch.limits import refuse_limit
from bptt.torch.plan import Plan
from bptt.torch.ready import Pass, Ready, find_ready, known_ready
from bptt.torch.record import Record
from bptt.torch.views import AsRead, Views, array_of, lie


def run_without_gradient(
    plan: Plan, tensors: Sequence[Tensor], record: Record | None = None
) -> tuple[Tensor, ...]:
    """What comes out of a job, where no gradient will be asked for."""
    if record is not None:
        ready = find_ready(plan, tensors, None, record.views)
        if ready is not None:
            return ready.evaluate(tensors, record.views)
    arrays, views = _read(plan, record, tensors)
    out = plan.run(arrays, torch.get_num_threads(), views)
    return tuple(map(_as_tensor, out))


def _as_tensor(array: Any) -> Tensor:
    """Without a copy; one number of a single sequence may be no array."""
    return torch.from_numpy(np.asarray(array))


class CellFunction(torch.autograd.Function):
    """A job whose backward pass continues from the buffers of its forward pass."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, record: Record | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Tensors in the order of the job; sequences come out without a copy."""
        needs = ctx.needs_input_grad[2:]
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.record, ctx.needs = plan, record, needs
        if record is not None and record.watch is None and not is_hooked():
            ready = find_ready(plan, tensors, needs, record.views)
            if ready is not None:
                return _run_ready(ctx, ready, record, tensors, is_only=False)
        arrays, views = _read(plan, record, tensors)
        own = views.own(tensors) if views else AsRead.of(tensors)
        buffers = Buffers() if is_hooked() and plan.limit is None else None
        forward = plan.forward(
            arrays, needs, torch.get_num_threads(), _watched(plan, record),
            place=buffers.make if buffers else None, views=views,
        )  # fmt: skip
        collected = plan.collect(forward.run, forward.bindings)
        kept = buffers.tensors if buffers else []
        if kept:  # what comes out lies in buffers, which are the hooks' from here on
            collected = [np.array(array) for array in collected]
        out = tuple(map(_as_tensor, collected))
        # Sequences that come out are read again on the way back: saving them makes
        # torch refuse to go on if someone wrote into one.
        # So are tensors as they were read, where no hook is to answer for them.
        ctx.unpacks = [(t.shape, t.dtype) for t in tensors] if is_hooked() else None
        more = own.tensors if ctx.unpacks is None else kept
        ctx.save_for_backward(*tensors, *out[: _count_saved(plan)], *more)
        ctx.request = forward.request
        ctx.passes = [] if kept else [forward]
        ctx.own = [] if kept else [own]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """Gradients of all tensors; differentiable where torch records them."""
        plan, needs = ctx.plan, ctx.needs
        arrived = [grad for grad in grads if grad is not None]
        saved = ctx.saved_tensors
        tensors, more = saved[: len(needs)], saved[len(needs) + _count_saved(plan) :]
        # Taken out, so that its buffers are free again when this is over, although the
        # graph may live on. Of two threads that go back at once, one gets it.
        kept = ctx.passes.pop() if ctx.passes else None
        if kept is not None and ctx.own.pop().has_moved():
            kept = None  # reads weights where they lay: FSDP has gathered them anew
        if not arrived:
            return (None, None, *[None] * len(needs))
        own, buffers = (more, []) if ctx.unpacks is None else (tensors, more)
        if ctx.unpacks is not None:
            check_unpacked(tensors, ctx.unpacks)
        # Gradients in batches (`is_grads_batched`), of a subclass, lazily negated, ...
        if torch.is_grad_enabled() or choose(arrived) is not Way.KERNELS:
            refuse_limit(plan.limit, "a gradient is to be differentiated again")
            return None, None, *differentiate(plan, tensors, grads, needs, own)
        if ctx.unpacks is not None:
            own = [tensor.detach() for tensor in own]
        if buffers:
            kept = plan.resume(
                ctx.request, list(map(array_of, own)), restored(buffers),
                torch.get_num_threads(),
            )  # fmt: skip
        gone = None
        if isinstance(kept, Pass):
            if ctx.record.watch is None:
                gone = kept.ready.go_back(kept, own, grads, needs)
            kept = None
        found, seeds = gone or go_back(plan, kept, own, grads, needs, ctx.record)
        if ctx.record is not None:
            ctx.record.keep(plan, own, seeds)
        return None, None, *found


def _run_ready(
    ctx: Any, ready: Ready, record: Record, tensors: Sequence[Tensor], *, is_only: bool
) -> tuple[Tensor, ...]:
    """What comes out of a job that is ready; `CellFunction.backward` goes back."""
    out, kept = ready.forward(tensors, record.views, is_only=is_only)
    own = record.views.own(tensors)
    ctx.save_for_backward(*tensors, *out[: ready.plan.n_sequences], *own.tensors)
    ctx.passes, ctx.own, ctx.unpacks = [kept], [own], None
    return out


class ReadyFunction(torch.autograd.Function):
    """A job that is ready: the only layer's, whose last values have an axis of layers.

    `call` skips what `apply` looks at: there is no transformation, see `guard`.
    """

    @staticmethod
    def forward(
        ctx: Any, ready: Ready, record: Record, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """See `CellFunction.forward`; a gradient of some tensor is to follow."""
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.record, ctx.needs = ready.plan, record, ctx.needs_input_grad[2:]
        return _run_ready(ctx, ready, record, tensors, is_only=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """See `CellFunction.backward`."""
        n = ctx.plan.n_sequences
        finals = [None if grad is None else grad[0] for grad in grads[n:]]
        return CellFunction.backward(ctx, *grads[:n], *finals)

    @classmethod
    def call(
        cls, ready: Ready, record: Record, tensors: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Run it."""
        plainly = super(torch.autograd.Function, cls).apply
        out: tuple[Tensor, ...] = plainly(ready, record, *tensors)
        return out


def run_again(
    plan: Plan, record: Record, tensors: Sequence[Tensor]
) -> tuple[Tensor, ...] | None:
    """The call of a module's only layer, if one of its kind ran before.

    tensors: such as `guard.are_ordinary` lets pass.
    """
    needs = None
    if torch.is_grad_enabled():
        needs = tuple([tensor.requires_grad for tensor in tensors])
        if True not in needs:
            needs = None
    ready = known_ready(plan, tensors, needs)
    if ready is None:
        return None
    if needs is None:
        return ready.evaluate(tensors, record.views, is_only=True)
    if record.watch is not None or is_hooked():
        return None
    return ReadyFunction.call(ready, record, tensors)


def _read(
    plan: Plan, record: Record | None, tensors: Sequence[Tensor]
) -> tuple[list[Array], Views | None]:
    """Tensors as arrays; those of a layer by what its last call knew of them."""
    if record is None or plan.stacking is None:
        return list(map(array_of, tensors)), None
    views = record.views
    return views.read(tensors, len(plan.names[0])), views


def _count_saved(plan: Plan) -> int:
    """How many sequences are saved: none where steps are run again in other memory."""
    return plan.n_sequences if plan.limit is None else 0


def _watched(plan: Plan, record: Record | None) -> tuple[str, ...]:
    """The states, whose gradients are kept where someone watches them."""
    if record is None or record.watch is None:
        return ()
    return tuple(name for name in plan.cell.states if name in plan.cell.nodes)


def go_back(
    plan: Plan,
    forward: ForwardPass | None,
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[int],
    record: Record | None = None,
) -> tuple[list[Tensor | None], dict[str, Any]]:
    """Gradients of all tensors, by kernels; forward again where that must be.

    record: whose watch, if it has one, sees the states' gradients.
    Returns: a gradient or None per tensor, and the gradients on nodes that arrived.
    """
    arrays = list(map(array_of, tensors))
    threads = torch.get_num_threads()
    nodes = _watched(plan, record)
    forward = forward or plan.forward(arrays, needs, threads, nodes)
    arrived = [None if grad is None else grad.detach().numpy() for grad in grads]
    seeds = plan.seeds(forward.bindings, arrived)
    if not plan.expects(forward.request, seeds):
        forward = plan.forward(arrays, needs, threads, nodes)
    gradient = plan.backward(forward, seeds)
    if record is not None and record.watch is not None:
        record.watch(gradient)
    found = [
        None if part is None else _as_tensor(part)
        for part in plan.gradients(gradient, needs)
    ]
    return found, seeds


def differentiate(
    plan: Plan,
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[int],
    own: Sequence[Tensor],
) -> list[Tensor | None]:
    """Gradients that can be differentiated again, by torch's own operations.

    own: the tensors as forward read them.
    """
    with torch.enable_grad():
        out = interpret(plan, list(map(_as_read, tensors, own)))
    pairs = [(o, g) for o, g in zip(out, grads, strict=True) if g is not None]
    wanted = [t for t, is_needed in zip(tensors, needs, strict=True) if is_needed]
    found = iter(
        torch.autograd.grad(
            [o for o, _ in pairs], wanted, [g for _, g in pairs],
            create_graph=torch.is_grad_enabled(), allow_unused=True,
        )
    )  # fmt: skip
    return [next(found) if is_needed else None for is_needed in needs]


def _as_read(tensor: Tensor, own: Tensor) -> Tensor:
    """A tensor with the values that forward read, if its `.data` is other by now."""
    if tensor is own or lie(tensor) == lie(own):
        return tensor
    return own + (tensor - tensor.detach()).to(own.dtype).reshape(own.shape)
