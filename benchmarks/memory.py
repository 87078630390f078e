"""Peak memory of a process that does nothing but steps: exact, or plain.

python -m benchmarks.memory NAME FOLDER    what `benchmarks.exact` starts, once for each
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.workloads import workload
from worker.program import Program

STEPS = 3


def forget_peak() -> int:
    """Bytes that this process holds; the most it has held counts from here on. Linux."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def steps_alone(name: str, folder: str) -> int:
    """Bytes that steps added to what the process held when everything was imported."""
    before = forget_peak()
    if folder == "-":
        step = workload(name).plain()
        for _ in range(STEPS):
            step()
        return _status("VmHWM") - before
    program = Program.load(Path(folder) / "program")
    # as a worker has it: from the store, and nothing else is in memory
    state, batch = pickle.loads((Path(folder) / "tensors").read_bytes())
    program.compile()
    for step_number in range(STEPS):
        state, _ = program.run(state, batch, step=step_number)
    return _status("VmHWM") - before


def measure(name: str, bits: int) -> tuple[int, int]:
    """Bytes of the exact steps and of the plain ones, each in a process of its own."""
    made = workload(name)
    program, state = made.capture(bits)
    with tempfile.TemporaryDirectory() as folder:
        program.save(Path(folder) / "program")
        (Path(folder) / "tensors").write_bytes(pickle.dumps((state, made.batch)))
        return _child(name, folder), _child(name, "-")


def _child(name: str, folder: str) -> int:
    command = [sys.executable, "-m", "benchmarks.memory", name, folder]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    print(steps_alone(*sys.argv[1:]))
