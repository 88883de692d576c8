"""The page: one HTML file that holds everything, from a document.

It makes no request, works from disk, and stands as a long static page where scripts are
off; the script only opens, closes, recolours and moves what is there.
"""

from __future__ import annotations

from collections.abc import Callable

from bptt.explain import model as m
from bptt.explain.html import assets
from bptt.explain.html.blocks import write_block
from bptt.explain.html.frame import Section, bar, contents, header, open_all
from bptt.explain.html.panels.edges import edges_panel
from bptt.explain.html.panels.flow import flow_panel
from bptt.explain.html.panels.graph import graph_panel
from bptt.explain.html.panels.hand import hand_panel
from bptt.explain.html.panels.lab import lab_panel
from bptt.explain.html.panels.network import network_panel
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.panels.paths import paths_panel
from bptt.explain.html.panels.sharing_charts import sharing_panel
from bptt.explain.html.panels.training import training_panel
from bptt.explain.html.script_data import formula_data, script_data
from bptt.explain.html.values import PageValues
from bptt.explain.html.words import word
from bptt.explain.html.writer import PageWriter
from bptt.explain.notation.plain import to_unicode
from bptt.explain.texts import pieces
from bptt.page.tags import Markup, join, tag
from bptt.version import __version__

LARGEST = 940_000  # bytes; of a larger page the script puts in what is long
LARGE = 24  # edges of one step above which a page says less without a script
OPEN = 'B.ready = B.open("script-gz", "katex-gz").then(() => B.typesetLater?.());'
# Edges, and the bytes of MathML above which a formula then falls back on Unicode.
BRIEF = ((70, 0), (50, 240))
# Tables that stand in, in other formats, for what the page draws itself.
DRAWN = ("contributions", "paths", "edges", "flow:")
# Panels that the page alone has: id -> number.
EXTRA = {"hand": 0, "training": 8, "break": 10}
# Panels whose tables a very large page packs, as it does the bodies of cards.
LONG = ("edges", "sharing", "paths")
# What the page adds to a panel of the document, after its blocks.
WIDGETS: dict[str, Callable[[PageContext], Markup]] = {
    "hand": hand_panel,
    "graph": graph_panel,
    "network": network_panel,
    "edges": edges_panel,
    "sharing": sharing_panel,
    "paths": paths_panel,
    "flow": flow_panel,
    "training": training_panel,
    "break": lab_panel,
}


def html_page(document: m.Document, lang: str = "en", figure: str = "") -> str:
    """The whole file; lang: the language first shown, both are in it.

    figure: the network in time of a cell with indices, as SVG.
    """
    whole = _whole(document, lang, figure, is_packed=False)
    if len(whole.encode()) <= LARGEST or not document.has_picture:
        return whole
    return _whole(document, lang, figure, is_packed=True)


def _whole(document: m.Document, lang: str, figure: str, *, is_packed: bool) -> str:
    first = max(1, document.shown.tau - 1)
    edges = len(document.shown.graph.edges) / document.shown.tau
    writer = PageWriter(
        document.shown, PageValues(first, edges > LARGE), is_packed=is_packed
    )
    writer.longest = next((most for n, most in BRIEF if edges > n), writer.longest)
    page = PageContext(document, writer, lang, figure)
    title = _plain_text(page, document.title)
    # The body first: it collects the numbers that the script gets.
    body = _body(page, lang)
    if document.has_picture:
        body = join(body, _scripts(script_data(page, title)))
    else:
        body = join(body, _formula_scripts(page, title))
    html = tag(
        "html", tag("head", _head(page, title[lang])), tag("body", body),
        lang="zh-CN" if lang == "zh" else "en",
    )  # fmt: skip
    return f"<!doctype html>\n{html}"


def _body(page: PageContext, lang: str) -> Markup:
    sections: list[Section] = []
    for panel in _with_extra(page.document.panels):
        # Numbers follow each other; the header has none.
        section = _section(page, panel, len(sections) - 1)
        sections += [section] if section is not None else []
    main = tag("main", *(section.body for section in sections), id="main")
    return join(
        tag("a", word("skip"), href="#main", class_="skip"),
        bar(page, lang),
        tag("div", contents(sections, lang), main, class_="page"),
        tag("footer", tag("p", word("made-by", version=__version__))),
        tag("div", class_="toast", role="status", aria_live="polite"),
    )


def _head(page: PageContext, title: str) -> Markup:
    fonts = assets.katex_fonts(page.writer.has_italic_words)
    return join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"bptt {__version__}"),
        tag("title", title),
        tag("style", Markup(fonts)),
        tag("style", Markup(assets.style())),
    )


def _scripts(data: str) -> Markup:
    return join(
        assets.packed(data, "data"), assets.packed_script(), assets.packed_katex(),
        tag("script", Markup(assets.loader() + OPEN)),
    )  # fmt: skip


def _formula_scripts(page: PageContext, title: dict[str, str]) -> Markup:
    """KaTeX and "copy LaTeX", of a page that has nothing else to run."""
    data = formula_data(page, title)
    return join(
        assets.packed(data, "data"), assets.packed_katex(),
        tag("script", Markup(assets.formulas_script())),
    )  # fmt: skip


def _plain_text(page: PageContext, text: m.Text) -> dict[str, str]:
    """A sentence without markup, by language."""
    scope = page.document.scope
    found = {}
    for language in m.LANGUAGES:
        parts = pieces(text, language, scope)
        shown = (part if isinstance(part, str) else to_unicode(part) for part in parts)
        found[language] = "".join(shown)
    return found


def _with_extra(panels: tuple[m.PagePanel, ...]) -> list[m.PagePanel]:
    """The document's panels and those that only a page can have, by number."""
    known = {panel.id for panel in panels}
    extra = [m.PagePanel(id_, number, m.Text(f"panel.{id_}"), ())
             for id_, number in EXTRA.items()
             if id_ not in known and "graph" in known]  # fmt: skip
    return sorted((*panels, *extra), key=lambda p: (p.number, p.id == "hand"))


def _section(page: PageContext, panel: m.PagePanel, number: int) -> Section | None:
    """A panel's blocks, then what the page adds; None if there is nothing in it."""
    shown = [block for block in panel.blocks if not _is_drawn(block)]
    late = [b for b in shown if panel.id == "graph" and isinstance(b, m.ShownTable)]
    blocks = [write_block(page.writer, block) for block in shown if block not in late]
    after = [write_block(page.writer, block) for block in late]
    title = page.writer.text(panel.title)
    if panel.id == "header":
        return Section(panel.id, None, title, header(page, panel, blocks))
    widget = WIDGETS[panel.id](page) if panel.id in WIDGETS else Markup("")
    if not blocks and not widget:
        return None
    widget = page.writer.long(widget) if panel.id in LONG else widget
    head = tag("h2", tag("i", str(number)), title, id=f"{panel.id}-title")
    tools = open_all() if panel.id in ("derivation", "edges", "paths") else None
    body = tag(
        "section",
        head,
        tools,
        *blocks,
        widget,
        *after,
        class_="panel",
        id=panel.id,
        aria_labelledby=f"{panel.id}-title",
    )
    return Section(panel.id, number, title, body)


def _is_drawn(block: m.Block) -> bool:
    return isinstance(block, m.ShownTable) and block.id.startswith(DRAWN)
