"""The derivation of a cell with indices, as the language of cells writes it."""
