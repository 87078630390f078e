"""Refuses a CPU state in which f32 arithmetic is not IEEE-754.

Subnormals are part of the results that hosts commit to. Some libraries switch the processor to
flushing them to zero (for speed, on load, for the thread that loads them and those it starts), and
then every result near zero is silently another one.
"""

import torch

_LEAST_NORMAL = 0x00800000
_LEAST_SUBNORMAL = 0x00000001
_ELEMENTS = 1 << 17  # enough that torch spreads the work over all its threads


class SubnormalsFlushed(RuntimeError):
    """f32 operations on this host flush subnormal numbers to zero."""


def check_subnormals(device: torch.device | str = "cpu") -> None:
    """Raise `SubnormalsFlushed` unless subnormal results and operands survive on every thread."""

    def filled(bits: int) -> torch.Tensor:
        return torch.full((_ELEMENTS,), bits, dtype=torch.int32, device=device).view(torch.float32)

    half = torch.tensor(0.5, device=device)
    result = filled(_LEAST_NORMAL) * half
    operand = filled(_LEAST_SUBNORMAL) + filled(_LEAST_SUBNORMAL)
    if not (
        bool((result.view(torch.int32) == _LEAST_NORMAL >> 1).all())
        and bool((operand.view(torch.int32) == 2 * _LEAST_SUBNORMAL).all())
    ):
        raise SubnormalsFlushed(
            f"f32 arithmetic on {device} flushes subnormal numbers to zero, so results would not "
            "be exact. Call torch.set_flush_denormal(False) in every thread, and do not import, "
            "before worker.exact, a library that was linked with -ffast-math (it switches the "
            "processor to flush-to-zero when it is loaded)."
        )
