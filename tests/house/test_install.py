"""Nobody is told to install by a name that no index has yet: from a clone."""

import re
import tomllib
from pathlib import Path

from bptt.errors import how_to_install

ROOT = Path(__file__).parents[2]
ROOMS = ("src", "docs", "notebooks", "examples", "benchmarks", ".ci", ".github")
KINDS = {".py", ".md", ".toml", ".yml", ".ipynb", ".js", ""}
# `pip install bptt`, `pip install "bptt[train]"`, `uv add bptt`, a wheel's name apart.
NAMED = re.compile(
    r"""(?:pip3? install|uv add|pipx install)[^\n`#&]*?["' ]bptt(?![\w.*-])"""
)
SAID = re.compile(r"from a clone of bptt")


def texts():
    for room in ROOMS:
        yield from (p for p in sorted((ROOT / room).rglob("*")) if p.suffix in KINDS)
    yield from (p for p in sorted(ROOT.glob("*")) if p.suffix in KINDS)


def read():
    for path in texts():
        if path.is_file() and path.name != "CHANGELOG.md":
            yield path, path.read_text(encoding="utf-8", errors="replace")


def test_no_text_installs_by_a_name_that_is_not_there_yet():
    found = {path.relative_to(ROOT).as_posix(): NAMED.findall(text)
             for path, text in read()}  # fmt: skip
    assert len(found) > 300
    assert {name: bad for name, bad in found.items() if bad} == {}
    for bad in ('pip install "bptt[train]"', "pip install bptt", "uv add bptt"):
        assert NAMED.search(bad)


def test_the_sentence_has_one_home():
    homes = [
        path.relative_to(ROOT).as_posix()
        for path, text in read()
        if path.suffix == ".py" and SAID.search(text)
    ]
    assert homes == ["src/bptt/errors.py"]


def test_the_command_names_what_a_clone_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    called = re.compile(
        r"(?:not_installed|how_to_install|MissingExtraError|TrainExtraMissingError)"
        r"""\((?:[^()]|\([^()]*\))*?"(\w+)"\s*\)"""
    )
    source = ROOT / "src"
    used = {
        name
        for path, text in read() if path.is_relative_to(source)
        for name in called.findall(text)
    }  # fmt: skip
    assert {"plot", "matrix", "train"} <= used
    assert "-c constraints.txt" in how_to_install("train")
    assert (ROOT / "constraints.txt").is_file()
    brought = {re.match(r"[\w-]+", need)[0] for e in extras.values() for need in e}
    assert used <= {*extras, *brought}
