"""Training data: text, tokens and sequences, checked and cut into windows."""
