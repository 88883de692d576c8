"""From a module's IR to functions that can be called, and back to free memory."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as binding  # type: ignore[import-untyped]

from bptt.execute.codegen.target import Target

__all__ = ["Compiled", "compile_ir"]


@functools.cache
def _initialize() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


@dataclass(frozen=True, eq=False)
class Compiled:
    """Machine code; it stays in memory as long as this object or one of its functions.

    `assembly` is None unless it was asked for.
    """

    addresses: Mapping[str, int]
    signatures: Mapping[str, Sequence[Any]]
    assembly: str | None

    def get_function(self, name: str) -> Callable[..., Any]:
        """The function `name` as a ctypes callable that owns the code it points into.

        ctypes releases the GIL for the time of a call. Raises: KeyError.
        """
        prototype = ctypes.CFUNCTYPE(None, *self.signatures[name])
        function = prototype(self.addresses[name])
        function.owner = self  # type: ignore[attr-defined]
        return function


def compile_ir(
    text: str,
    target: Target,
    signatures: Mapping[str, Sequence[Any]],
    *,
    keep_assembly: bool = False,
) -> Compiled:
    """Compile a module given as IR text.

    `signatures` maps a function's name to its ctypes argument types; all return None.
    Each compilation has an LLVM context of its own, which makes it independent of every
    other (two threads may compile at once) and lets all its memory go when it does:
    types and constants are owned by the context, not by the module.

    Raises: RuntimeError with LLVM's message if the IR does not parse or verify.
    """
    _initialize()
    context = binding.create_context()
    module = binding.parse_assembly(text, context)
    module.verify()
    machine = _create_machine(target)
    _optimize(module, machine)
    module.verify()
    assembly = machine.emit_assembly(module) if keep_assembly else None
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    addresses = {name: engine.get_function_address(name) for name in signatures}
    compiled = Compiled(addresses, dict(signatures), assembly)
    # At interpreter exit a daemon thread may still run a kernel; the system takes the
    # memory back then, so nothing is freed here (atexit = False).
    weakref.finalize(compiled, _release, engine, context).atexit = False
    return compiled


def _create_machine(target: Target) -> Any:
    triple = binding.Target.from_triple(binding.get_process_triple())
    return triple.create_target_machine(
        cpu=target.cpu, features=target.features, opt=target.effort, jit=True
    )


def _optimize(module: Any, machine: Any) -> None:
    """Share equal values and loads, the one thing the generators leave to be done.

    They write loops that are vectorised, unrolled and in registers already. LLVM's
    pipelines from O1 to O3 run their code within 3 % of this, take 0.1 to 0.4 s more
    per cell, and llvmlite 0.50 loses 27 KiB with every pipeline it builds.
    """
    tuning = binding.create_pipeline_tuning_options(speed_level=1)
    builder = binding.create_pass_builder(machine, tuning)
    passes = binding.create_new_module_pass_manager()
    try:
        passes.add_new_gvn_pass()
        passes.run(module, builder)
    finally:
        passes.close()
        builder.close()
        tuning.close()


def _release(engine: Any, context: Any) -> None:
    engine.close()  # frees the code, the module and the target machine
    context.close()
