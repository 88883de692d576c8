"""Python's search for cyclic garbage, put off while much is made that stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """No search for cyclic garbage meanwhile.

    Writing IR makes a hundred thousand objects that all live until the end; Python then
    searches the caller's whole heap, several times, which took 0.1 to 0.25 s of 0.5 in
    a process that had loaded PyTorch and JAX. Of an explanation it took 6 %.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
