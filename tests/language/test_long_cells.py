"""Long cells: read in little time and memory, or refused."""

import resource
import subprocess
import sys
import time

import numpy as np
import pytest

import bptt
from bptt import errors
from bptt.execute.dispatch import FallbackWarning

REFUSED = {
    "100,000 equations": "'h0[t] = x[t]\\n' + '\\n'.join(f'h{i}[t] = tanh(h{i-1}[t])'"
    " for i in range(1, 100_000))",
    "short equations": "'a[t]=b;' * 100_000",
    "a line of 10 MB": "'h[t] = ' + 'x[t] + ' * 1_500_000",
    "a number of 10 MB": "'h[t] = ' + '1' * 10_000_000",
    "brackets of 10 MB": "'h[t] = ' + '(' * 10_000_000",
}
CODE = """
import pathlib, re, resource, time
import bptt
text = {text}
begin = time.process_time()
try:
    bptt.Cell(text)
except bptt.errors.CellSizeError:
    seconds = time.process_time() - begin
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # what getrusage says includes the parent, before exec
        memory = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, memory / 1024)
"""


def chain(length):
    lines = ["h0[t] = tanh(W @ h0[t-1] + U @ x[t])"]
    lines += [f"h{i}[t] = tanh(h{i - 1}[t])" for i in range(1, length)]
    return "\n".join(lines)


def test_a_chain_of_5000_equations_is_read():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    cell = bptt.Cell(chain(5000))
    assert time.process_time() - begin < 4  # 1.0 s measured; a slow machine's half
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    assert len(cell.nodes) == 5000
    assert bptt.Cell(cell.canonical_text).nodes == cell.nodes


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_no_cell_is_is_refused_at_once(text):
    run = subprocess.run(
        [sys.executable, "-c", CODE.format(text=text)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, memory = map(float, run.stdout.split())
    assert seconds < 2
    assert memory < 500


def gradient_of(length, executor):
    cell = bptt.Cell(f"{chain(length)}\nL[t] = sum(h{length - 1}[t])")
    n_h, n_x = 3, 2
    params = cell.init(n_x=n_x, **{cell.parameters["W"][0]: n_h})
    x = np.random.default_rng(0).standard_normal((3, 2, n_x))
    return cell.gradient(params, {"x": x}, executor=executor)


def test_a_chain_longer_than_the_stack_is_compiled():
    found, known = (gradient_of(300, name) for name in ("llvm", "reference"))
    for name in known:
        np.testing.assert_allclose(found[name], known[name], rtol=1e-10, atol=1e-14)


def test_a_chain_too_long_to_compile_says_so_and_runs():
    with pytest.warns(FallbackWarning, match="would take minutes to compile"):
        found = gradient_of(5000, "llvm")
    np.testing.assert_array_equal(found["W"], gradient_of(5000, "reference")["W"])
    assert np.abs(found["W"]).max() > 0


def test_a_loop_that_meets_itself_both_ways_is_found_in_a_long_chain():
    text = chain(3000).replace("U @ x[t]", "h2999[t+1]") + "\no[t] = U @ x[t]"
    with pytest.raises(errors.TwoDirectionsError, match=r"h0\[t-1\]"):
        bptt.Cell(text)
