"""The explanation as one HTML file: no network, no file beside it, no script needed.

`page` puts it together from the document; `picture` draws the unrolled graph; `panels`
are what a page has beyond the document's blocks: pictures and things to try. `slides`
shows the derivation alone, a card at a time.
"""

from bptt.explain.html.page import html_page
from bptt.explain.html.slides import slides

__all__ = ["html_page", "slides"]
