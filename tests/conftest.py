"""Settings of the whole suite: generated tests, and how kernels are compiled."""

import gc
import os
import re
import shutil
import signal
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bptt.execute.codegen.target import get_host_target
from bptt.execute.kernels import executor
from tests.train import short_runs

# Derandomised: a failure on one machine is a failure on all. `--hypothesis-profile
# search`, or BPTT_HYPOTHESIS=search, looks further with fresh examples.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", deadline=None, max_examples=1000)


# Compiled code is kept in a folder of this run, which its processes share; never in the
# user's own. Whoever measures or compares compilations turns it off.
CACHE = "BPTT_CACHE"
_own_cache = None if CACHE in os.environ else tempfile.mkdtemp(prefix="bptt-tests-")
if _own_cache:
    os.environ[CACHE] = _own_cache


def pytest_unconfigure(config):
    if _own_cache:
        shutil.rmtree(_own_cache, ignore_errors=True)


# Programs that tests start import from `tests`, too.
_paths = (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _paths))

FRAMEWORK = re.compile(r"^(?:import|from) (torch|jax)\b", re.MULTILINE)


def pytest_ignore_collect(collection_path):
    """Leave out a file that compares with a framework which is not installed."""
    if collection_path.suffix != ".py":
        return None
    named = set(FRAMEWORK.findall(collection_path.read_text(encoding="utf-8")))
    return True if any(find_spec(name) is None for name in named) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Modules and collected tests stay to the end: no search for cycles among them.

    They are a million objects. Looking through them again and again was a sixth of the
    collection and a twelfth of the tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


# Half a minute or more each: begun last they would keep one of two processes waiting.
LONG = ("test_website.py", "test_two_devices.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


# A shell that starts a program in the background lets it ignore Ctrl-C, and so would
# the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def _compile_quickly(request):
    """Where kernels are not what is tested, LLVM generates code with the least effort.

    The IR, and so every number, is the same; half the time of a test with a new cell
    was the generation of code that runs once. tests/execute keeps the usual effort.
    """
    if "execute" in request.path.parts:
        yield
        return
    target = replace(get_host_target(), effort=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor, "host_target", lambda: target)
        yield


@pytest.fixture(scope="module", autouse=True)
def _run_shortly(request):
    """Where models are trained, what a run keeps beside its parameters is short."""
    is_asked = request.path.parent.name in short_runs.ROOMS
    with pytest.MonkeyPatch.context() as patch:
        if is_asked:
            short_runs.shorten(patch, short_runs.WHOLE.get(request.path.name, ()))
        yield


settings.load_profile(os.environ.get("BPTT_HYPOTHESIS", "ci"))


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests of a process: a second one may not be started."""
    from tests.explain import browser as browsers

    playwright, found = browsers.start()
    yield found
    found.close()
    playwright.stop()
