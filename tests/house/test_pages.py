"""Every Python block of the README and the documentation runs as it is printed."""

import contextlib
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if not page.name.endswith(".zh.md")
    ),
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = {
    "migrate.md": "torch",
    "processes.md": "torch",
    "training.md": "safetensors torch",
    "torch.md": "torch",
    "jax.md": "jax optax",
    "import-export.md": "torch",
}


def script_of(page):
    """The page's blocks as one program, each at the line where the page prints it."""
    text = page.read_text("utf-8")
    lines = [""] * text.count("\n")
    for match in BLOCK.finditer(text):
        first = text.count("\n", 0, match.start(1))
        block = match.group(1).splitlines()
        lines[first : first + len(block)] = block
    return "\n".join(lines) + "\n"


def has_code(page):
    return BLOCK.search(page.read_text("utf-8")) is not None


@pytest.mark.parametrize(
    "page", [page for page in PAGES if has_code(page)], ids=lambda page: page.name
)
def test_code_of_a_page_runs(page, tmp_path, monkeypatch):
    for module in NEEDS.get(page.name, "").split():
        pytest.importorskip(module)
    run(script_of(page), tmp_path, monkeypatch)


def run(script, folder, monkeypatch):
    """A page's program in a folder of its own; a process would import all again."""
    file = folder / "page.py"
    file.write_text(script, encoding="utf-8")
    monkeypatch.chdir(folder)
    with without_x64() if "jax" in script else contextlib.nullcontext():
        runpy.run_path(str(file), run_name="__main__")


@contextlib.contextmanager
def without_x64():
    """JAX as it begins; whatever a page says of it ends with the page."""
    config = pytest.importorskip("jax").config
    kept = config.jax_enable_x64
    config.update("jax_enable_x64", False)
    try:
        yield
    finally:
        config.update("jax_enable_x64", kept)


@pytest.mark.parametrize("before", [True, False])
def test_a_page_finds_jax_as_it_begins_and_leaves_it_so(before, tmp_path, monkeypatch):
    jax = pytest.importorskip("jax")
    script = (
        "import jax\nassert not jax.config.jax_enable_x64\n"
        "jax.config.update('jax_enable_x64', True)\n"
        "assert jax.numpy.zeros(1, float).dtype == 'float64'\n"
    )
    kept = jax.config.jax_enable_x64
    try:
        jax.config.update("jax_enable_x64", before)
        run(script, tmp_path, monkeypatch)
        assert jax.config.jax_enable_x64 == before
    finally:
        jax.config.update("jax_enable_x64", kept)


def test_readme_and_notation_have_code():
    assert {page.name for page in PAGES if has_code(page)} >= {
        "README.md",
        "notation.md",
    }


NAME = re.compile(r"\bbptt((?:\.[A-Za-z_]\w*)+)")
MADE = re.compile(r"(?<![\w.])([A-Z]\w+)\(")  # an object of a class, `DataRequest(...)`
SEVERAL = re.MULTILINE | re.DOTALL
THEIRS = {"Linear", "DistributedDataParallel"}  # classes of torch that sentences name


def test_every_name_in_a_sentence_is_there():
    modules = [
        pytest.importorskip(f"bptt.{part}") for part in ("torch", "jax", "train")
    ]
    package = importlib.import_module("bptt")
    classes = {name for module in (package, *modules) for name in dir(module)} | THEIRS
    found = 0
    for page in [*PAGES, *sorted((ROOT / "docs").rglob("*.zh.md"))]:
        prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=SEVERAL)
        for code in re.findall(r"`([^`]+)`", prose):
            for path in NAME.findall(code):
                found += 1
                if "NAME" not in path:
                    pkgutil.resolve_name(f"bptt{path}")
            for name in MADE.findall(code):
                assert name in classes, (page.name, code)
    assert found > 40


def test_a_wrong_block_is_caught_at_its_line(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n",
        encoding="utf-8",
    )
    assert script_of(page).splitlines()[7] == "assert x == 2"
    with pytest.raises(AssertionError) as caught:
        run(script_of(page), tmp_path, monkeypatch)
    assert caught.traceback[-1].lineno + 1 == 8


def test_readme_shows_equations_loss_and_check_by_line_20():
    top = "\n".join((ROOT / "README.md").read_text("utf-8").splitlines()[:20])
    for needed in (
        "a[t] = b + W @ h[t-1] + U @ x[t]",
        "h[t] = tanh(a[t])",
        "o[t] = c + V @ h[t]",
        "L[t] = nll(softmax(o[t]), y[t])",
        "grad.loss",
        "cell.check()",
    ):
        assert needed in top
