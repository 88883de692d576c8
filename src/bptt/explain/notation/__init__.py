"""Formulas as text: printed and read, in every notation."""
