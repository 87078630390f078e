"""Amounts of a token: whole tokens in text, its smallest units in code. Exact both ways."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

HUGE = 80  # an exponent beyond this is no amount: a uint256 has 78 digits


def parse(text: str, decimals: int) -> int:
    """Whole tokens, such as 12.5, as the smallest units. Raises ValueError, which says why."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number; write one such as 1000 or 0.5") from None
    if amount.is_finite() and abs(amount.adjusted()) <= HUGE:
        units = Fraction(amount) * 10**decimals
        if units > 0 and units.denominator == 1:
            return int(units)
    raise ValueError(f"{text!r} must be above 0, with at most {decimals} decimals")


def shown(amount: int, decimals: int) -> str:
    """The smallest units as whole tokens, with every decimal that is not 0."""
    whole, part = divmod(abs(amount), 10**decimals)
    tail = f".{part:0{decimals}d}".rstrip("0") if part else ""
    return f"{'-' * (amount < 0)}{whole}{tail}"
