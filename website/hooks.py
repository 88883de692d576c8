"""What the site takes from outside `docs`: reports, change log, KaTeX, explanations.

Called by mkdocs, which is told of this file in mkdocs.yml.
"""

import re
from functools import cache
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

from bptt import cells

ROOT = Path(__file__).parent.parent
KATEX = ROOT / "src/bptt/explain/html/vendor/katex"
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
# A link out of `docs`, "../benchmarks/results/report.md".
LINK = re.compile(r"\]\(((?:\.\./)*)((?:benchmarks/results/|CHANGE|CONTRIB)[^)]*)\)")
ELSEWHERE = "https://unpkg.com/iframe-worker/shim"
FOLDER = re.compile(r"\[([^\]]*)\]\((?:\.\./)*examples[^)]*\)")

# The command of a cell's explanation in the gallery, which needs no page beside it.
DERIVED = re.compile(r"Its derivation: `(bptt explain (\w+) -o \2\.html)`\.")
EXPLAINED = (
    r"Explained: [every step of its gradient, with numbers](explanations/\2.html), "
    r"the page that `\1` writes."
)


@event_priority(-100)  # after the plugin that sorts the files by language
def on_files(files, config):
    """Add the files that stand elsewhere in the repository."""
    for name in OUTSIDE:
        file = File.generated(config, name, content=_read(ROOT / name))
        files.append(_in_its_language(file, config))
    for path in sorted((ROOT / "benchmarks/results").iterdir()):
        name = path.relative_to(ROOT).as_posix()
        file = File.generated(config, name, abs_src_path=str(path))
        files.append(_in_its_language(file, config))
    for path in sorted(KATEX.rglob("*")):
        if path.is_file():
            name = f"assets/katex/{path.relative_to(KATEX).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted((ROOT / "website/assets").iterdir()):
        files.append(
            File.generated(config, f"assets/{path.name}", abs_src_path=str(path))
        )
    for name in cells.names():
        page = File.generated(
            config, f"explanations/{name}.html", content=_explanation(name)
        )
        files.append(page)
    return files


@cache  # every language is a build of its own
def _explanation(name):
    return cells.get(name).explain(name=name).html()


def _in_its_language(file, config):
    """A page among those of the language being built, whose menu it has."""
    if file.is_documentation_page() and _language(config) != "en":
        file.dest_uri = f"{_language(config)}/{file.dest_uri}"
    return file


def _language(config):
    return config.plugins["i18n"].current_language


def on_page_markdown(markdown, page, config, files):
    """Let links out of `docs` lead to what was added."""
    if page.file.dest_uri.startswith("zh/api/"):
        # Docstrings are English; a second copy would make every name ambiguous.
        here = page.file.dest_uri.removeprefix("zh/")
        return f'# {page.file.name}\n\n参考只有英文：<a href="../../{here}">{here}</a>'
    if page.file.src_uri == "gallery.md":
        markdown = DERIVED.sub(EXPLAINED, markdown)
    depth = page.file.src_uri.count("/")
    text = LINK.sub(lambda m: f"]({'../' * depth}{m[2]})", markdown)
    return FOLDER.sub(r"\1", text)  # a folder of code is no page


def _read(path):
    text = path.read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](", text)


def on_post_page(output, page, config):
    """The search of pages opened from disk, from here instead of another host."""
    root = "../" * page.url.count("/")
    return output.replace(ELSEWHERE, f"{root}assets/worker.js")


def on_post_template(output_content, template_name, config):
    """The same for pages that are no page of `docs`: 404.html, which is English."""
    if template_name == "404.html" and _language(config) != "en":
        return ""  # an empty one is not written, over the English one
    return output_content.replace(ELSEWHERE, "/assets/worker.js")
