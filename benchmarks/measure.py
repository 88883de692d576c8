"""Timing in a process bound to its number of threads.

`python -m benchmarks` starts this module once per number of threads, with the thread
counts of BLAS and OpenMP in the environment before NumPy is loaded, and on as many CPUs
as threads: JAX, which has no such setting, then makes as many workers. Options come as
JSON in the first argument; each measured row leaves as one line of JSON.
"""

import json
import os
import subprocess
import sys

from benchmarks.timing import (
    PAUSE,
    PRODUCT,
    VARIABLES,
    bind_process,
    first_calls,
    median,
    time_interleaved,
    time_once,
)


def measure_row(case, shape, options):
    """One cell at one shape: everybody's times, first calls and errors."""
    from benchmarks.rivals import make_contestants, make_product
    from benchmarks.shapes import make_data

    dtype, threads = options["dtype"], options["threads"]
    contestants = make_contestants(case, make_data(case, shape, dtype), threads)
    first, errors = first_calls(contestants, dtype)
    runs = {name: contestant.run for name, contestant in contestants.items()}
    runs[PRODUCT] = make_product(dtype)
    pause = PAUSE if threads > 1 else 0.0
    samples = time_interleaved(runs, options["rounds"], options["seconds"], pause)
    product = samples.pop(PRODUCT)
    return {
        "cell": case.name,
        "shape": list(shape),
        "threads": threads,
        "dtype": dtype,
        "flops": case.flops(shape),
        # The limit is what the machine can do: the best sample, disturbed or not.
        "sgemm": 2 * 1024**3 / min(product),
        "sgemm_median": 2 * 1024**3 / median(product),
        "seconds": {name: median(values) for name, values in samples.items()},
        "best": {name: min(values) for name, values in samples.items()},
        "rounds": len(product),
        "first": first,
        "error": errors,
    }


def measure_copies(case, shape, options):
    """What the norms of all copies of all parameters cost beside the gradient."""
    from benchmarks.shapes import make_data

    params, x, ones = make_data(case, shape, options["dtype"])
    cell = case.make_cell()

    def gradient():
        arguments = {"seeds": {"h": ones}, "threads": options["threads"]}
        return cell.gradient(params, {"x": x}, **arguments)

    def plain():
        dict(gradient())

    def with_norms():
        found = gradient()
        dict(found)
        for copies in found.copies.values():
            copies.norms()

    plain()
    runs = {"plain": plain, "norms": with_norms}
    samples = time_interleaved(runs, options["rounds"], options["seconds"])
    times = {name: median(values) for name, values in samples.items()}
    return {
        "cell": case.name,
        "shape": list(shape),
        "threads": options["threads"],
        "copies_percent": 100 * (times["norms"] / times["plain"] - 1),
    }


def measure_compile(case, shape, options):
    """Seconds of the first call of torch.compile on the Python loop."""
    import torch

    from benchmarks.rivals import make_loop
    from benchmarks.shapes import make_data

    torch.set_num_threads(options["threads"])
    data = make_data(case, shape, options["dtype"])
    contestant = make_loop(case, *data, is_compiled=True)
    row = {"cell": case.name, "shape": list(shape), "threads": options["threads"]}
    try:
        row["torch_compile_first"] = time_once(contestant.run)
        row["torch_compile_seconds"] = median(
            [time_once(contestant.run) for _ in "abc"]
        )
    except Exception as error:  # noqa: BLE001 - a rival's failure is a result, whatever it is
        row["torch_compile_error"] = f"{type(error).__name__}: {error}"[:200]
    return row


def run_worker(options):
    """Yield all rows of one process, after its imports are done."""
    bind_process(options["threads"])
    # A first call is to show the compilation, not the import of the compiler.
    from benchmarks.shapes import CASES

    warm = CASES["elman"]
    measure_row(warm, (2, 1, 3, 5), options | {"rounds": 1})
    for name in options["catalogue"]:
        from benchmarks.catalogue import measure_case

        yield measure_case(name, options)
    for name in options["library"]:
        from benchmarks.library import measure_cell

        yield measure_cell(name, tuple(options["library_shape"]), options)
    for name in options["ragged"]:
        from benchmarks.ragged import measure_ragged

        yield measure_ragged(CASES[name], tuple(options["ragged_shape"]), options)
    shapes = [tuple(shape) for shape in options["shapes"]]
    for name in options["cells"]:
        for shape in shapes:
            yield measure_row(CASES[name], shape, options)
        yield measure_copies(CASES[name], options["copies_shape"], options)
        if options["compile"]:
            yield measure_compile(CASES[name], options["compile_shape"], options)


def start_worker(options):
    """Run a worker process and yield its rows.

    Raises: RuntimeError if it ends with an error, which is then on the screen.
    """
    number = str(options["threads"])
    environment = os.environ | dict.fromkeys(VARIABLES, number)
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(options)]
    with subprocess.Popen(  # noqa: S603 - this program itself
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"the process of {number} threads failed")


def main():
    for row in run_worker(json.loads(sys.argv[1])):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
