"""A run's report on gradient flow over a few steps, where it is not what is tested.

Every trained run ends with two of them, of 100 steps in NumPy: most of the time of a
run of a few windows. tests/train/test_flow_report.py keeps the usual length.
"""

from importlib.util import find_spec

import pytest


def shorten_flows():
    """A fixture that does it; nothing where no run can be trained."""

    @pytest.fixture(scope="module", autouse=True)
    def short_flows(request):
        is_whole = request.path.name == "test_flow_report.py"
        if is_whole or not (find_spec("torch") and find_spec("safetensors")):
            yield
            return
        from bptt.train import flow_report

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flow_report, "STEPS", 8)
            yield

    return short_flows
