"""How far gradients travel through time.

flow = measure(cell.graph, cell.unroll(params, inputs))        one row, small sizes
flow.norms, flow.injected, flow.arrived, flow.singular_values, flow.exponents

report = measure_run(cell.graph, grad, bindings, row)          any size: `Cell.flow`
report.numbers, report.lags, report.truncations, report.copies, report.verdict
"""

from bptt.flow.measure import Flow, Verdict, measure
from bptt.flow.report import GradientFlow, measure_run

__all__ = ["Flow", "GradientFlow", "Verdict", "measure", "measure_run"]
