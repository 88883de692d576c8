"""From a module's IR to functions that can be called, and back to free memory."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as binding  # type: ignore[import-untyped]

from bptt.execute.codegen.target import Target

__all__ = ["Compiled", "compile_ir", "emit_object", "load_object", "publish"]


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
    """Compile a module given as IR text, and load it.

    `signatures` maps a function's name to its ctypes argument types; all return None.
    Raises: RuntimeError with LLVM's message if the IR does not parse or verify.
    """
    assembly = _translate(text, target, _assemble) if keep_assembly else None
    return load_object(emit_object(text, target), target, signatures, assembly)


def emit_object(text: str, target: Target) -> bytes:
    """The object code of a module given as IR text.

    Raises: RuntimeError with LLVM's message if the IR does not parse or verify.
    """
    code: bytes = _translate(
        text, target, lambda machine, module: machine.emit_object(module)
    )
    return code


def _assemble(machine: Any, module: Any) -> str:
    text: str = machine.emit_assembly(module)
    return text


def _translate(text: str, target: Target, emit: Callable[[Any, Any], Any]) -> Any:
    """What a target machine makes of a module, in an LLVM context of its own.

    That makes it independent of every other (two threads may compile at once) and lets
    all its memory go: types and constants are owned by the context.
    """
    _initialize()
    context = binding.create_context()
    try:
        module = binding.parse_assembly(text, context)
        try:
            module.verify()
            machine = _create_machine(target)
            try:
                _optimize(module, machine)
                module.verify()
                return emit(machine, module)
            finally:
                machine.close()
        finally:
            module.close()
    finally:
        context.close()


def load_object(
    code: bytes,
    target: Target,
    signatures: Mapping[str, Sequence[Any]],
    assembly: str | None = None,
) -> Compiled:
    """Object code of this process's own making to functions that can be called."""
    _initialize()
    free_dead_code()
    context = binding.create_context()
    empty = binding.parse_assembly("", context)
    empty.triple = binding.get_process_triple()
    engine = binding.create_mcjit_compiler(empty, _create_machine(target))
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    addresses = {name: engine.get_function_address(name) for name in signatures}
    compiled = Compiled(addresses, dict(signatures), assembly)
    loaded = _Loaded(compiled, _DEAD.append)
    loaded.engine, loaded.context = engine, context
    _LOADED.add(loaded)
    return compiled


class _Loaded(weakref.ref[Compiled]):
    """What code is loaded with; among the dead when nobody holds the code any more.

    By a C function alone, as `memory.Loan` does it: Python would run what a signal asks
    for inside a finaliser of its own, too, and an exception there is lost, Ctrl-C's
    with it.
    """

    __slots__ = ("context", "engine")
    context: Any
    engine: Any


# At interpreter exit a daemon thread may still run a kernel; the system takes the
# memory back then, so nothing is freed there: llvmlite's objects know the exit.
_LOADED: set[_Loaded] = set()
_DEAD: deque[Any] = deque()


def free_dead_code() -> None:
    """Free what nobody holds any more; whoever loads code calls it, so it is bounded.

    `popleft` is atomic, so of two threads each frees its own.
    """
    while _DEAD:
        try:
            loaded = _DEAD.popleft()
        except IndexError:
            return
        loaded.engine.close()  # frees the code, the module and the target machine
        loaded.context.close()
        _LOADED.discard(loaded)


def publish(name: str, compiled: Compiled) -> None:
    """Let code that is loaded later call a function of `compiled`, which must stay."""
    binding.add_symbol(name, compiled.addresses[name])


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
