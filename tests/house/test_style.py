"""The sizes that the house style allows, counted."""

import ast
from pathlib import Path

import pytest

from tests.house.ordered import find, index

SOURCE = Path(__file__).parents[2] / "src" / "bptt"
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 40  # of statements: signature and docstring may be generous


def too_long_functions(tree, name):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if length > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno} {node.name} has {length} lines"


def test_the_source_is_found():
    assert SOURCE / "errors.py" in FILES


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(SOURCE).as_posix())
def test_files_and_functions_are_short(file):
    text = file.read_text("utf-8")
    name = file.relative_to(SOURCE).as_posix()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert list(too_long_functions(ast.parse(text), name)) == []


def test_the_counter_finds_a_long_function():
    tree = ast.parse("def f():\n" + "    pass\n" * 41)
    assert list(too_long_functions(tree, "x.py")) == ["x.py:1 f has 41 lines"]


def misplaced_skips(text, name):
    """`# fmt: skip` that stands elsewhere than behind the end of a bracket."""
    for number, line in enumerate(text.splitlines(), 1):
        before, found, _ = line.partition("# fmt: skip")
        if found and not set(before) & set(")]}"):
            yield f"{name}:{number}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(SOURCE).as_posix())
def test_the_formatter_is_left_out_only_for_packed_brackets(file):
    assert list(misplaced_skips(file.read_text("utf-8"), file.name)) == []


def test_a_misplaced_skip_is_found():
    text = "x = f(\n    a, b,\n)  # fmt: skip\ny = 1  # fmt: skip\n"
    assert list(misplaced_skips(text, "x.py")) == ["x.py:4"]


def test_nothing_depends_on_the_order_of_a_set():
    texts = {file: file.read_text("utf-8") for file in FILES}
    package = index(ast.parse(text) for text in texts.values())
    found = {file.relative_to(SOURCE).as_posix(): find(text, package)
             for file, text in texts.items()}  # fmt: skip
    assert {file: lines for file, lines in found.items() if lines} == {}


# Classes of one name on purpose: the same thing in two front ends.
SAME = {"FlowWatch", "Recurrent"}


def classes_twice(trees):
    """`name: files` of every class name that stands in two files."""
    found = {}
    for name, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(name)
    return {name: files for name, files in found.items() if len(files) > 1}


def test_no_class_name_stands_twice():
    trees = [
        (file.relative_to(SOURCE).as_posix(), ast.parse(file.read_text("utf-8")))
        for file in FILES
    ]
    twice = classes_twice(trees)
    assert {name: files for name, files in twice.items() if name not in SAME} == {}


def test_a_class_name_that_stands_twice_is_found():
    tree = ast.parse("class A:\n    pass\n")
    assert classes_twice([("x.py", tree), ("y.py", tree)]) == {"A": ["x.py", "y.py"]}
