"""A few pages for all tests of the page."""

import pytest

from tests.explain.documents import explained

INVENTED, GREEK = "branches", "Greek letters and long names"


@pytest.fixture(scope="session")
def page_files(tmp_path_factory):
    """The pages of the book's cell, a long one, an LSTM and two of users, on disk."""
    folder = tmp_path_factory.mktemp("pages")
    files = {}
    taus = {"book": 4, "long": 9, "lstm": 3, "invented": 3, "greek": 3}
    for name, tau in taus.items():
        cell = {"long": "book", "invented": INVENTED, "greek": GREEK}.get(name, name)
        files[name] = folder / f"{name}.html"
        files[name].write_text(explained(cell, tau=tau).html(), encoding="utf-8")
    return files


# Back to how a page opens, so that one tab serves many tests.
RESET = """
for (const value of ["label=symbol", "folded=false", "backward=false"]) {
  document.querySelector(`[data-set="${value}"]`)?.click();
}
for (const form of document.querySelectorAll("[data-form][aria-pressed=false]")) {
  form.click();
}
document.querySelector("button[data-expand][aria-pressed=true]")?.click();
document.querySelector("#lang-en").click();
document.querySelector("#theme-auto").click();
for (const part of document.querySelectorAll("details[data-closed]")) {
  part.open = false;
}
B.go(B.data.first);
B.copied = null;
"""


class Opened:
    """A page in a tab of its own, what it asked for and what it complained of."""

    def __init__(self, browser, file, **options):
        options.setdefault("viewport", {"width": 1280, "height": 900})
        self.context = browser.new_context(reduced_motion="reduce", **options)
        self.tab = self.context.new_page()
        self.requests, self.complaints = [], []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.goto(file.as_uri())
        if options.get("java_script_enabled", True):  # its script is unpacked first
            self.run("typeof B === 'undefined' ? null : B.ready")

    def ready(self):
        """Wait for KaTeX, and typeset everything at once."""
        self.run("B.ready.then(() => B.typeset(document))")
        return self

    def run(self, script, argument=None):
        return self.tab.evaluate(script, argument)

    def press(self, selector):
        """Click without scrolling about for a place to click at."""
        self.run("s => document.querySelector(s).click()", selector)

    def text(self, selector):
        """What is to be read there; the browser lays a panel out when it is in view."""
        return self.run(
            "async (s) => { const e = document.querySelector(s);"
            # Panels above get their height as they come into view: it may move on.
            " for (let i = 0; i < 20 && (i < 2 || !e.innerText); i++) {"
            " e.scrollIntoView(); await new Promise(requestAnimationFrame); }"
            " return e.innerText; }",
            selector,
        )


@pytest.fixture(scope="session")
def tabs():
    found = {}
    yield found
    for page in found.values():
        page.context.close()


@pytest.fixture
def open_page(browser, page_files, tabs):
    """A page by its name, as it opens; the same tab for every test that asks for it."""

    def open_one(name):
        if name not in tabs:
            tabs[name] = Opened(browser, page_files[name]).ready()
        tabs[name].run(RESET)
        return tabs[name]

    return open_one


@pytest.fixture
def open_new(browser, page_files):
    """A page in a new tab with options of its own."""
    opened = []

    def open_one(name, **options):
        opened.append(Opened(browser, page_files[name], **options))
        return opened[-1]

    yield open_one
    for page in opened:
        page.context.close()
