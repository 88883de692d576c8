"""The one door through which files come in: bounded first, then held to a schema."""
