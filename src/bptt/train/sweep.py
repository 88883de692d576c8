"""A sweep: every combination of some options, each a run of its own, on all cores.

    data = "book.txt"          # and any option, as in a file for --config
    epochs = 3
    out = "runs/sweep"
    [grid]
    cell = ["gru", "lstm"]
    learning_rate = [0.003, 0.006]
    seed = [0, 1, 2]

A run that has ended is left alone, one that was stopped goes on, and the others begin:
the same command again finishes what is left.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from bptt.train.checkpoint import LAST, path_of
from bptt.train.children import Children
from bptt.train.data.opening import DataRequest
from bptt.train.errors import ConfigFileError, SweepError
from bptt.train.files import make_folder, refuse_special, try_lock, write_whole
from bptt.train.options import TrainingOptions
from bptt.train.run_config import from_table, meaning_of, read_table
from bptt.train.run_folder import read_config
from bptt.train.summary import SUMMARY_FILE, read_summary

GRID = "grid"
MAX_RUNS = 10_000
DONE, WENT_ON, FAILED = "there already", "trained", "failed"
WAITS = "waits for a process that another sweep began"
STOPPED, LEFT = "stopped, to go on with", "not begun"
# Exit codes of a run that was stopped: its own, and Python's while it is not up yet, on
# POSIX and on Windows.
INTERRUPTED = (130, -signal.SIGINT, 0xC000013A)
PAUSE = 0.2  # seconds between two looks at what is waited for


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its folder, and the table of options it is told."""

    folder: Path
    table: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The values that are its own."""
        return self.folder.name

    @property
    def is_done(self) -> bool:
        """Whether the run has ended, uninterrupted."""
        if not (self.folder / SUMMARY_FILE).is_file():
            return False
        return not read_summary(self.folder).record.was_interrupted


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended; reason: the last line that it printed, where it failed."""

    job: Job
    how: str
    reason: str = ""

    @property
    def is_left(self) -> bool:
        """Whether the sweep was stopped before it was done; the next one does it."""
        return self.how in (STOPPED, LEFT)


def read_sweep(path: Path) -> tuple[Path, list[Job]]:
    """The folder and the jobs of a sweep, every one of them checked.

    Raises: ConfigFileError, OptionError.
    """
    found = read_table(path)
    grid = found.pop(GRID, None)
    if not isinstance(grid, dict) or not grid:
        raise ConfigFileError(path, "has no table [grid] with a list for each option")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ConfigFileError(path, f"{GRID}.{name} is not a list of values")
    _refuse_clash(path, found, grid)
    out = Path(str(found.pop("out", path.with_suffix(""))))
    n = 1
    for values in grid.values():
        n *= len(values)
    if n > MAX_RUNS:
        raise ConfigFileError(path, f"asks for {n:,} runs; {MAX_RUNS:,} are the most")
    jobs = []
    for values in product(*grid.values()):
        own = dict(zip(grid, values, strict=True))
        table = {**found, **own}
        TrainingOptions(**from_table(path, table).options)
        jobs.append(Job(out / _name(own), table))
    twice = len(jobs) - len({job.folder for job in jobs})
    if twice:
        raise ConfigFileError(path, f"names {twice} runs twice")
    return out, jobs


def _refuse_clash(
    path: Path, outside: Mapping[str, Any], grid: Mapping[str, Any]
) -> None:
    """Refuse what is said in [grid] and outside of it, and a folder for each run.

    Raises: ConfigFileError.
    """
    if "out" in grid:
        reason = f"{GRID}.out: each run has a folder of its own; say out outside"
        raise ConfigFileError(path, reason)
    known = {meaning_of(key): key for key in outside}
    for key in grid:
        meaning = meaning_of(key)  # None where no option is called so, said elsewhere
        if meaning is not None and meaning in known:
            other = known[meaning]
            reason = f"says {other} outside of [{GRID}] and {key} in it; leave one out"
            raise ConfigFileError(path, reason)


