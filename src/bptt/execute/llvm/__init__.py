"""Fused CPU kernels, generated as LLVM IR with llvmlite and nothing else."""
