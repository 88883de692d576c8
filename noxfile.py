"""The entries of this project's work, each in the environment that nox runs in.

nox -s quick      unit tests, less than two minutes on two cores
nox -s tests      every test, with README and documentation code
nox -s lint       style, types, layers
nox -s docs       README and documentation code alone
nox -s site       the site, strictly
nox -s latex      every LaTeX document compiled, TeX installed for it; before a release
nox -s bench      every benchmark; arguments after --
"""

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
)


def _python(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable, "-m", *arguments, external=True)


@nox.session
def quick(session: nox.Session) -> None:
    """Unit tests."""
    _python(session, "pytest", "-q", "-n", "2", *QUICK, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Every test."""
    _python(session, "pytest", "-q", "-n", "2", *session.posargs)


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
def bench(session: nox.Session) -> None:
    """Benchmarks."""
    _python(session, "benchmarks", *session.posargs)
