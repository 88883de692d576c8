"""How far one gradient is from another, parameter by parameter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bptt.step.shapes import Array


def compare(
    found: Mapping[str, Array], exact: Mapping[str, Array]
) -> dict[str, tuple[float, float]]:
    """Per name the relative error ‖g - e‖ / ‖e‖ and the cosine g·e / (‖g‖ ‖e‖).

    Where e is 0 the error is ‖g‖ and the cosine 0.
    """
    result = {}
    for name in found:
        g, e = (np.asarray(a[name], np.float64).ravel() for a in (found, exact))
        norm, own, error = (float(np.linalg.norm(v)) for v in (e, g, g - e))
        cosine = float(g @ e) / (norm * own) if norm * own else 0.0
        result[name] = (error / norm if norm else error, cosine)
    return result
