"""The site builds strictly, asks no other host, and can be searched offline."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bptt import cells

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHINESE = sorted(DOCS.rglob("*.zh.md"))
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"^\$\$.*?\$\$$", re.MULTILINE | re.DOTALL)
SOURCE = re.compile(
    r"""<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=["']?(https?:[^"' >]+)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", folder]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_a_line_of_code_fits_the_column_of_a_screen_of_1280():
    room = 93  # signs, by the size of the letters in website/assets/site.css
    wide = [
        (page.relative_to(DOCS).as_posix(), line)
        for page in sorted(DOCS.rglob("*.md"))
        for block in BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if len(line) > room
    ]
    assert wide == []


def test_no_page_names_another_host_as_a_source(site):
    found = {
        (page.name, url)
        for page in site.rglob("*.html")
        for url in SOURCE.findall(page.read_text(encoding="utf-8"))
    }
    assert {
        pair for pair in found if not pair[1].startswith("https://katex.org")
    } == set()
    assert len(list(site.rglob("*.html"))) > 60


def test_every_page_has_the_menu_of_its_language(site):
    pages = [p for p in site.rglob("*.html") if p.parent.name != "explanations"]
    for page in pages:
        name = page.relative_to(site).as_posix()
        language = "zh" if name.startswith("zh/") else "en"
        shown = page.read_text(encoding="utf-8")
        assert f'<html lang="{language}"' in shown, name
    for name in (
        "CHANGELOG.html",
        "CONTRIBUTING.html",
        "benchmarks/results/report.html",
    ):
        assert (site / name).is_file()
        assert (site / "zh" / name).is_file()


def test_the_gallery_leads_to_the_explanation_of_every_cell(site):
    names = list(cells.names())
    for folder, up in ((site, ""), (site / "zh", "../")):
        shown = (folder / "gallery.html").read_text(encoding="utf-8")
        assert re.findall(rf'href="{up}explanations/(\w+)\.html"', shown) == names
    for name in names:
        page = site / f"explanations/{name}.html"
        assert page.stat().st_size < 1e6
        assert f"of the cell {name}, derived" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["bptt", "bptt.torch", "bptt.jax", "bptt.train"])
def test_the_reference_shows_every_name_of_the_api(site, module):
    api = pytest.importorskip(module)
    page = site / f"api/{module.rpartition('.')[2]}.html"
    shown = page.read_text(encoding="utf-8")
    documented = [name for name in api.__all__ if callable(getattr(api, name))]
    assert len(documented) > 1
    for name in documented:
        assert re.search(rf'id="bptt(\.\w+)*\.{name}"', shown), name


def test_the_reference_shows_examples_and_errors(site):
    shown = (site / "api/bptt.html").read_text(encoding="utf-8")
    assert "&gt;&gt;&gt;" in shown
    assert "MissingSizeError" in shown
    errors = (site / "api/errors.html").read_text(encoding="utf-8")
    assert 'id="bptt.errors.MissingSizeError"' in errors


def test_a_page_from_disk_is_typeset_and_searched_without_a_network(browser, site):
    asked, tab = [], browser.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((site / "chapter.html").as_uri())
    tab.wait_for_selector(".arithmatex .katex")
    assert tab.locator(".katex-error").count() == 0
    tab.keyboard.press("f")
    # The index is ready when its first line says so; earlier letters are lost.
    tab.wait_for_selector("text=Type to start searching")
    tab.locator("input.md-search__input").press_sequentially("vanishing")
    tab.wait_for_selector(".md-search-result__item")
    assert "vanishing" in tab.inner_text(".md-search-result__list").lower()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    tab.close()


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_a_chinese_page_has_the_code_and_the_formulas_of_the_english_one(page):
    chinese = page.read_text(encoding="utf-8")
    english = page.with_name(page.name.replace(".zh.md", ".md"))
    text = english.read_text(encoding="utf-8")
    for form in (BLOCK, FORMULA):
        assert form.findall(chinese) == form.findall(text)
    headings = [re.findall(r"^#+ ", t, re.MULTILINE) for t in (chinese, text)]
    assert headings[0] == headings[1]
    links = [re.findall(r"\]\(([^)]*)\)", t) for t in (chinese, text)]
    assert set(links[0]) == set(links[1])
    prose = BLOCK.sub("", FORMULA.sub("", chinese))
    assert len(re.findall(r"[\u4e00-\u9fff]", prose)) > 80


def test_landing_tutorial_chapter_and_every_how_to_are_chinese_too():
    names = {page.name for page in (DOCS / "how-to").glob("*.md")}
    plain = {name for name in names if not name.endswith(".zh.md")}
    assert names - plain == {name.replace(".md", ".zh.md") for name in plain}
    for name in ("index", "tutorial", "chapter"):
        assert (DOCS / f"{name}.zh.md").is_file()
