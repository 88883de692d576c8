"""Cells in JAX programs: `bptt.jax.recurrent(cell)`, for `jit`, `grad` and `vmap`.

`import bptt` never imports this module; `import bptt.jax` imports JAX.
"""

from typing import TYPE_CHECKING, NoReturn

from bptt.errors import no_attribute
from bptt.jax.recurrent import Outputs, Recurrent, recurrent
from bptt.jax.watch import FlowWatch

__all__ = ["FlowWatch", "Outputs", "Recurrent", "recurrent"]

if not TYPE_CHECKING:  # a checker finds what is misspelt by itself

    def __getattr__(name: str) -> NoReturn:
        raise no_attribute(__name__, name, __all__)
