"""The page's own style and script, and KaTeX with its fonts, as text to inline."""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from bptt.page.style import CHART
from bptt.page.tags import Markup, tag

# Loaded in this order; each file adds to the one object `B`.
LOADER, READING = "load.js", "reading.js"
SCRIPTS = (
    READING, "core.js", "matrix.js", "symbols.js", "graph.js", "cards.js", "tokens.js",
    "formula.js", "evaluate.js", "pass.js", "expr.js", "fix.js", "lab.js",
    "walk.js", "play.js", "main.js",
)  # fmt: skip
WORDS_FONT = "KaTeX_Main-Italic"
_FACE = re.compile(r"@font-face\{[^}]*\}")
_FONT = re.compile(r"url\(fonts/([\w-]+)\.woff2\)")


def _folder() -> Traversable:
    return resources.files(__name__.rpartition(".")[0])


def _read(*parts: str) -> str:
    return _folder().joinpath(*parts).read_text("utf-8")


@cache
def style() -> str:
    """The page's style sheet."""
    source = _without_comments(CHART + _read("static", "page.css"))
    # A space before a colon tells a descendant; around these signs it tells nothing.
    return re.sub(r"\s*([{};])\s*", r"\1", source).replace(";}", "}")


@cache
def loader() -> str:
    """The script that unpacks the others; written out, as nothing unpacks it."""
    return _without_comments(_read("static", LOADER))


@cache
def script() -> str:
    """The page's script."""
    return "\n".join(_without_comments(_read("static", name)) for name in SCRIPTS)


@cache
def slides_style() -> str:
    """The style sheet of the slides."""
    return _without_comments(_read("static", "slides.css"))


@cache
def slides_script() -> str:
    """The script of the slides."""
    return _written("slides.js")


@cache
def formulas_script() -> str:
    """The script of a page whose formulas alone need one."""
    return _written("formulas.js")


def _written(name: str) -> str:
    """A script beside the loader, with what every page is read with."""
    names = (LOADER, READING, name)
    return "".join(_without_comments(_read("static", part)) for part in names)


def _without_comments(source: str) -> str:
    """The source without comments and indentation; no string of ours has either."""
    return re.sub(r"\n\s*", "\n", re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL))


@cache
def katex_script() -> str:
    """KaTeX with its rules of style."""
    rules = json.dumps(_FACE.sub("", _read("vendor", "katex", "katex.min.css")))
    add = "Object.assign(document.createElement('style'), {textContent: RULES})"
    source = _read("vendor", "katex", "katex.min.js")
    return source + f";document.head.append({add.replace('RULES', rules)});"


def packed(source: str, key: str) -> Markup:
    """A script element with a text by gzip and in base85; key: what it is called.

    Base85 is a sixteenth shorter than base64; a comma stands for its "<", which could
    begin a tag.
    """
    small = gzip.compress(source.encode(), compresslevel=7, mtime=0)
    text = base64.b85encode(small).decode("ascii").replace("<", ",")
    return tag("script", Markup(text), type="application/gzip", id=f"{key}-gz")


def unpacked(text: str) -> str:
    """What `packed` packed, from the text of its element."""
    small = base64.b85decode(text.replace(",", "<"))
    return gzip.decompress(small).decode()


@cache
def packed_katex() -> Markup:
    """KaTeX, packed: a third of its size."""
    return packed(katex_script(), "katex")


@cache
def packed_script() -> Markup:
    """The page's script, packed."""
    return packed(script(), "script")


@cache
def katex_fonts(has_words: bool) -> str:
    """The style rules of KaTeX's fonts, each with its font inside.

    has_words: whether a name of several letters is typeset, which needs one font more.
    """
    left_out = () if has_words else (WORDS_FONT,)
    style = _read("vendor", "katex", "katex.min.css")
    return "".join(_inline_face(face, left_out) for face in _FACE.findall(style))


def _inline_face(face: str, left_out: tuple[str, ...]) -> str:
    font = _FONT.search(face)
    assert font is not None, face
    if font.group(1) in left_out:
        return ""
    file = _folder().joinpath("vendor", "katex", "fonts", f"{font.group(1)}.woff2")
    if not file.is_file():
        return ""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    source = f"src:url(data:font/woff2;base64,{data}) format('woff2')"
    return re.sub(r"src:[^}]*", source, face)
