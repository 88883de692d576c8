"""What a command accepts and a run writes, the run's own files can hold.

Numbers that an option allowed and config.json, summary.json or metrics.jsonl did not
were called damage, once the training was over.
"""

import json

import numpy as np
import pytest

from bptt.cli.columns import table_request
from bptt.train.data.opening import DataRequest
from bptt.train.data.tables import TableRequest
from bptt.train.definition import defined
from bptt.train.door.limits import MOST_WHOLE
from bptt.train.door.records import MOST, RequestRecord, hold_to
from bptt.train.errors import OptionError
from bptt.train.gradient_norms import _listed
from bptt.train.options import TrainingOptions
from bptt.train.run_folder import METRICS_FILE, Metrics, read_metrics
from bptt.train.summary import without_infinity
from bptt.train.tallies import PERPLEXITY, with_perplexity

WHOLE = [
    one for one in defined(TrainingOptions)
    if one.option.within is not None and one.option.within.most is not None
]  # fmt: skip


@pytest.mark.parametrize("one", WHOLE, ids=lambda one: one.name)
def test_a_whole_number_has_a_largest_one_that_is_named(one):
    most = one.option.within.most
    assert most <= MOST_WHOLE
    value = {"n_k": most + 1} if one.option.read else most + 1
    with pytest.raises(OptionError, match=f"from [012] to {most:,}"):
        TrainingOptions(**{one.name: value})
    one.check({"n_k": most} if one.option.read else most)


def test_the_files_of_a_run_hold_every_request():
    request = DataRequest(
        limit=MOST_WHOLE, table=TableRequest(("a",), horizon=MOST_WHOLE)
    )
    record = json.loads(json.dumps(request.to_json()))
    assert hold_to(RequestRecord, record).limit == MOST_WHOLE
    with pytest.raises(OptionError, match=r"--horizon .*whole number from 1 to 4,611"):
        table_request({"horizon": MOST_WHOLE + 1}, TableRequest())
    with pytest.raises(OptionError, match="--horizon 0: expected a whole number from"):
        table_request({"horizon": 0}, TableRequest())


def test_a_figure_that_no_chart_can_scale_is_written_as_infinite(tmp_path):
    (tmp_path / METRICS_FILE).touch()
    perplexity = with_perplexity({}, "nll", 650.0)[PERPLEXITY]
    assert perplexity > MOST
    figures = {"window": 1, "loss": 2.5, "norm": -1e201, "learning_rate": MOST}
    with Metrics(tmp_path) as metrics:
        metrics.write({**figures, "perplexity": perplexity, "seconds": float("nan")})
    (found,) = read_metrics(tmp_path)
    assert found["perplexity"] is found["norm"] is found["seconds"] is None
    assert (found["loss"], found["learning_rate"]) == (2.5, MOST)
    assert without_infinity({"a": [perplexity, 1.0]}) == {"a": [None, 1.0]}
    numbers = np.array([np.inf, 0.12345], np.float32)
    assert _listed(numbers) == [None, 0.1235]
    assert _listed([1e250, float("inf"), 0.12345]) == [None, None, 0.1235]
