"""Cells in JAX programs: `bptt.jax.recurrent(cell)`, for `jit`, `grad` and `vmap`.

`import bptt` never imports this module; `import bptt.jax` imports JAX.
"""

from bptt.jax.recurrent import Outputs, Recurrent, recurrent
from bptt.jax.watch import FlowWatch

__all__ = ["FlowWatch", "Outputs", "Recurrent", "recurrent"]
