"""bptt.jax as a module, and the compiled programs it leaves."""

import doctest
import importlib
import os
import subprocess
import sys

import jax


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_bptt_imports_jax_only_when_bptt_jax_is_named():
    code = "import sys, bptt; assert 'jax' not in sys.modules; bptt.jax.recurrent"
    ended = run_python(code)
    assert ended.returncode == 0, ended.stderr


def test_a_missing_jax_is_named_with_the_extra_to_install():
    code = "import sys; sys.modules['jax'] = None; import bptt; bptt.jax"
    ended = run_python(code)
    said = "bptt.jax needs the package jax, which is not installed: from a clone"
    assert said in ended.stderr
    assert '".[jax]"' in ended.stderr


def test_a_compiled_program_holds_the_equations_themselves(problem):
    """Not the number of something in this process's memory: programs are kept on disk
    by JAX's cache, and serialised by `jax.export`."""
    p, x, _, _ = problem.arguments
    total = jax.jit(lambda p, x: problem.f(p, {"x": x, "y": problem.y}).loss)
    assert "W @ h[t-1] + U @ x[t]" in total.lower(p, x).as_text()


def test_the_example_of_the_docstring_runs():
    module = importlib.import_module("bptt.jax.recurrent")
    assert doctest.testmod(module) == (0, 7)
