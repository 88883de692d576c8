"""The explicit graph in time: copies, edges with Jacobians, paths, reverse mode.

graph = unroll(cell.graph, params, {"x": x, "y": y})        one batch row
graph.grad(graph.place("h", 3)), graph.paths(graph.place("W"))
"""

from bptt.unrolled.build import unroll
from bptt.unrolled.graph import PATH_LIMIT, Unrolled
from bptt.unrolled.places import Edge, Path, Place, Skipped

__all__ = ["PATH_LIMIT", "Edge", "Path", "Place", "Skipped", "Unrolled", "unroll"]
