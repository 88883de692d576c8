"""Training a recurrent network with the exact gradient, and using what it learned.

Torch and safetensors are imported when they are first needed, never with this package.
"""

from bptt.train.checkpoint import BEST as BEST
from bptt.train.checkpoint import LAST as LAST
from bptt.train.data.opening import Request as Request
from bptt.train.data.opening import open_data as open_data
from bptt.train.data.sequence_files import read_sequences as read_sequences
from bptt.train.data.text import Text as Text
from bptt.train.data.text import read_text as read_text
from bptt.train.errors import OptionError as OptionError
from bptt.train.errors import SeveralProcessesError as SeveralProcessesError
from bptt.train.errors import TrainError as TrainError
from bptt.train.measuring import Measured as Measured
from bptt.train.measuring import measure_run as measure_run
from bptt.train.options import (
    STANDARD_LIBRARY_CHARACTERS as STANDARD_LIBRARY_CHARACTERS,
)
from bptt.train.options import TrainingOptions as TrainingOptions
from bptt.train.options import parse_optimiser_option as parse_optimiser_option
from bptt.train.options import parse_scheduler_option as parse_scheduler_option
from bptt.train.options import parse_size as parse_size
from bptt.train.options import parse_split as parse_split
from bptt.train.processes import has_several_processes as has_several_processes
from bptt.train.processes import is_first_process as is_first_process
from bptt.train.report import Report as Report
from bptt.train.report import format_loss as format_loss
from bptt.train.report import print_report as print_report
from bptt.train.sampling import Sampler as Sampler
from bptt.train.sampling import open_run as open_run
from bptt.train.schedule import SCHEDULES as SCHEDULES
from bptt.train.training import resume as resume
from bptt.train.training import train as train
