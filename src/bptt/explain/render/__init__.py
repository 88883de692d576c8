"""The formats: each walks a `Document` and writes what it finds, with no text of its own."""
