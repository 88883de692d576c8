"""Graph to graph: derivatives, simplification, and what is run in which order."""
