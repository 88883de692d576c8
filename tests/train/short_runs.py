"""Runs that keep short samples and reports, where these are not what is tested.

A run of a few windows spends its time elsewhere: on 200 characters drawn at every
validation, on two flows of 100 steps in NumPy at its end, and waiting for the disk.
"""

import os
from importlib.util import find_spec
from types import SimpleNamespace

ROOMS = ("cli", "train")
# Modules that test what is shortened, and what of it they leave whole.
WHOLE = {"test_flow_report.py": ("flows", "samples"), "test_training.py": ("samples",)}
FOR_GOOD = SimpleNamespace(setattr=setattr)  # in a process of its own


def shorten(patch=FOR_GOOD, whole=()):
    """Shorten what runs of this process write; nothing where none can be trained."""
    if not (find_spec("torch") and find_spec("safetensors")):
        return
    from bptt.train import finish, flow_report, session

    if "flows" not in whole:
        patch.setattr(flow_report, "STEPS", 8)
    for module in (session, finish) if "samples" not in whole else ():
        patch.setattr(module, "SAMPLE_LENGTH", 8)
    patch.setattr(os, "fsync", lambda _: None)  # no power fails here
