"""What runs a program: the plain NumPy meaning, and (later in the package) kernels."""
