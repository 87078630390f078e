"""The constants of the exact transcendental functions, as f32 bit patterns: the only table.

`reference` and `transcendental` read it; `contracts/lib/ExpLog.sol` repeats it, and a test compares
the two. The polynomials are minimax fits (Remez exchange at 40 digits) whose coefficients were then
rounded to f32; coefficients stand in the order of Horner's rule, highest power first.
"""

HALF = 0x3F000000
ONE = 0x3F800000
TWO = 0x40000000
TWO_23 = 0x4B000000
SQRT_HALF = 0x3F3504F3

LOG2_E = 0x3FB8AA3B
"""1 / ln 2."""
LN2_HIGH = 0x3F317200
"""ln 2 to 16 bits, the last of them zero, so that n * LN2_HIGH is exact for |n| < 512."""
LN2_LOW = 0x35BFBE8E
"""ln 2 - LN2_HIGH."""
ROUND_MAGIC = 0x4B400000
"""1.5 * 2^23: adding it leaves an integer in the low bits, rounded to nearest even."""

EXP_LOW = 0xC2D00000
"""-104: e^-104 is below half the least subnormal."""
EXP_HIGH = 0x42B20000
"""89: e^89 is above the greatest f32."""
EXP_Q = (0x3AB7F7B1, 0x3C092BED, 0x3D2AA980, 0x3E2AAA33, 0x3F000000)
"""q(r) ~ (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2; as an error of e^r at most 0.07 ulp."""

LOG_P = (0x3E98F179, 0x3ECCAF5D, 0x3F2AAABD)
"""p(z) ~ (2 atanh(s) - 2s) / (s z), z = s^2, for ln(1 + f) with s = f / (2 + f) and 1 + f in
[sqrt(1/2), sqrt(2)]; as an error of the logarithm at most 0.03 ulp."""
