"""Runs `two_devices.py` where XLA sees two CPU devices, which is fixed at its start."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).with_name("two_devices.py")
# Programs run once: XLA need not make them fast.
FLAGS = (
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)


def test_every_context_gives_what_a_scan_gives_or_is_refused():
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)],
        capture_output=True, text=True, check=False, timeout=900,
        env={**os.environ, "XLA_FLAGS": FLAGS, "JAX_ENABLE_X64": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert "passed" in ended.stdout
    assert "skipped" not in ended.stdout
