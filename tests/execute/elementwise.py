"""Compile one vector function and apply it to an array, for the tests of vmath."""

import ctypes

import llvmlite.ir as ir
import numpy as np

from bptt.execute.codegen.emit import INDEX, POINTER, start_function
from bptt.execute.codegen.jit import compile_ir


def compile_elementwise(function, target, dtype, n_inputs=1):
    """A NumPy-like callable: arrays of one length to an array of that length."""
    real_bytes = np.dtype(dtype).itemsize
    module = ir.Module()
    arguments = [INDEX] + [POINTER] * (n_inputs + 1)
    e = start_function(module, "apply", arguments, target, real_bytes, is_public=True)
    count, *inputs, output = e.function.args

    def body(i):
        mask = e.mask_first(e.builder.sub(count, i))
        loaded = [e.load(e.at(pointer, i), mask) for pointer in inputs]
        e.store(function(e, *loaded), e.at(output, i), mask)

    e.loop(e.index(0), count, e.lanes, body)
    e.finish()
    types = [ctypes.c_int64] + [ctypes.c_void_p] * (n_inputs + 1)
    kernel = compile_ir(str(module), target, {"apply": types}).get_function("apply")

    def apply(*arrays):
        arrays = [np.ascontiguousarray(array, dtype) for array in arrays]
        result = np.empty_like(arrays[0])
        pointers = [array.ctypes.data for array in (*arrays, result)]
        kernel(result.size, *pointers)
        return result

    return apply
