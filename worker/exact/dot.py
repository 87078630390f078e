"""The exact product of rows: matrix products, attention, linear layers, unfolded convolutions."""

from torch import Tensor

from worker.exact import native
from worker.exact.backends import GPU, choose
from worker.exact.backends import backend as product_of
from worker.exact.rows import check_bits, check_exponents, exponent, row_scale, scaled


def dot(a: Tensor, b: Tensor, *, bits: int = 14, backend: str | None = None) -> Tensor:
    """Every row of f32 `a` [..., M, K] by every row of f32 `b` [..., N, K]: f32 [..., M, N].

    Each row becomes integers of `bits` bits under its own exponent; their product is summed exactly
    and rounded once. A row with a non-finite element gives NaN; K = 0 gives +0. Leading axes
    broadcast as in `torch.matmul`. `backend` names one of `backends.BACKENDS` (it cannot change the
    bits); by default the fastest that is exact on this machine is used.

    Raises ValueError if the rows differ in length, or if `bits` and K exceed 64-bit sums.
    """
    check_bits(bits)
    _check_rows(a, b)
    name = choose(a, b, bits, backend)
    if name == "native":
        return native.dot(a, b, bits)
    if name == GPU:
        from worker.exact.gpu import product  # Triton is imported where a GPU asks for it

        return product.dot(a, b, bits)
    ea, eb = exponent(a, -1), exponent(b, -1)
    qa, qb = _integers(a, ea, bits), _integers(b, eb, bits)
    return _product(qa, ea, qb, eb, bits, name)


def dot_quantised(
    qa: Tensor, ea: Tensor, qb: Tensor, eb: Tensor, bits: int, *, backend: str | None = None
) -> Tensor:
    """`dot` of rows already quantised: i32 `qa` [..., M, K], i32 `ea` [..., M], and b's.

    Equal to `dot` of the rows they came from: f32 [..., M, N]. The integers must be below
    2^(bits-1) in magnitude, as `quantise` makes them. Raises ValueError for an exponent that no
    row has.
    """
    check_bits(bits)
    _check_rows(qa, qb)
    check_exponents(ea)
    check_exponents(eb)
    return _product(qa.clone(), ea, qb.clone(), eb, bits, choose(qa, qb, bits, backend))


def _check_rows(a: Tensor, b: Tensor) -> None:
    if a.dim() < 2 or b.dim() < 2 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"rows do not match: {tuple(a.shape)} and {tuple(b.shape)}")


def _integers(x: Tensor, e: Tensor, bits: int) -> Tensor:
    """The quantised rows, as f32. Beyond 24 bits every f32 below 2^e lies within the limit."""
    q = scaled(x, e.unsqueeze(-1), bits)
    if bits > 24:
        return q
    limit = float((1 << (bits - 1)) - 1)
    return q.clamp_(-limit, limit)


def _product(qa: Tensor, ea: Tensor, qb: Tensor, eb: Tensor, bits: int, name: str) -> Tensor:
    sa, sb = row_scale(ea, 1 - bits, 1), row_scale(eb, 1 - bits, 1)
    return product_of(name)(qa, sa, qb, sb, bits)
