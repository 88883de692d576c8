"""LLVM code of stages, kernels and sums; nothing here knows the graph."""
