"""How far gradients travel through time.

flow = measure(cell.graph, cell.unroll(params, inputs))        one row, small sizes
flow.norms, flow.injected, flow.arrived, flow.singular_values, flow.exponents

report = measure_run(FlowSetting(cell, params, inputs))            any size: `Cell.flow`
report.diagnoses, report.numbers, report.growth, report.lags, report.truncations
"""

from bptt.flow.findings import Diagnosis, Remedy
from bptt.flow.measure import Flow, measure
from bptt.flow.report import GradientFlow, measure_run
from bptt.flow.setting import FlowSetting

__all__ = [
    "Diagnosis",
    "Flow",
    "FlowSetting",
    "GradientFlow",
    "Remedy",
    "measure",
    "measure_run",
]
