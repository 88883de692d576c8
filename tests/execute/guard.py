"""Arrays that end exactly where readable memory ends.

A kernel that reads or writes one element too far then dies with a segmentation fault
instead of passing by luck. Run such tests in a subprocess (`run_guarded`).
"""

import ctypes
import mmap
import subprocess
import sys

import numpy as np

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_PROT_NONE = 0


class GuardedArray:
    """An array between two unreadable pages, flush against one of them.

    `array` begins right behind the first page if `at_start`, else it ends right before
    the last one. Keep this object while `array` is in use.
    """

    def __init__(self, shape, dtype, *, at_start):
        dtype = np.dtype(dtype)
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        n_pages = max(1, -(-n_bytes // PAGE))
        self._memory = mmap.mmap(-1, (n_pages + 2) * PAGE)
        self._whole = np.frombuffer(self._memory, np.uint8)
        address = self._whole.ctypes.data
        for page in (0, n_pages + 1):
            if _libc.mprotect(address + page * PAGE, PAGE, _PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect failed")
        begin = PAGE if at_start else (n_pages + 1) * PAGE - n_bytes
        inside = self._whole[begin : begin + n_bytes]
        self.array = inside.view(dtype).reshape(shape)


def guard(array, *, at_start):
    """(owner, guarded copy); the copy keeps the array's order in memory."""
    if not array.flags.c_contiguous:
        owner, copy = guard(array.T, at_start=at_start)
        return owner, copy.T
    owner = GuardedArray(array.shape, array.dtype, at_start=at_start)
    owner.array[...] = array
    return owner, owner.array


def run_guarded(code):
    """Run Python code in a subprocess; it fails here if that dies or raises."""
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
