"""Random numbers by counter: each follows from where it stands, so any one is recomputed alone.

`reference.philox` and `reference.uniform` say what they are. Here they are made by the tensor, in
integers of 64 bits. A product of two 32-bit words wraps into the sign, so its upper half comes with
copies of the sign above it, which are masked off.
"""

import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFFFFFF
# Groups of four numbers at a time: so many stay in a processor's cache, which is twice as fast.
PART = 1 << 16


def uniform(
    count: int, *, seed: int, step: int, node: int, device: torch.device | str = "cpu"
) -> Tensor:
    """f32 [count] in [0, 1): the numbers of a node in a step of the job with this seed.

    seed and step: below 2^64; of the step, the low 32 bits count. node: below 2^32.
    """
    groups = -(-count // 4)
    out = torch.empty(groups, 4, dtype=torch.float32, device=device)
    part = PART if out.device.type == "cpu" else max(groups, 1)
    for first in range(0, groups, part):
        _fill(out[first : first + part], first, seed, step, node)
    return out.view(-1)[:count]


def _fill(out: Tensor, first: int, seed: int, step: int, node: int) -> None:
    """The numbers of groups first .. first + len(out) - 1."""
    group = torch.arange(first, first + len(out), dtype=torch.int64, device=out.device)
    a, b = group & LOW, group >> 32
    c, d = torch.full_like(group, node), torch.full_like(group, step & LOW)
    low, high = seed & LOW, seed >> 32
    for _ in range(ROUNDS):
        x, y = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a = _upper(y).bitwise_xor_(b).bitwise_xor_(low)
        c = _upper(x).bitwise_xor_(d).bitwise_xor_(high)
        b, d = y.bitwise_and_(LOW), x.bitwise_and_(LOW)
        low, high = low + WEYL[0] & LOW, high + WEYL[1] & LOW
    for place, word in enumerate((a, b, c, d)):
        out[:, place] = word >> 8  # 24 bits: exact in f32
    out.mul_(2.0**-24)


def _upper(product: Tensor) -> Tensor:
    return (product >> 32).bitwise_and_(LOW)
