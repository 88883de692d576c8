"""The C function that XLA calls: what must not fail is no Python.

A signal may raise in any line of Python that the main thread runs, inside a call from
XLA too. ctypes then prints the exception and returns garbage for an error, which kills
the process or is taken for success. So XLA calls machine code, and that calls Python:

    describe the interface, if XLA asks for that alone
    do the call here, if all that it does is known: see `served`
    ask Python, which writes its answer; again if a signal came before it had begun
    return the error, or one made here where Python did not come to its end
    let the interrupt that Python held back happen when the main thread is out of XLA:
    one program may call several times, and none of these calls may be torn
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

from bptt.execute.codegen.jit import Compiled, compile_ir
from bptt.execute.kernels.executor import host_target
from bptt.jax.emit import HALF, WORD, call, is_zero, load, place, python, space
from bptt.jax.served import CallBoard, emit_publish, emit_serve

METADATA = 1  # XLA_FFI_Extension_Metadata
INTERNAL = 13  # XLA_FFI_Error_Code_INTERNAL
MESSAGE = b"KeyboardInterrupt: the call was interrupted\0"

# Where fields lie, in bytes; see `ffi`.
FRAME_EXTENSION, FRAME_API = 8, 16
EXTENSION_TYPE, EXTENSION_METADATA = 8, 24
METADATA_VERSION, API_VERSION, API_CREATE_ERROR = 24, 32, 48


class Answer(ctypes.Structure):
    """What Python writes, word by word.

    error: an XLA_FFI_Error or 0; raised: a new reference to what a signal raised, or 0;
    is_interrupted: SIGINT came and was held back.
    """

    _fields_ = [
        ("is_begun", ctypes.c_int64),
        ("is_done", ctypes.c_int64),
        ("error", ctypes.c_int64),
        ("raised", ctypes.c_int64),
        ("is_interrupted", ctypes.c_int64),
    ]

    def keep(self, error: BaseException) -> None:
        """Let this be raised in the main thread when XLA has returned."""
        pointer = ctypes.py_object(error)
        ctypes.pythonapi.Py_IncRef(pointer)
        self.raised = ctypes.c_int64.from_buffer(pointer).value


class HeldBack:
    """SIGINT waits while the main thread is inside; then the answer tells of it."""

    def __init__(self, answer: Answer) -> None:
        """Nothing is changed yet."""
        self._answer = answer
        self._before: Any = None

    def __enter__(self) -> None:
        """Take the place of Python's handler, where there is one."""
        if threading.get_ident() != threading.main_thread().ident:
            return
        before = signal.getsignal(signal.SIGINT)
        if callable(before):
            signal.signal(signal.SIGINT, self._note)
            self._before = before

    def __exit__(self, *_: object) -> None:
        """Give it back; a signal that comes now is told, too."""
        if self._before is None:
            return
        try:
            signal.signal(signal.SIGINT, self._before)
        except BaseException as error:  # noqa: BLE001  C is told by value
            self._answer.keep(error)

    def _note(self, *_: object) -> None:
        self._answer.is_interrupted = 1


BEGUN, DONE, ERROR, RAISED, INTERRUPTED = (8 * n for n in range(5))
# (address of the frame, address of the answer)
ASK = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_size_t)


class Handler:
    """Machine code for XLA that calls `ask`; it lives as long as this object.

    address: of the C function; board: the calls that it does without asking, which
    `publish` adds to.
    """

    def __init__(self, ask: Callable[[int, int], None]) -> None:
        """Compile it for this process: it holds addresses of Python's functions."""
        self._ask, self.board = ASK(ask), CallBoard()
        text = _emit(
            ctypes.cast(self._ask, ctypes.c_void_p).value or 0, self.board.address
        )
        signatures = {"handle": (), "publish": [ctypes.c_int64] * 2}
        self._code: Compiled = compile_ir(text, host_target(), signatures)
        self.address = self._code.addresses["handle"]
        self.publish = self._code.get_function("publish")


