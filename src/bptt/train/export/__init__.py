"""A trained model for other programs: one time step without its loss, written down."""
