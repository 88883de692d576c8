"""placeholder."""

from bptt.train.report import Report
from bptt.train.session import Setting


def write_page(report: Report, setting: Setting) -> None:
    """Write."""
