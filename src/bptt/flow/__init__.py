"""How far gradients travel through time, measured on the unrolled graph.

flow = measure(cell.graph, cell.unroll(params, inputs))
flow.norms, flow.injected, flow.arrived, flow.singular_values, flow.exponents
"""

from bptt.flow.measure import Flow, Verdict, measure

__all__ = ["Flow", "Verdict", "measure"]
