"""One time step as data: its graph, shapes, operations and initial values."""
