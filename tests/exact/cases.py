"""Operands for the arithmetic tests: every kind of f32, and mixtures that reach every branch."""

import itertools
import random

SIGN = 0x80000000

MAGNITUDES = [
    0x00000000,  # zero
    0x00000001,  # least subnormal
    0x00000002,
    0x00000003,
    0x003FFFFF,  # around the middle subnormal
    0x00400000,
    0x00400001,
    0x007FFFFF,  # greatest subnormal
    0x00800000,  # least normal
    0x00800001,
    0x00FFFFFF,
    0x01000000,  # twice the least normal
    0x0C800000,  # 2^-102: its square root's square is far from it in range
    0x1F800000,  # 2^-64: squares to 2^-128, a subnormal
    0x20000000,
    0x33000000,  # 2^-25
    0x33800000,  # 2^-24: half an ulp of 1
    0x33800001,
    0x34000000,  # 2^-23: an ulp of 1
    0x3EFFFFFF,
    0x3F000000,  # 0.5
    0x3F000001,
    0x3F3504F3,  # sqrt(1/2)
    0x3F7FFFFF,  # 1 - ulp
    0x3F800000,  # 1
    0x3F800001,  # 1 + ulp
    0x3FC00000,  # 1.5
    0x40000000,  # 2
    0x40200000,  # 2.5, a tie
    0x40490FDB,  # pi
    0x4B000000,  # 2^23
    0x4B000001,
    0x4B7FFFFF,  # 2^24 - 1
    0x4B800000,  # 2^24: integers end
    0x4EFFFFFF,  # below 2^31
    0x4F000000,  # 2^31
    0x5EFFFFFF,  # below 2^63
    0x5F000000,  # 2^63
    0x5F800000,  # 2^64
    0x7E800000,  # 2^126
    0x7F000000,  # 2^127
    0x7F7FFFFE,
    0x7F7FFFFF,  # greatest finite
    0x7F800000,  # infinity
    0x7F800001,  # NaNs, signalling
    0x7FBFFFFF,
    0x7FC00000,  # canonical
    0x7FC00001,
    0x7FFFFFFF,
]
SPECIALS = [sign | m for m in MAGNITUDES for sign in (0, SIGN)]

# Sums next to the greatest number: beyond it by one and by two places, a tie, just below the tie.
SUM_EDGES = [
    (0x7F7FFFFF, 0x74400000),
    (0x7F7FFFFF, 0x74800000),
    (0x7F7FFFFF, 0x73800000),
    (0x7F7FFFFF, 0x73000000),
    (0x7F7FFFFF, 0x737FFFFF),
    (0x7F000001, 0x7F000000),
]

# A subnormal and a normal number whose significands' product is 2^39 - 1, where a comparison of
# `Float32.mul` decides; 2^31 - 1, where another does, is a prime.
PRODUCT_EDGE = (57337, 200 << 23 | 9588151 & 0x7FFFFF)
# 2^128 and one place more, whose bits would be a NaN's.
QUOTIENT_EDGE = (0x35000001, 0x00000001)

# Where a search for a leading bit decides, and numbers of all sizes to go with them.
LEADING_BITS = [(1 << k) + d for k in range(1, 24) for d in (-1, 0)]
BELOW_ONE = [0x3F800000 - n for n in LEADING_BITS]  # where log searches for that of x - 1
BESIDE_SUBNORMALS = [
    0x00000001,
    0x00000003,
    0x00800000,
    0x3F800000,
    0x3FFFFFFF,
    0x4B000000,
    0x7F7FFFFF,
]

# Exponents of numbers about the least normal one, the least of all, and its half, which is a tie.
SUBNORMAL_EXPONENTS = [-126, -127, -128, -148, -149, -150, -151]
# Of which the finest quantisation is one or nothing.
LEAST = [0x003FFFFF, 0x00400000, 0x00400001, 0x007FFFFF, 0x00800000, 0x00C00000, 0x00C00001]

