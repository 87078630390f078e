"""The C header with the constants of the exact functions, written from the tables that torch reads.

No constant of the arithmetic is copied by hand into C: `scalar.h` includes what `header` returns.
"""

from __future__ import annotations

from worker.exact import bits, coefficients, random, reference

NAME = "coefficients.h"
INTEGERS = ("TWO_OVER_PI", "HALF_PI")
"""Names in the table that are integers and not the bit patterns of f32 values."""
FIRST_FIELD = 126
"""The exponent field of pi / 4, the least that the sine reduces; see `trigonometric`."""
LAST_FIELD = 254
"""The exponent field of the greatest f32."""


def header() -> str:
    """The text of `coefficients.h`.

    Of each f32 constant X: `AX_X` (a float) and `AX_X_BITS` (its pattern); of each polynomial P:
    the array `AX_P`, highest power first. Then the integers of `bits` and `random`, and the windows
    of 2 / pi by exponent field.
    """
    lines = ["#ifndef AX_COEFFICIENTS_H", "#define AX_COEFFICIENTS_H", "#include <stdint.h>"]
    for name, entry in table().items():
        if isinstance(entry, tuple):
            values = ", ".join(hexadecimal(pattern) for pattern in entry)
            lines.append(f"static const float AX_{name}[{len(entry)}] = {{{values}}};")
        else:
            lines.append(f"#define AX_{name} {hexadecimal(entry)}")
            lines.append(f"#define AX_{name}_BITS 0x{entry:08x}u")
    lines += [f"#define AX_{name} {value}" for name, value in integers().items()]
    for name, window in zip(("HIGH", "LOW"), windows(), strict=True):
        values = ", ".join(f"0x{w:x}u" for w in window)
        lines.append(f"static const uint64_t AX_WINDOW_{name}[{len(window)}] = {{{values}}};")
    return "\n".join([*lines, "#endif", ""])


def table() -> dict[str, int | tuple[int, ...]]:
    """Every f32 constant and polynomial of the coefficient table, by name, as bit patterns."""
    return {
        name: entry
        for name, entry in vars(coefficients).items()
        if name.isupper() and name not in INTEGERS
    }


def integers() -> dict[str, str]:
    """The integer constants, as C literals."""
    return {
        "HALF_PI": f"INT64_C({coefficients.HALF_PI})",
        "NAN_BITS": f"0x{bits.NAN_BITS:08x}u",
        "INF_BITS": f"0x{bits.INF_BITS:08x}u",
        "MAGNITUDE": f"0x{bits.MAGNITUDE:08x}u",
        "NONFINITE": f"0x{bits.NONFINITE:08x}",
        "MIN_EXPONENT": f"({bits.MIN_EXPONENT})",
        "MAX_EXPONENT": f"{bits.MAX_EXPONENT}",
        "FIRST_FIELD": f"{FIRST_FIELD}",
        "FIELDS": f"{LAST_FIELD - FIRST_FIELD + 1}",
        "PHILOX_ROUNDS": f"{random.ROUNDS}",
        "PHILOX_A": f"0x{random.MULTIPLIERS[0]:08x}u",
        "PHILOX_B": f"0x{random.MULTIPLIERS[1]:08x}u",
        "WEYL_A": f"0x{random.WEYL[0]:08x}u",
        "WEYL_B": f"0x{random.WEYL[1]:08x}u",
    }


def windows() -> tuple[list[int], list[int]]:
    """By exponent field from FIRST_FIELD, 96 bits of 2 / pi: the upper 64 and the lower 32."""
    fields = range(LAST_FIELD - FIRST_FIELD + 1)
    shifts = [LAST_FIELD - FIRST_FIELD - i for i in fields]
    whole = [coefficients.TWO_OVER_PI >> shift & (1 << 96) - 1 for shift in shifts]
    return [w >> 32 for w in whole], [w & 0xFFFFFFFF for w in whole]


def hexadecimal(pattern: int) -> str:
    """The finite f32 with this bit pattern as a C literal, exactly."""
    sign, m, e = reference.decode(pattern)
    return f"{'-' if sign else ''}0x{m:x}p{e:+d}f"
