"""A headless Chromium for the tests of the page, or one line: it is missing."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Set where the browser must be there: a skip is then a failure.
REQUIRED = "BPTT_REQUIRED_BROWSER"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


def missing(what):
    """Skip, or fail where the browser is required."""
    message = f"the page is tested in a browser: {what} is not installed"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{message}, and {REQUIRED} is set")
    pytest.skip(message)


def start():
    """(playwright, browser), to be stopped by whoever asked."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing(" or ".join(NAMES))
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("the Python package playwright")
    playwright = sync_playwright().start()
    return playwright, playwright.chromium.launch(executable_path=path, args=OPTIONS)
