"""Settings of the whole suite: the profiles of its generated tests."""

import os

from hypothesis import HealthCheck, settings

# Derandomised: a failure on one machine is a failure on all. `--hypothesis-profile
# search`, or BPTT_HYPOTHESIS=search, looks further with fresh examples.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("BPTT_HYPOTHESIS", "ci"))