def _emit(ask: int, board: int) -> str:
    module = ir.Module()
    # Calls of the main thread that are not over; whether an interrupt waits for that.
    depth, waits = (_global(module, name) for name in ("depth", "waits"))
    serve = emit_serve(module, board)
    emit_publish(module)
    function = ir.Function(module, ir.FunctionType(WORD, [WORD]), "handle")
    b = ir.IRBuilder(function.append_basic_block())
    (frame,) = function.args
    api = load(b, frame, FRAME_API)
    _answer_question(b, load(b, frame, FRAME_EXTENSION), api)
    served = b.call(serve, [frame])
    with b.if_then(b.not_(is_zero(b, served))):
        b.ret(WORD(0))
    here = call(b, python("PyThread_get_thread_ident"), WORD)
    is_main = b.icmp_signed("==", here, WORD(threading.main_thread().ident or 0))
    answer, one = space(b, 5), b.zext(is_main, WORD)
    b.store(b.add(b.load(depth), one), depth)
    call(b, ask, None, frame, answer)
    with b.if_then(is_zero(b, load(b, answer, BEGUN))):
        b.store(WORD(1), place(b, answer, INTERRUPTED))
        call(b, ask, None, frame, answer)
    b.store(b.sub(b.load(depth), one), depth)
    later = b.or_(load(b, answer, INTERRUPTED), b.and_(one, b.load(waits)))
    with b.if_then(b.not_(is_zero(b, later))):
        b.store(WORD(0), waits)
        interrupt = b.ptrtoint(_emit_interrupt(module, depth, waits), WORD)
        call(b, python("Py_AddPendingCall"), HALF, interrupt, WORD(0))
    with b.if_then(b.not_(is_zero(b, load(b, answer, DONE)))):
        raised = load(b, answer, RAISED)
        with b.if_then(b.not_(is_zero(b, raised))):
            raise_it = b.ptrtoint(_emit_raise(module), WORD)
            call(b, python("Py_AddPendingCall"), HALF, raise_it, raised)
        b.ret(load(b, answer, ERROR))
    b.ret(_make_error(b, module, api))
    return str(module)


def _global(module: Any, name: str) -> Any:
    found = ir.GlobalVariable(module, WORD, name)
    found.initializer, found.linkage = WORD(0), "internal"
    return found


def _answer_question(b: Any, extension: Any, api: Any) -> None:
    """XLA asks for which version of the interface the function was made.

    The fields used here are in every version 0.x: the one of the caller is right.
    """
    with b.if_then(b.not_(is_zero(b, extension))):
        kind = b.load(place(b, extension, EXTENSION_TYPE, HALF))
        with b.if_then(b.icmp_signed("==", kind, HALF(METADATA))):
            own = load(b, extension, EXTENSION_METADATA)
            b.store(load(b, api, API_VERSION), place(b, own, METADATA_VERSION))
            b.ret(WORD(0))


def _make_error(b: Any, module: Any, api: Any) -> Any:
    """An XLA_FFI_Error with MESSAGE."""
    text = ir.Constant(ir.ArrayType(ir.IntType(8), len(MESSAGE)), bytearray(MESSAGE))
    constant = ir.GlobalVariable(module, text.type, "message")
    constant.initializer, constant.global_constant = text, True
    arguments = space(b, 4)  # XLA_FFI_Error_Create_Args
    for number, value in enumerate(
        (WORD(32), WORD(0), b.ptrtoint(constant, WORD), WORD(INTERNAL))
    ):
        b.store(value, place(b, arguments, 8 * number))
    return call(b, load(b, api, API_CREATE_ERROR), WORD, arguments)


def _emit_interrupt(module: Any, depth: Any, waits: Any) -> Any:
    """int interrupt(0), called by Python in its main thread: as if SIGINT came now."""
    function = ir.Function(module, ir.FunctionType(HALF, [WORD]), "interrupt")
    b = ir.IRBuilder(function.append_basic_block())
    with b.if_then(b.not_(is_zero(b, b.load(depth)))):
        b.store(WORD(1), waits)
        b.ret(HALF(0))
    call(b, python("PyErr_SetInterrupt"), None)
    b.ret(HALF(0))
    return function


def _emit_raise(module: Any) -> Any:
    """int raise(exception), called by Python in its main thread."""
    function = ir.Function(module, ir.FunctionType(HALF, [WORD]), "raise")
    b = ir.IRBuilder(function.append_basic_block())
    (raised,) = function.args
    kind = call(b, python("PyObject_Type"), WORD, raised)
    call(b, python("PyErr_SetObject"), None, kind, raised)
    call(b, python("Py_DecRef"), None, kind)
    call(b, python("Py_DecRef"), None, raised)
    b.ret(HALF(-1))
    return function
