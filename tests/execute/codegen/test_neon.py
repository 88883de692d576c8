"""NEON: its vectors and registers on this CPU, and the assembly of an AArch64 target.

No ARM machine is needed: the kernels' IR for 16-byte vectors and 32 registers runs on
any CPU, and LLVM writes AArch64 assembly of the same text.
"""

import re
from dataclasses import replace

import llvmlite.binding as binding
import numpy as np
import pytest

from bptt.calculus.program import Request, gradient_program
from bptt.execute.codegen.shared import write_ir
from bptt.execute.codegen.target import get_host_target
from bptt.execute.compile.compiler import compile_program
from tests.execute.compile.test_compiled import assert_close, compare
from tests.execute.library import library, make_case, sizes_of

TRIPLE = "aarch64-unknown-linux-gnu"
NEON = replace(get_host_target(), vector_bytes=16, registers=32)
LIBRARY = library()
CELLS = ("gru read out", "lstm", "rows")
LANES = {np.float32: "4s", np.float64: "2d"}


def assemble(text):
    """AArch64 assembly of a module. Skips where LLVM was built without that target."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple(TRIPLE)
    except RuntimeError as reason:
        pytest.skip(str(reason))
    machine = target.create_target_machine(cpu="cortex-a76", opt=2)
    context = binding.create_context()
    with binding.parse_assembly(text, context) as module:
        module.triple = TRIPLE
        module.verify()
        return machine.emit_assembly(module)


def inner_loops(assembly):
    """What stands between a label and a jump back to it."""
    blocks = re.split(r"^(\.L\w+):", assembly, flags=re.MULTILINE)
    for label, body in zip(blocks[1::2], blocks[2::2], strict=True):
        jump = re.search(rf"\bb\.\w+\s+{re.escape(label)}$", body, re.MULTILINE)
        if jump:
            yield body[: jump.start()]


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", CELLS)
def test_the_kernels_of_neon_give_the_reference_s_values(name, dtype):
    cell = LIBRARY[name]
    sizes = sizes_of(cell, 5, 19, 3)
    for tau, n_b in ((1, 1), (4, 3), (2, 15)):
        case = make_case(cell, sizes, tau, n_b, dtype)
        errors, used = compare(cell, **case, target=NEON, with_forward=False)
        assert_close(errors, used)


@pytest.mark.parametrize("dtype", LANES)
def test_a_tile_is_fused_multiply_adds_of_whole_neon_registers(dtype):
    cell = LIBRARY["lstm"]
    sizes = sizes_of(cell, 5, 19)
    program = gradient_program(cell.graph, Request(seeds=("h",)))
    item = np.dtype(dtype).itemsize
    code = compile_program(program, sizes, item, NEON).code
    texts = [code.text, *(write_ir(shared, NEON, item) for shared in code.shared)]
    assemblies = list(map(assemble, texts))
    assembly = "\n".join(assemblies)
    # No call of the C library's fma: it is an instruction there.
    assert "fmla" in assembly
    assert not re.search(r"\bbl\s+fmaf?\b", assembly)
    # A tile is 14 rows by 2 vectors, one step of K in a turn of its loop.
    loops = [body for part in assemblies for body in inner_loops(part)]
    tiles = [b for b in loops if b.count("fmla") == 14 * 2]
    assert tiles
    for body in tiles:
        lines = [line for line in body.splitlines() if "fmla" in line]
        assert all(f".{LANES[dtype]}" in line for line in lines)
        # All sums stay in their registers: nothing is stored or moved inside the loop.
        assert not re.search(r"^\s+(st[rp]\s+q|mov\s+v)", body, re.MULTILINE)
