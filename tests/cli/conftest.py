"""Runs that the command line trains end with short reports."""

from tests.train.short_flows import shorten_flows

_short_flows = shorten_flows()
