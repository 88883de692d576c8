"""Training a recurrent network with the exact gradient, and using what it learned.

Torch and safetensors are imported when they are first needed, never with this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bptt.errors import no_attribute

if TYPE_CHECKING:
    from bptt.train.assignments import (
        parse_optimiser_option,
        parse_scheduler_option,
        parse_size,
        parse_split,
    )
    from bptt.train.checkpoint import BEST, LAST
    from bptt.train.comparing import Comparison, compare_runs, write_comparison
    from bptt.train.data.opening import DataRequest, open_data
    from bptt.train.data.sequence_files import read_sequences
    from bptt.train.data.tables import TableRequest
    from bptt.train.data.text import PlainText, read_text
    from bptt.train.definition import Defined, defined
    from bptt.train.errors import (
        IgnoredOptionError,
        OptionError,
        SeveralProcessesError,
        TrainError,
    )
    from bptt.train.measuring import Measured, measure_run
    from bptt.train.options import (
        SCHEDULES,
        STANDARD_LIBRARY_CHARACTERS,
        TrainingOptions,
    )
    from bptt.train.predicting import forecast_run, predict_run
    from bptt.train.processes import has_several_processes, is_first_process
    from bptt.train.reading import reads_of
    from bptt.train.report import (
        Report,
        format_figure,
        format_loss,
        in_words,
        print_report,
    )
    from bptt.train.run_config import RunConfig, read_run_config
    from bptt.train.sampling import Sampler, open_run
    from bptt.train.summary import Summary, read_summary
    from bptt.train.sweep import FAILED, JobOutcome, read_sweep, run_sweep
    from bptt.train.trained import Trained, export_run, load
    from bptt.train.training import resume, train

__all__ = [
    "BEST",
    "FAILED",
    "LAST",
    "SCHEDULES",
    "STANDARD_LIBRARY_CHARACTERS",
    "Comparison",
    "DataRequest",
    "Defined",
    "IgnoredOptionError",
    "JobOutcome",
    "Measured",
    "OptionError",
    "PlainText",
    "Report",
    "RunConfig",
    "Sampler",
    "SeveralProcessesError",
    "Summary",
    "TableRequest",
    "TrainError",
    "Trained",
    "TrainingOptions",
    "compare_runs",
    "defined",
    "export_run",
    "forecast_run",
    "format_figure",
    "format_loss",
    "has_several_processes",
    "in_words",
    "is_first_process",
    "load",
    "measure_run",
    "open_data",
    "open_run",
    "parse_optimiser_option",
    "parse_scheduler_option",
    "parse_size",
    "parse_split",
    "predict_run",
    "print_report",
    "read_run_config",
    "read_sequences",
    "read_summary",
    "read_sweep",
    "read_text",
    "reads_of",
    "resume",
    "run_sweep",
    "train",
    "write_comparison",
]

# Imported when first named: a command that reads a size needs no sweep.
_HOMES = {
    "parse_optimiser_option": "assignments", "parse_scheduler_option": "assignments",
    "parse_size": "assignments", "parse_split": "assignments", "BEST": "checkpoint",
    "LAST": "checkpoint", "Comparison": "comparing", "compare_runs": "comparing",
    "write_comparison": "comparing", "DataRequest": "data.opening",
    "open_data": "data.opening", "read_sequences": "data.sequence_files",
    "TableRequest": "data.tables", "PlainText": "data.text", "read_text": "data.text",
    "Defined": "definition", "defined": "definition", "IgnoredOptionError": "errors",
    "OptionError": "errors", "SeveralProcessesError": "errors", "TrainError": "errors",
    "Measured": "measuring", "measure_run": "measuring", "SCHEDULES": "options",
    "STANDARD_LIBRARY_CHARACTERS": "options", "TrainingOptions": "options",
    "forecast_run": "predicting", "predict_run": "predicting",
    "has_several_processes": "processes", "is_first_process": "processes",
    "reads_of": "reading", "Report": "report", "format_figure": "report",
    "format_loss": "report",
    "in_words": "report", "print_report": "report", "RunConfig": "run_config",
    "read_run_config": "run_config", "Sampler": "sampling", "open_run": "sampling",
    "Summary": "summary", "read_summary": "summary", "FAILED": "sweep",
    "JobOutcome": "sweep", "read_sweep": "sweep", "run_sweep": "sweep",
    "Trained": "trained", "export_run": "trained", "load": "trained",
    "resume": "training", "train": "training",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise no_attribute(__name__, name, __all__)
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    found = globals()[name] = getattr(home, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
