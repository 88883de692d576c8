"""The pictures of the documentation that are photographs of a page.

    python website/pictures.py      # writes docs/explanation.png

Needs Chromium and the package playwright. Charts of speed are made by
`python -m benchmarks.picture`.
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import bptt

DOCS = Path(__file__).parent.parent / "docs"
NAMES = ("chromium", "chromium-browser", "google-chrome")
STEP = 3  # the step whose recursion is lit


def main() -> None:
    """Photograph the picture of the book's network."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        raise SystemExit(f"pictures need a browser: {' or '.join(NAMES)}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = bptt.cells.book.explain(name="book", tau=4).save(f"{folder}/book.html")
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox"]
        )
        tab = chromium.new_page(viewport={"width": 1420, "height": 900})
        tab.goto(page.as_uri())
        tab.fill("#t", str(STEP))
        tab.locator("#graph").scroll_into_view_if_needed()
        tab.wait_for_timeout(1500)  # formulas are typeset as they come into view
        canvas = tab.locator("#graph .canvas").first
        canvas.evaluate("box => box.style.width = 'max-content'")  # nothing is cut
        canvas.screenshot(path=DOCS / "explanation.png")
        chromium.close()


if __name__ == "__main__":
    main()
