"""Training a character model with the exact gradient, and writing text with it.

Torch and safetensors are imported when they are first needed, never with this package.
"""

from bptt.train.errors import OptionError as OptionError
from bptt.train.errors import TrainError as TrainError
from bptt.train.options import (
    STANDARD_LIBRARY_CHARACTERS as STANDARD_LIBRARY_CHARACTERS,
)
from bptt.train.options import TrainingOptions as TrainingOptions
from bptt.train.options import parse_optimiser_option as parse_optimiser_option
from bptt.train.options import parse_size as parse_size
from bptt.train.report import Report as Report
from bptt.train.report import print_report as print_report
from bptt.train.sampling import Sampler as Sampler
from bptt.train.sampling import open_run as open_run
from bptt.train.schedule import SCHEDULES as SCHEDULES
from bptt.train.text import Text as Text
from bptt.train.text import read_text as read_text
from bptt.train.training import train as train
