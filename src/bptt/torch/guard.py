"""What a tensor is, and which way a call with it goes.

Kernels read addresses, so they may run only where a tensor is nothing but float32 or
float64 numbers in the CPU's memory, and where nobody watches the operations: a tracer
would keep the kernels' answer as a constant, a transform would lose its tangent.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._device import DeviceContext

from bptt import errors

KERNEL_TYPES = (torch.float32, torch.float64)
HALF_TYPES = (torch.float16, torch.bfloat16)
PLAIN = (torch.Tensor, torch.nn.Parameter)


def _keys(tensor: Tensor) -> int:
    """Everything that torch's dispatcher knows about a tensor.

    Other than plain ones: on another device, meta, sparse, quantized, nested, batched,
    fake, to be negated or conjugated, zeros without memory.
    """
    keys: int = torch._C._dispatch_keys(tensor).raw_repr()  # noqa: SLF001
    return keys


def _plain_keys() -> frozenset[int]:
    with torch.inference_mode(mode=False):
        usual = _keys(torch.zeros(1, device="cpu"))
    with torch.inference_mode():
        return frozenset((usual, _keys(torch.zeros(1, device="cpu"))))


_PLAIN_KEYS = _plain_keys()


class LayoutError(errors.ArgumentError):
    """A tensor's elements are stored in a way that no recurrence can read."""


class DeviceError(errors.ArgumentError):
    """A compiled graph is to run a cell on a device that kernels do not reach."""


class NoTensorError(errors.ArgumentError):
    """An argument of a layer is something else than a tensor."""


class Way(enum.Enum):
    """How a call runs.

    KERNELS: on the tensors' memory; OPERATOR: as one operator, for who watches torch's
    dispatcher or compiles; DERIVED: by torch's operations, step by step, for transforms
    of torch.func and forward mode; TORCH: by torch's operations, because of what the
    tensors are; TRACED: likewise, in a graph of torch.jit.trace; WATCHED: likewise,
    because a mode of torch.overrides sees every function that is called.
    """

    KERNELS = "kernels"
    OPERATOR = "operator"
    DERIVED = "derived"
    TORCH = "torch"
    TRACED = "traced"
    WATCHED = "watched"


def choose(tensors: Iterable[Tensor]) -> Way:
    """The way of a call with these tensors.

    Raises: LayoutError.
    """
    if torch.compiler.is_compiling():
        return Way.OPERATOR
    context = _context()
    if context is not Way.KERNELS:
        return context
    return Way.KERNELS if are_plain(tensors) else Way.TORCH


def _context() -> Way:
    """What is going on around the call, whatever its tensors are."""
    if torch._C._are_functorch_transforms_active():  # noqa: SLF001
        return Way.DERIVED
    if forward_ad._current_level >= 0:  # noqa: SLF001
        return Way.DERIVED
    if torch._C._get_tracing_state() is not None:  # noqa: SLF001
        return Way.TRACED
    if torch._C._len_torch_dispatch_stack():  # noqa: SLF001
        return Way.OPERATOR
    if torch._C._len_torch_function_stack() and _is_watched():  # noqa: SLF001
        return Way.WATCHED
    return Way.KERNELS


def _is_watched() -> bool:
    """Whether a mode sees functions, other than that of a device for new tensors."""
    modes = map(
        torch._C._get_function_stack_at,  # noqa: SLF001
        range(torch._C._len_torch_function_stack()),  # noqa: SLF001
    )
    return any(type(mode) is not DeviceContext for mode in modes)


def are_plain(tensors: Iterable[Tensor]) -> bool:
    """Whether kernels can read all of them."""
    return all(map(_is_plain, tensors))


def _is_plain(tensor: Tensor) -> bool:
    if type(tensor) not in PLAIN or _keys(tensor) not in _PLAIN_KEYS:
        return False
    dtype = tensor.dtype
    return dtype in KERNEL_TYPES or not (dtype.is_floating_point or dtype.is_complex)


def are_ordinary(tensors: Iterable[Any]) -> bool:
    """Whether kernels read all of them, and all have one element type.

    What `choose` and `are_plain` find, in one loop: a small layer's call takes 30 us.
    """
    if torch.compiler.is_compiling() or _context() is not Way.KERNELS:
        return False
    dtype, look = None, torch._C._dispatch_keys  # noqa: SLF001
    for tensor in tensors:
        if type(tensor) not in PLAIN or look(tensor).raw_repr() not in _PLAIN_KEYS:
            return False
        dtype = dtype or tensor.dtype
        if tensor.dtype != dtype:
            return False
    return dtype in KERNEL_TYPES


def describe(tensors: Iterable[Tensor]) -> str:
    """What kernels cannot read of these, for a message."""
    return ", ".join(
        dict.fromkeys(
            f"{tensor.dtype} on {tensor.device.type}"
            + ("" if type(tensor) in PLAIN else f" in a {type(tensor).__name__}")
            for tensor in tensors
            if not _is_plain(tensor)
        )
    )


def refuse_devices(tensors: Iterable[Tensor]) -> None:
    """Raises: DeviceError, where only kernels could run."""
    for tensor in tensors:
        if tensor.device.type not in {"cpu", "meta"}:
            raise DeviceError(
                f"a compiled graph runs a cell in the CPU's memory, and a tensor is on "
                f"{tensor.device}: move it by .cpu(), or leave this layer out of the "
                "graph by torch.compiler.disable"
            )


def refuse_others(what: str, given: object) -> None:
    """Raises: NoTensorError, DtypeError, LayoutError, for what no cell can read."""
    if not isinstance(given, Tensor):
        raise NoTensorError(
            f"{what} is a {type(given).__name__}, and a layer takes tensors: use "
            "torch.as_tensor(...)"
        )
    if given.is_complex():
        raise errors.DtypeError(
            f"{what} has element type {str(given.dtype).removeprefix('torch.')}, and a "
            "cell computes with real numbers: use .real, or .abs()"
        )
    refuse_layouts((given,))


def is_legible(tensor: Tensor) -> bool:
    """Whether its elements can be looked at: no transform or subclass hides them."""
    keys = torch._C._dispatch_keys(tensor)  # noqa: SLF001
    hides = keys.has(torch._C.DispatchKey.Python)  # noqa: SLF001
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # noqa: SLF001
    return not (hides or wrapped or tensor.device.type == "meta")


def refuse_layouts(tensors: Iterable[Tensor]) -> None:
    """Raises: LayoutError for what torch's operations cannot read either."""
    for tensor in tensors:
        if tensor.is_nested:
            raise LayoutError(
                f"a nested tensor of {tensor.size(0)} rows: a cell reads padded rows "
                "and lengths=..., or a PackedSequence; use x.to_padded_tensor(0.0)"
            )
        if tensor.layout is not torch.strided or tensor.is_quantized:
            kind = str(tensor.dtype if tensor.is_quantized else tensor.layout)
            raise LayoutError(
                f"a tensor of shape {tuple(tensor.shape)} is stored as "
                f"{kind.removeprefix('torch.')}, and a cell reads plain arrays: use "
                f"{'x.dequantize()' if tensor.is_quantized else 'x.to_dense()'}"
            )
