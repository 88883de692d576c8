"""From a program to kernels."""
