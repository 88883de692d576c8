"""The entries of this project's work, each in the environment that nox runs in.

nox -s quick      unit tests, less than two minutes on two cores
nox -s tests      every test, with README and documentation code
nox -s every      the same, of every cell where a usual run takes some; before a release
nox -s lint       style, types, layers
nox -s docs       README and documentation code alone
nox -s site       the site, strictly
nox -s latex      every LaTeX document compiled, TeX installed for it; before a release
nox -s release    the archive and the wheel, tested with the source deleted
nox -s pythons    the quick tests on every Python from 3.11 to 3.14 that is here
nox -s oldest     the quick tests with the oldest versions that pyproject.toml allows
nox -s bench      every benchmark; arguments after --
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "quick"]

QUICK = (
    "tests/house/test_style.py",
    "tests/house/test_rooms.py",
    "tests/house/test_words.py",
    "tests/language",
    "tests/calculus",
    "tests/step/test_ops.py",
    "tests/page",
    "tests/test_cells.py",
    "tests/execute/test_bindings.py",
    "tests/execute/test_lengths.py",
    "tests/portability/test_files.py",
)

# What the style of this repository does not concern: any interpreter can run these.
UNITS = tuple(room for room in QUICK if "house" not in room)
# Two processes have two cores: what BLAS and torch start beside them waits in turns,
# a third of the time of tests of torch. So no test here sees BLAS or torch with more
# threads, unless the caller says so: OMP_NUM_THREADS=2 nox -s tests.
ONE_THREAD = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
TESTING = ("pytest", "pytest-xdist", "hypothesis", "mpmath", "scipy")


def _python(
    session: nox.Session, *arguments: str, env: dict[str, str] | None = None
) -> None:
    session.run(sys.executable, "-m", *arguments, external=True, env=env)


@nox.session
def quick(session: nox.Session) -> None:
    """Unit tests."""
    asked = (*QUICK, *session.posargs)
    _python(session, "pytest", "-q", "-n", "2", *asked, env=ONE_THREAD)


@nox.session
def tests(session: nox.Session) -> None:
    """Every test.

    Each of two workers begins at its own half and takes of the other's rest when it is
    through: what the tests of a module share is made once, and both end together.
    """
    asked = ("-n", "2", "--dist", "worksteal", *session.posargs)
    _python(session, "pytest", "-q", *asked, env=ONE_THREAD)


@nox.session
def every(session: nox.Session) -> None:
    """Every test of every cell, of which a usual run lets some take turns; or a room's.

    With BPTT_EVERY_CELL=1, which the tests that read it name.
    """
    asked = ("-n", "2", "--dist", "worksteal", *session.posargs)
    env = {**ONE_THREAD, "BPTT_EVERY_CELL": "1"}
    _python(session, "pytest", "-q", *asked, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types and layers."""
    _python(session, "ruff", "check", ".")
    _python(session, "ruff", "format", "--check", ".")
    _python(session, "mypy")
    layers = Path(sys.executable).with_name("lint-imports")
    session.run(str(layers), "--no-cache", external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """README and documentation code."""
    _python(session, "pytest", "-q", "tests/house/test_pages.py", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """The site, written to build/site."""
    _python(session, "mkdocs", "build", "--strict", *session.posargs)


@nox.session
def latex(session: nox.Session) -> None:
    """The LaTeX documents and figures, compiled."""
    session.run("bash", ".ci/latex", external=True)


@nox.session
def release(session: nox.Session) -> None:
    """The archive and the wheel, tested with the source deleted."""
    session.run("bash", ".ci/release", external=True)


def _fresh(session: nox.Session, python: str, *requirements: str) -> str:
    """An interpreter's path in a new environment with bptt and what its tests need."""
    folder = session.create_tmp()
    session.run(python, "-m", "venv", "--clear", folder, external=True)
    places = (Path(folder, "bin/python"), Path(folder, "Scripts/python.exe"))
    new = str(next(place for place in places if place.exists()))
    # A part of it is imported: Python compiles that when it is.
    options = ("-q", "--no-compile")
    session.run(new, "-m", "pip", "install", *options, *requirements, external=True)
    return new


def _find_python(name: str) -> str | None:
    """An interpreter that starts: on the path, or one that pyenv has."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(name), *sorted(pyenv.glob(f"versions/*/bin/{name}"))]
    for path in filter(None, found):
        # pyenv's own `python3.12` on the path ends with 127 where none is chosen.
        ended = subprocess.run((path, "-V"), capture_output=True, check=False)  # noqa: S603
        if ended.returncode == 0:
            return str(path)
    return None


@nox.session
def pythons(session: nox.Session) -> None:
    """The quick tests on every interpreter that is here; names those that are not.

    With --others not on the one that nox runs in, on which CI makes all tests.
    """
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    has_own = "--others" not in session.posargs
    wanted = [name for name in PYTHONS if has_own or name != own]
    paths = {name: _find_python(name) for name in wanted}
    for path in filter(None, paths.values()):
        new = _fresh(session, path, ".", *TESTING)
        asked = ("-m", "pytest", "-q", "-n", "2", *UNITS)
        session.run(new, *asked, external=True, env=ONE_THREAD)
    tried = [name for name in wanted if paths[name]]
    missing = [name for name in wanted if not paths[name]]
    session.log(f"tried: {', '.join(tried)}; not found: {', '.join(missing) or 'none'}")


@nox.session
def oldest(session: nox.Session) -> None:
    """The quick tests, torch and JAX with the oldest versions that are allowed.

    On Linux and x86-64 the index has that torch for CUDA alone, 7 GB installed; where
    pip is told of a place with CPU builds, 2.8.0+cpu is taken instead.
    """
    rooms = (
        *UNITS,
        "tests/cli/test_commands.py",
        "tests/torch/test_convert.py",
        "tests/jax/test_module.py",
    )
    new = _fresh(
        session,
        sys.executable,
        "-c",
        "constraints-oldest.txt",
        ".[train,jax]",
        *TESTING,
    )
    there = [room for room in rooms if Path(room).exists()]
    session.run(new, "-m", "pytest", "-q", "-n", "2", *there, external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks."""
    _python(session, "benchmarks", *session.posargs)
