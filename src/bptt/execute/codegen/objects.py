"""Machine code by what it was made from: found in this process, on disk, or compiled.

A key is the digest of everything that decides the code: a description of what is to be
compiled, the CPU, LLVM's and this package's versions, and the source text of the files
that write code. Two descriptions that are equal give equal code, so neither the
intermediate representation is written nor LLVM run a second time.
"""

from __future__ import annotations

import functools
import hashlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import llvmlite  # type: ignore[import-untyped]
import llvmlite.binding as binding  # type: ignore[import-untyped]

from bptt.execute.codegen.disk import find_store
from bptt.execute.codegen.jit import Compiled, emit_object, load_object
from bptt.execute.codegen.target import Target
from bptt.version import __version__

__all__ = ["build", "shorten"]

# What writes code, and what it is written from.
WRITERS = ("bptt.execute.codegen", "bptt.execute.compile", "bptt.step", "bptt.calculus")
# Of references without a callback: see `jit._Loaded`.
_alive: dict[str, weakref.ref[Compiled]] = {}


def build(
    description: object,
    write: Callable[[], str],
    target: Target,
    signatures: Mapping[str, Sequence[Any]],
) -> Compiled:
    """The code of what is described; `write` gives its IR if it must be compiled.

    description: its `repr` decides the code, together with the target.
    Raises: what `write` raises, and RuntimeError if LLVM refuses what it gives.
    """
    key = make_key(description, target)
    known = _alive.get(key)
    found = None if known is None else known()
    if found is None:
        found = load_object(_find(key, write, target), target, signatures)
        for dead in [key for key, one in _alive.copy().items() if one() is None]:
            _alive.pop(dead, None)
        _alive[key] = weakref.ref(found)
    return found


def _find(key: str, write: Callable[[], str], target: Target) -> bytes:
    store = find_store()
    data = None if store is None else store.read(key)
    if data is None:
        data = emit_object(write(), target)
        if store is not None:
            store.write(key, data)
    return data


def make_key(description: object, target: Target) -> str:
    """The digest of all that decides the code of what is described."""
    whole = repr((description, target, _surroundings()))
    return hashlib.sha256(whole.encode()).hexdigest()


def shorten(what: object) -> str:
    """A digest short enough for a name, of what `repr` shows of an object."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


@functools.cache
def _surroundings() -> tuple[object, ...]:
    sources = hashlib.sha256()
    for package in WRITERS:
        folder = resources.files(package)
        for name in sorted(file.name for file in folder.iterdir()):
            if name.endswith(".py"):
                text = (folder / name).read_bytes()
                sources.update(name.encode() + b"\0" + text + b"\0")
    versions = (__version__, llvmlite.__version__, binding.llvm_version_info)
    return (*versions, binding.get_process_triple(), sources.hexdigest())
