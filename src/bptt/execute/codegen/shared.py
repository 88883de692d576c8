"""Functions that are compiled once for all kernels of a process.

Kernels call them by a name that LLVM looks up when their code is loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.emit import Emitter, start_function
from bptt.execute.codegen.jit import Compiled, publish
from bptt.execute.codegen.objects import build, shorten
from bptt.execute.codegen.target import Target

__all__ = ["Shared", "declare", "offer", "write_ir"]


@dataclass(frozen=True)
class Shared:
    """A function without a result that many modules call.

    what: tells it from every other; arguments: their types; write: its body.
    """

    what: Hashable
    arguments: tuple[Any, ...] = field(compare=False, repr=False)
    write: Callable[[Emitter], None] = field(compare=False, repr=False)


def _name(shared: Shared, target: Target, real_bytes: int) -> str:
    return f"bptt_{shorten((shared, target, real_bytes))}"


def declare(
    module: ir.Module, shared: Shared, target: Target, real_bytes: int
) -> ir.Function:
    """The function, to be called by what a module holds."""
    name = _name(shared, target, real_bytes)
    known = module.globals.get(name)
    if known is None:
        kind = ir.FunctionType(ir.VoidType(), list(shared.arguments))
        known = ir.Function(module, kind, name)
        known.attributes.add("nounwind")
    return known


def offer(functions: Iterable[Shared], target: Target, real_bytes: int) -> None:
    """Compile those that this process has not; before code that calls them loads."""
    for shared in functions:
        _compile(shared, target, real_bytes)


def write_ir(shared: Shared, target: Target, real_bytes: int) -> str:
    """The IR of a module that holds the function alone."""
    module = ir.Module()
    name = _name(shared, target, real_bytes)
    machine = (target, real_bytes)
    e = start_function(module, name, shared.arguments, *machine, is_public=True)
    shared.write(e)
    e.finish()
    return str(module)


@functools.cache
def _compile(shared: Shared, target: Target, real_bytes: int) -> Compiled:
    name = _name(shared, target, real_bytes)
    write = functools.partial(write_ir, shared, target, real_bytes)
    compiled = build((shared, real_bytes), write, target, {name: ()})
    publish(name, compiled)
    return compiled