EXP_LOG_EDGES = [
    0x42B17217,  # the greatest x with a finite e^x
    0x42B17218,
    0x42B20000,
    0x42B20001,
    0xC2AEAC4F,  # e^x leaves the normal numbers
    0xC2AEAC50,
    0xC2CFF1B4,  # e^x leaves the subnormals
    0xC2CFF1B5,
    0xC2D00000,
    0xC2D00001,
    0x3EB17218,  # ln 2 / 2: the reduction's first step
    0x3EB17219,
    0xBEB17218,
    0x327FFFFF,  # below 2^-26
    0x32800000,
    0xB27FFFFF,
    0xB2800000,
    0x3F3504F2,  # around sqrt(1/2) and sqrt(2), where log's k changes
    0x3F3504F4,
    0x3FB504F2,
    0x3FB504F3,
    0x3FB504F4,
]

TANH_ERF_EDGES = [
    0x3F0FFFFF,  # around 0.5625, where tanh changes its formula
    0x3F100000,
    0xBF0FFFFF,
    0xBF100000,
    0x41102CB3,  # around where tanh rounds to 1
    0x41102CB4,
    0xC1102CB4,
    0x3F7FFFFF,  # around 1, where erf changes its formula
    0xBF7FFFFF,
    0x407AD6D1,  # around where erf rounds to 1
    0x407AD6D2,
    0xC07AD6D2,
    0x407FFFFF,
    0x40800000,
    0x40800001,
    0xC0800001,
]

SIN_COS_EDGES = [
    0x3F490FDA,  # around pi / 4, where the reduction starts
    0x3F490FDB,
    0x3F490FDC,
    0xBF490FDB,
    0x3FC90FDA,  # around pi / 2, 3 pi / 4, pi, 3 pi / 2, 2 pi
    0x3FC90FDB,
    0x4016CBE3,
    0x4016CBE4,
    0x40490FDA,
    0x40490FDC,
    0x4096CBE4,
    0x40C90FDB,
    0xC0C90FDB,
    0x6F79BE45,  # the nearest of all to a multiple of pi / 2: 2^-29.9 of it away; the next ones
    0xEF79BE45,
    0x50A3E87F,
    0x437CE5F1,
    0x6A1976F1,
    0x7F7FFFFF,
]


# Powers of two that a product or a quotient is near: the least number of all, its half and what is
# beside them, the least normal numbers.
EDGE_EXPONENTS = [-152, -151, -150, -149, -148, -140, -128, -127, -126, -125]


def about_subnormals(rng: random.Random, quotients: bool) -> list[tuple[int, int]]:
    """Pairs with a subnormal of every length, beside a number that brings it to where rounding
    changes, or beside another where none does; of quotients it is also the divisor."""
    pairs = []
    for k, target in itertools.product(range(23), EDGE_EXPONENTS):
        tiny = 1 << k | rng.choice((0, (1 << k) - 1, rng.getrandbits(23) & ((1 << k) - 1)))
        field = 127 + (k - 149 - target if quotients else target - k + 149)
        fraction = rng.choice((0, 0x7FFFFF, 0x400000, 0x200000, rng.getrandbits(23)))
        sign = rng.getrandbits(1) << 31
        if 0 < field < 255:
            pairs.append((sign | tiny, field << 23 | fraction))
        else:
            pairs.append((tiny, sign | rng.getrandbits(23) >> rng.randrange(23) | 1))
        if quotients:
            pairs.append((rng.randrange(1, 255) << 23 | fraction, sign | tiny))
    return pairs


def pair(rng: random.Random) -> tuple[int, int]:
    """A pair from a mixture: any bits, near exponents, subnormals, cancellation, ties, edges."""
    a, b = rng.getrandbits(32), rng.getrandbits(32)
    match rng.randrange(6):
        case 1:  # exponents within 32 of each other
            exponent = min(max(((a >> 23) & 0xFF) + rng.randrange(-32, 33), 0), 254)
            b = (b & 0x807FFFFF) | (exponent << 23)
        case 2:  # subnormals and the least normals
            a, b = a & 0x81FFFFFF, b & 0x83FFFFFF
        case 3:  # cancellation: the same number but for low bits, opposite signs
            b = a ^ SIGN ^ rng.getrandbits(rng.randrange(1, 26))
        case 4:  # significands of few bits, so that ties occur
            a &= 0xFF800000 | (0x7FFFFF << rng.randrange(10, 23) & 0x7FFFFF)
            b &= 0xFF800000 | (0x7FFFFF << rng.randrange(10, 23) & 0x7FFFFF)
        case 5:
            b = rng.choice(SPECIALS)
    return a, b