def run_sweep(
    out: Path,
    jobs: Sequence[Job],
    n_jobs: int,
    tell: Callable[[JobOutcome], None],
    stopping: Callable[[int], object] = lambda n: None,
) -> list[JobOutcome]:
    """Run what is not done, `n_jobs` at a time, each a process of its own.

    tell: hears of every job as it ends, or waits: a sweep that was killed leaves its
    processes at work. What a job prints goes to NAME.log beside its folder. The first
    Ctrl-C, SIGTERM or SIGHUP stops those at work, each that trains is saved, and begins
    no more; stopping: hears then how many there are.
    Raises: FolderNotWritableError, SweepError if a run there has other options;
    KeyboardInterrupt at the second Ctrl-C or SIGTERM.
    """
    make_folder(out)
    for job in jobs:
        _refuse_other(job)
    cores = os.cpu_count() or 1
    threads = str(max(1, cores // n_jobs))

    with Children(stopping) as children, ThreadPoolExecutor(n_jobs) as pool:

        def run(job: Job) -> JobOutcome:
            if job.is_done:
                outcome = JobOutcome(job, DONE)
            elif children.is_stopping:
                outcome = JobOutcome(job, LEFT)
            else:
                outcome = _run(job, threads, children, tell)
            if outcome.how != LEFT:
                tell(outcome)
            return outcome

        found = [pool.submit(run, job) for job in jobs]
        # With a limit, or Windows would answer no signal while it waits.
        while wait(found, timeout=PAUSE).not_done:
            pass
        return [one.result() for one in found]


def _refuse_other(job: Job) -> None:
    """A folder of this name must hold the run that the sweep means."""
    if not path_of(job.folder, LAST).is_file():
        return
    config, wanted = read_config(job.folder), from_table(job.folder, job.table)
    options = TrainingOptions.from_json(config["options"])
    request = config.get("data", {}).get("request")
    asked = wanted.request or DataRequest()
    is_same = request is None or asked.is_that_of(request)
    if options != TrainingOptions(**wanted.options) or not is_same:
        raise SweepError(job.folder)


def _run(
    job: Job, threads: str, children: Children, tell: Callable[[JobOutcome], None]
) -> JobOutcome:
    log = job.folder.with_name(f"{job.name}.log")
    refuse_special(log)
    with log.open("a", encoding="utf-8") as stream:
        if not try_lock(stream.fileno()):
            tell(JobOutcome(job, WAITS))
            while not try_lock(stream.fileno()):
                if children.is_stopping:
                    return JobOutcome(job, LEFT)
                time.sleep(PAUSE)
        if job.is_done:
            return JobOutcome(job, DONE)
        stream.seek(0)
        stream.truncate()
        code = children.run(
            [sys.executable, "-m", "bptt", "train", *_arguments(job)],
            stream,
            {**os.environ, "BPTT_THREADS": threads},
        )
    if code is None:
        return JobOutcome(job, LEFT)
    if code == 0:
        return JobOutcome(job, WENT_ON)
    if children.is_stopping and code in INTERRUPTED:
        return JobOutcome(job, STOPPED)
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return JobOutcome(job, FAILED, lines[-1] if lines else f"exit {code}")


def _arguments(job: Job) -> list[str]:
    if path_of(job.folder, LAST).is_file():
        return ["--resume", str(job.folder)]
    table = job.folder.with_name(f"{job.name}.json")
    write_whole(table, (json.dumps(job.table, indent=1) + "\n").encode())
    return ["--config", str(table), "--out", str(job.folder)]


def _name(own: Mapping[str, Any]) -> str:
    """A folder's name from the values of a job; no sign in it leads elsewhere."""
    text = ",".join(f"{name}={value}" for name, value in own.items())
    return "".join(c if c.isalnum() or c in "=,._-" else "-" for c in text)[:200]
