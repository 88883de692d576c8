"""bptt under torch: modules whose gradients come from the kernels.

    from bptt.torch import LSTM           in place of torch.nn.LSTM, or
    bptt.torch.convert(model)             for every RNN, LSTM and GRU inside a model
    layer = bptt.torch.Recurrent(cell, n_x=27, n_h=128)     for any cell

Import it by its name: `import bptt` alone never loads torch.
"""

from typing import TYPE_CHECKING, NoReturn

from bptt.errors import no_attribute
from bptt.torch.convert import Conversion, ConversionError, convert
from bptt.torch.guard import DeviceError, LayoutError
from bptt.torch.layers import GRU, LSTM, RNN
from bptt.torch.record import NoRecordError
from bptt.torch.recurrent import Output, Recurrent
from bptt.torch.run import InterpretedWarning
from bptt.torch.watch import FlowWatch

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Conversion",
    "ConversionError",
    "DeviceError",
    "FlowWatch",
    "InterpretedWarning",
    "LayoutError",
    "NoRecordError",
    "Output",
    "Recurrent",
    "convert",
]

if not TYPE_CHECKING:  # a checker finds what is misspelt by itself

    def __getattr__(name: str) -> NoReturn:
        raise no_attribute(__name__, name, __all__)
