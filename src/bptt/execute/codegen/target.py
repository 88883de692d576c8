"""The machine that kernels are generated for: its vector width, registers and name."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import llvmlite.binding as binding  # type: ignore[import-untyped]

__all__ = ["Target", "get_host_target", "lower_target"]

# LLVM prefers 256-bit code for many AVX-512 CPUs when it vectorises loops by itself.
# The kernels contain explicit 512-bit vectors, which that preference would split in
# two.
_FULL_WIDTH = "-prefer-256-bit"

_LEVELS = {
    # name: (LLVM's name of the CPU, bytes of a vector, vector registers)
    "avx512": ("x86-64-v4", 64, 32),
    "avx2": ("x86-64-v3", 32, 16),
    "sse2": ("x86-64", 16, 16),
}


@dataclass(frozen=True)
class Target:
    """What the generators need to know about a CPU.

    `vector_bytes` is the width of one vector register in bytes (16, 32 or 64) and
    `registers` their number. Without `has_fma`, tiles multiply and add separately and
    the elementary functions call the C library's `fma`: correct, and slow. `effort` is
    LLVM's, 0 to 3, in generating code: 0 takes a third of the time of 2 for code that
    is several times slower, which suits a test of many cells and few steps.
    """

    cpu: str
    features: str
    vector_bytes: int
    registers: int
    has_fma: bool
    effort: int = 2

    def count_lanes(self, real_bytes: int) -> int:
        """How many reals of `real_bytes` bytes (4 or 8) one vector holds."""
        return self.vector_bytes // real_bytes

    @property
    def has_cheap_masks(self) -> bool:
        """Whether a masked load or store costs no more than a plain one."""
        return self.vector_bytes == 64


def get_host_target() -> Target:
    """The CPU this process runs on, with every feature LLVM finds there."""
    cpu = binding.get_host_cpu_name()
    found = binding.get_host_cpu_features()
    features = found.flatten()
    if platform.machine().lower() in {"arm64", "aarch64"}:
        return Target(cpu, features, 16, 32, True)
    has_fma = bool(found.get("fma"))
    if found.get("avx512f") and found.get("avx512vl") and found.get("avx512dq"):
        return Target(cpu, f"{features},{_FULL_WIDTH}", 64, 32, has_fma)
    if found.get("avx2") and has_fma:
        return Target(cpu, features, 32, 16, True)
    return Target(cpu, features, 16, 16, has_fma)


def lower_target(level: str) -> Target:
    """An x86-64 target of an older level, to test it on a newer CPU.

    `level` is "avx512", "avx2" or "sse2".
    Raises: KeyError for any other level.
    """
    cpu, vector_bytes, registers = _LEVELS[level]
    features = _FULL_WIDTH if level == "avx512" else ""
    return Target(cpu, features, vector_bytes, registers, level != "sse2")
