"""docs/flow.md has every kind of diagnosis: in its table, and with a run of its own."""

import ast
import re
from pathlib import Path

from bptt.flow import rules, rules_of_layers
from bptt.flow.words import LANGUAGES, table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "flow.md").read_text(encoding="utf-8")
KINDS = {word for word in table("en")["word"] if word != "healthy"}


def constants():
    """Every string in the code of the rules."""
    folder = Path(rules.__file__).parent
    trees = [ast.parse(f.read_text(encoding="utf-8")) for f in folder.glob("rules*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {n.value for n in nodes if isinstance(n, ast.Constant)}, nodes


def test_the_words_are_those_that_the_rules_emit():
    """Each is written in a rule, of a layer, or near a line; no other has a word."""
    strings, nodes = constants()
    of_layers = {f"{kind}-layer" for kind in rules_of_layers.OF_LAYERS}
    near = {kind for kind in KINDS if kind.startswith("near-")}
    assert {kind.removeprefix("near-") for kind in near} <= strings
    assert KINDS - near - of_layers <= strings
    assert of_layers <= KINDS
    calls = [n for n in nodes if isinstance(n, ast.Call) and n.args]
    given = [n.args[0] for n in calls if getattr(n.func, "id", "") == "diagnosis"]
    emitted = {
        n.value
        for first in given
        for n in ast.walk(first)
        if isinstance(n, ast.Constant) and not n.value.startswith("near-")
    }
    assert len(given) > 20
    assert emitted <= KINDS
    for lang in LANGUAGES:
        says = table(lang)["says"]
        for kind in KINDS:
            assert any(key.startswith(kind.removesuffix("-layer")) for key in says)
        assert {*table(lang)["word"]} - {"healthy"} == KINDS


def test_every_kind_has_a_run_in_the_page_and_a_line_in_its_table():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| ")]
    named = {word.strip(" `()") for row in rows for word in re.split("[, ]", row)}
    assert named >= KINDS
    assert set(re.findall(r'says\(.*?, "([\w-]+)",', PAGE)) == KINDS
