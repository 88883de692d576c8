"""The scripts of `website`, which is no package."""

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "website"))  # where Python itself finds what a script reads


def load(name):
    """A script as a module."""
    return import_module(name)
