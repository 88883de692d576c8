"""Execution of programs: the NumPy reference and the compiled kernels."""
