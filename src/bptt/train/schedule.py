"""The learning rate of each window."""

from math import cos, pi

SCHEDULES = ("cosine", "constant")
WARM_UP = 0.02  # of all windows
FLOOR = 0.05  # of the highest rate, at the end


def rate_factor(schedule: str, window: int, n_windows: int) -> float:
    """Factor of the learning rate in window 0, 1, ... of n_windows.

    "cosine" rises linearly over the first 2 % and falls along half a cosine to 5 %;
    "constant" is 1 throughout.
    """
    if schedule == "constant":
        return 1.0
    done = (window + 1) / n_windows
    if done <= WARM_UP:
        return done / WARM_UP
    fall = (done - WARM_UP) / (1 - WARM_UP)
    return FLOOR + (1 - FLOOR) * (1 + cos(pi * fall)) / 2
