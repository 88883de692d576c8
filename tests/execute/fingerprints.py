"""What a program was compiled to, and what it computed, as short texts to compare.

Run as a script it prints those of every cell, after allocations that move every later
object: `python -m tests.execute.fingerprints 17`.
"""

import hashlib
import json
import random
import sys
from dataclasses import replace

import numpy as np
import pytest

from bptt import Cell, bidirectional, stack
from bptt.calculus.program import Request, gradient_program
from bptt.execute.codegen.target import get_host_target
from bptt.execute.compile import code as generating
from bptt.execute.compile.compiler import lay_out
from bptt.execute.kernels import executor, threads
from bptt.step.graph import walk
from tests.execute.library import library, make_case, sizes_of

DTYPES = (np.float64, np.float32)


def all_cells():
    """name -> cell: the library, two stacks and both directions."""
    found = library()
    gru, lstm = found["gru"], found["lstm"]
    found["a stack"] = stack([gru, lstm, gru]).with_readout()
    found["both directions"] = stack(bidirectional(gru), 2).with_readout()
    return found


def fresh(cell):
    """The same cell made again, from its text."""
    return Cell(cell.text)


def allocate_junk(seed):
    """Objects of many sizes, every other one freed: what comes next lies elsewhere."""
    rng = random.Random(seed)  # noqa: S311
    junk = [bytearray(rng.randrange(16, 600)) for _ in range(rng.randrange(200, 3000))]
    return junk[:: rng.choice((2, 3))]


def _digest(*parts):
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:16]


def _request(cell):
    seeds = () if cell.graph.loss else tuple(cell.nodes)[-1:]
    return Request(nodes=tuple(cell.nodes)[:1], initial=True, seeds=seeds)


def of_plan(cell, sizes, real_bytes=8):
    """Everything that is decided before code is written."""
    program = gradient_program(cell.graph, _request(cell))
    lowered, plan, layout = lay_out(program, sizes, real_bytes)
    number = {node: n for n, node in enumerate(walk(lowered.roots.values()))}
    stages = [
        [number[n] for n in (*g.products, *g.reductions, *g.homes, *g.stored)]
        for segment in plan.segments for g in segment.stages
    ]  # fmt: skip
    return _digest(
        [(n.op, n.shape, n.data, [number[c] for c in n.inputs]) for n in number],
        [[number[n] for n in segment.totals] for segment in plan.segments],
        stages, [(number[n], place) for n, place in layout.places.items()],
        layout.buffers,
        [([number[n] for n in s.nodes], str(s.operand)) for s in layout.sums],
    )  # fmt: skip


def of_code(cell, sizes, real_bytes):
    """The text of the kernels of a gradient, without compiling it."""
    program = gradient_program(cell.graph, _request(cell))
    _, plan, layout = lay_out(program, sizes, real_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generating, "build", lambda *_: None)
        patch.setattr(generating, "offer", lambda *_: None)
        code = generating.generate(plan, layout, get_host_target(), real_bytes)
    return _digest(code.text, code.names, list(code.statics.arrays))


def of_values(cell, sizes, dtype, n_threads):
    """The bits of a gradient."""
    case = make_case(cell, sizes, 5, 7, dtype)
    grad = cell.gradient(**case, threads=n_threads, initial_gradient=True)
    found = hashlib.sha256()
    for name, value in sorted((*grad.items(), *grad.initial.items())):
        found.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]


def main():
    """Print the fingerprints of every cell as JSON."""
    junk = allocate_junk(sys.argv[1])
    threads.FLOPS_PER_THREAD = 1
    target = replace(get_host_target(), effort=0)
    executor.host_target = lambda: target
    found = {}
    for name, cell in all_cells().items():
        sizes = sizes_of(cell)
        found[name] = of_code(cell, sizes, 4 if len(found) % 2 else 8)
        if name in sys.argv[2:]:
            for dtype in DTYPES:
                for n_threads in (1, 2, 3):
                    key = f"{name} {dtype.__name__} {n_threads}"
                    found[key] = of_values(cell, sizes, dtype, n_threads)
    print(json.dumps(found), len(junk) * 0 or "")


if __name__ == "__main__":
    main()
