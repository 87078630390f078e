"""The constants of the exact transcendental functions, as f32 bit patterns: the only table.

`reference`, `transcendental` and `trigonometric` read it; the libraries in `contracts/lib` repeat
it, and a test compares them. The polynomials are minimax fits (Remez exchange at 40 digits) whose
coefficients were then rounded to f32; coefficients stand in the order of Horner's rule, highest
power first.
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

TANH_SMALL = 0x3F100000
"""0.5625, where tanh is just above 1/2: from there on it is 1 - 2 / (e^2x + 1)."""
TANH_P = (0xBBCA8007, 0x3CAC17D7, 0xBD5C84A3, 0x3E088639, 0xBEAAAAA4)
"""p(z) ~ (tanh(x) / x - 1) / z, z = x^2, below TANH_SMALL; at most 0.04 ulp of tanh."""

ERF_END = 0x40800000
"""4: erf rounds to 1 from 3.92 on."""
ERF_P = (0x38A4B517, 0xBA51FB7F, 0x3BAA02D9, 0xBCDBFC86, 0x3DE7167C, 0xBEC0939F, 0x3E0375D4)
"""p(z) ~ erf(x) / x - 1, z = x^2, for |x| < 1; at most 0.08 ulp of erf."""
ERF_Q = (0xB76D1F9B, 0x39B8B8FC, 0xBB76B865, 0x3CC4D11D, 0xBDDA3668, 0xBF228CA1, 0xBF907926)
"""q(x) ~ ln(1 - erf(x)) / x on [1, 4]; at most 0.06 ulp of erf."""

QUARTER_PI = 0x3F490FDA
"""The greatest f32 below pi / 4: the sine and cosine up to here need no reduction."""
TWO_OVER_PI = 0x28BE60DB9391054A7F09D5F47D4D377036D8A5664F10E4107F
"""floor(2 / pi * 2^198): the bits of 2 / pi that can matter to an f32; an integer, not an f32."""
HALF_PI = 0xC90FDAA2
"""pi / 2 * 2^31, rounded; an integer, not an f32."""
UNIT_62 = 0x20800000
"""2^-62."""
SIN_P = (0xB94C9A20, 0x3C08837D, 0xBE2AAAA2)
"""p(z) ~ (sin(r) / r - 1) / z, z = r^2, |r| <= pi / 4; at most 0.08 ulp of the sine."""
COS_P = (0x37CD012D, 0xBAB60646, 0x3D2AAAA5)
"""p(z) ~ (cos(r) - 1 + z / 2) / z^2, z = r^2, |r| <= pi / 4; at most 0.01 ulp of the cosine."""
