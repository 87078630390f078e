"""What kernels must not be, whatever a GPU would make of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")


def test_no_kernel_adds_two_coordinates_in_one_register():
    """Protects solvers from an error of ptxas 12.8, which left the offset of a window out."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.gpu.assembly", "aten.convolution.default"],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert re.fullmatch(r"[1-9]\d* kernels\n", found), found
