"""The command `bptt`."""

from bptt.cli.app import main as main
