"""The page that a run leaves behind: curves, samples and norms, in one file."""
