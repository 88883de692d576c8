"""Formulas as trees: what they are, how they are derived and what they are worth."""
