"""Jobs as custom operators: `torch.compile` and `torch.export` keep them whole.

`bptt::forward` gives what comes out of a job and a handle, a tensor that owns the
buffers which `bptt::backward` continues from. A handle whose buffers are gone (the
tensor was copied, stored, or used before) costs a forward pass, never a wrong number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bptt.living import Living
from bptt.passes import ForwardPass
from bptt.torch.function import go_back, run_without_gradient
from bptt.torch.guard import refuse_devices
from bptt.torch.kept import check_unpacked
from bptt.torch.plan import plan_of
from bptt.torch.views import AsRead, array_of


class _Owner:
    """NumPy makes this object the base of an array, so a tensor keeps it alive."""

    def __init__(self, forward: ForwardPass, own: AsRead) -> None:
        self._array = np.zeros(1, np.int64)
        self.__array_interface__ = self._array.__array_interface__
        self.passes, self.own = [forward], own


class Handles:
    """Forward passes by the address of their handle, which its tensor keeps taken."""

    def __init__(self) -> None:
        """Empty."""
        self._owners: Living[_Owner] = Living()

    def make(self, forward: ForwardPass, own: AsRead) -> Tensor:
        """A handle; the forward pass, and what it read, live as long as it does."""
        owner = _Owner(forward, own)
        handle = torch.from_numpy(np.asarray(owner))
        self._owners[handle.data_ptr()] = owner
        return handle

    def take(self, handle: Tensor) -> ForwardPass | None:
        """The forward pass of a handle, once; None where it is gone.

        It is gone, too, where what it read lies elsewhere.
        """
        owner = self._owners.get(handle.data_ptr())
        # `list.pop` is atomic: of two threads that go back at once, one gets it.
        kept = owner.passes.pop() if owner is not None and owner.passes else None
        return None if owner is None or owner.own.has_moved() else kept

    def find_read(self, handle: Tensor) -> list[Tensor] | None:
        """Tensors as the forward pass of a handle read them, while it lives."""
        owner = self._owners.get(handle.data_ptr())
        return None if owner is None else owner.own.tensors


HANDLES = Handles()


@torch.library.custom_op("bptt::forward", mutates_args=())
def forward(key: str, tensors: Sequence[Tensor], needs: Sequence[int]) -> list[Tensor]:
    """What comes out of the job `key`, and a handle.

    needs: per tensor, 1 where a gradient will be asked for; torch.jit.trace takes no
    list of booleans.
    """
    plan = plan_of(key)
    if not any(needs):
        out = run_without_gradient(plan, tensors)
        return [*(t.contiguous() for t in out), torch.zeros(1, dtype=torch.int64)]
    own = AsRead.of(tensors)
    ran = plan.forward(list(map(array_of, own.tensors)), needs, torch.get_num_threads())
    # Copied: a compiled program may write into what it was given.
    copies = [np.array(array) for array in plan.collect(ran.run, ran.bindings)]
    return [*map(torch.from_numpy, copies), HANDLES.make(ran, own)]


@forward.register_fake
def _(key: str, tensors: Sequence[Tensor], needs: Sequence[int]) -> list[Tensor]:
    plan = plan_of(key)
    like, shapes = tensors[0], plan.call.result_shapes([t.shape for t in tensors])
    refuse_devices(tensors)
    out = [like.new_empty(shape) for shape in shapes]
    return [*out, like.new_empty((1,), dtype=torch.int64)]


@torch.library.custom_op("bptt::backward", mutates_args=())
def backward(
    key: str,
    handle: Tensor,
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[int],
) -> list[Tensor]:
    """Gradients of the tensors that need one, in order.

    grads: what arrived at everything that came out; None for nothing.
    """
    kept, own = HANDLES.take(handle), HANDLES.find_read(handle)
    if own is None:
        _check_types(tensors, grads)
    found, _ = go_back(plan_of(key), kept, own or tensors, grads, needs)
    return [part.contiguous() for part in found if part is not None]


def _check_types(tensors: Sequence[Tensor], grads: Sequence[Tensor | None]) -> None:
    """Hooks gave them: of what a call reads, all that is real has one type."""
    real = [tensor for tensor in tensors if tensor.is_floating_point()]
    for dtype in [grad.dtype for grad in grads if grad is not None]:
        check_unpacked(real, [(tensor.shape, dtype) for tensor in real])


@backward.register_fake
def _(
    key: str,
    handle: Tensor,
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[int],
) -> list[Tensor]:
    pairs = zip(tensors, needs, strict=True)
    return [t.new_empty(t.shape) for t, is_needed in pairs if is_needed]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    ctx.key, tensors, ctx.needs = inputs
    ctx.save_for_backward(output[-1], *tensors)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    handle, *tensors = ctx.saved_tensors
    found = iter(backward(ctx.key, handle, tensors, grads[:-1], ctx.needs))
    return None, [next(found) if need else None for need in ctx.needs], None


forward.register_autograd(_backward, setup_context=_setup_context)
