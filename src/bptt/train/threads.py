"""One thread for the products of a training run.

A time step multiplies small matrices, which two threads hardly do faster than one; but
threads that wait for each other on a busy core lose a time slice at every product.
Measured with 2 cores and a second busy process (LSTM, n_h 128, n_b 32, OpenBLAS): 8.3 s
per window of 64 steps with two threads, 0.04 s with one.
"""

from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

from bptt.train.errors import TrainExtraMissingError


def one_thread() -> AbstractContextManager[Any]:
    """Limit BLAS and OpenMP, behind NumPy and torch, to one thread in this context.

    Raises: TrainExtraMissingError without threadpoolctl.
    """
    try:
        threadpoolctl = import_module("threadpoolctl")
    except ImportError as error:
        raise TrainExtraMissingError("threadpoolctl") from error
    limit: AbstractContextManager[Any] = threadpoolctl.threadpool_limits(1)
    return limit
