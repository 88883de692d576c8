"""Running kernels: memory, threads, ragged batches and values."""
