"""The README of each room of the executors is true: every file, every import."""

import ast
import re
from pathlib import Path

import pytest

EXECUTE = Path(__file__).parents[2] / "src" / "bptt" / "execute"
ROOMS = ("codegen", "compile", "kernels")


def files_named(readme):
    """The files in the first column of the map."""
    return re.findall(r"^\| `(\w+\.py)` \|", readme, re.MULTILINE)


def allowed(readme):
    """The modules after `May import:`."""
    return re.findall(
        r"`(bptt[\w.]*)`", re.search(r"May import:.*?\n\n", readme, re.DOTALL)[0]
    )


def imports(path):
    """Every module of bptt that a file imports, for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bptt"):
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("bptt"))


def forbidden(room, readme):
    """`file: module` of every import that the README does not allow."""
    may = (*allowed(readme), f"bptt.execute.{room.name}")
    return [
        f"{path.name}: {name}"
        for path in sorted(room.glob("*.py"))
        for name in imports(path)
        if not any(name == m or name.startswith(f"{m}.") for m in may)
    ]


@pytest.mark.parametrize("name", ROOMS)
def test_the_map_names_every_file_once_and_no_other(name):
    room = EXECUTE / name
    named = files_named((room / "README.md").read_text(encoding="utf-8"))
    there = sorted(p.name for p in room.glob("*.py") if p.name != "__init__.py")
    missing = [f"{name}/README.md does not name {f}" for f in there if f not in named]
    gone = [f"{name}/README.md names {f}, which is not there" for f in named
            if f not in there]  # fmt: skip
    assert missing + gone == []
    assert len(named) == len(set(named))


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_what_its_readme_says_and_nothing_else(name):
    room = EXECUTE / name
    assert forbidden(room, (room / "README.md").read_text(encoding="utf-8")) == []


def test_a_forbidden_import_and_an_unnamed_file_are_found(tmp_path):
    (tmp_path / "a.py").write_text(
        "from bptt.step.graph import Node\n", encoding="utf-8"
    )
    readme = "| `b.py` | x |\n\nMay import: `bptt.errors`.\n\n"
    assert files_named(readme) == ["b.py"]
    assert forbidden(tmp_path, readme) == ["a.py: bptt.step.graph.Node"]
