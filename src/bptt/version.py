"""The version of bptt: its only home; packaging reads it from here."""

__version__ = "0.2.0"
