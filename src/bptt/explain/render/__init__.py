"""The formats: each walks a `Document` and has no sentence of its own."""
