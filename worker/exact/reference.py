"""The definition of Assay's arithmetic: one scalar at a time, in plain Python integers.

This is the first of three twins. The torch functions beside it and the Solidity libraries must
give the same bits; `tests/vectors` is made from this file. It is meant to be read and believed,
not to be fast, so it uses no float and imports nothing but the coefficient table.

An f32 value is its bit pattern, an int in [0, 2^32). An i32 or i64 value is an ordinary signed int,
a bool is 0 or 1. Every function that can produce a NaN produces the canonical one. Rounding is
always to nearest, ties to even (IEEE 754-2019, 4.3.1), once per function.
"""

from worker.exact import coefficients as table

NAN = 0x7FC00000
INF = 0x7F800000
SIGN = 0x80000000
NONFINITE = 0x7FFFFFFF
"""The exponent (an i32) of a row that has a non-finite element."""
MIN_EXPONENT = -96
MAX_EXPONENT = 128


# --- encoding -----------------------------------------------------------------------------------


def is_nan(a: int) -> bool:
    """Whether the bit pattern `a` is any NaN."""
    return a & 0x7FFFFFFF > INF


def is_infinite(a: int) -> bool:
    """Whether the bit pattern `a` is one of the two infinities."""
    return a & 0x7FFFFFFF == INF


def is_zero(a: int) -> bool:
    """Whether the bit pattern `a` is one of the two zeros."""
    return a & 0x7FFFFFFF == 0


def canonical(a: int) -> int:
    """`a`, or the canonical NaN if `a` is a NaN."""
    return NAN if is_nan(a) else a


def decode(a: int) -> tuple[int, int, int]:
    """`(sign, m, e)` of a finite `a`: its value is `(-1)^sign * m * 2^e`."""
    sign, biased, fraction = a >> 31, (a >> 23) & 0xFF, a & 0x7FFFFF
    if biased == 0:
        return sign, fraction, -149
    return sign, fraction | 0x800000, biased - 150


def round_f32(sign: int, m: int, e: int) -> int:
    """The f32 nearest to `(-1)^sign * m * 2^e`, for `m >= 0`; a zero keeps its sign."""
    assert m >= 0, m
    if m == 0:
        return sign << 31
    unit = max(m.bit_length() - 24 + e, -149)  # exponent of the result's last place
    if unit <= e:
        kept = m << (e - unit)
    else:
        shift = unit - e
        kept, rest, half = m >> shift, m & ((1 << shift) - 1), 1 << (shift - 1)
        if rest > half or (rest == half and kept & 1):
            kept += 1
    # `kept` holds the hidden bit, which adds one to the exponent field, as does a carry out of it.
    return (sign << 31) | min(((unit + 149) << 23) + kept, INF)


def from_scaled(m: int, e: int) -> int:
    """The f32 nearest to the exact `m * 2^e`; +0 for `m == 0`."""
    return round_f32(int(m < 0), abs(m), e)


def _signed(a: int) -> tuple[int, int]:
    sign, m, e = decode(a)
    return (-m if sign else m), e


# --- f32 arithmetic -----------------------------------------------------------------------------


def neg(a: int) -> int:
    """-a: the sign bit flipped."""
    return NAN if is_nan(a) else a ^ SIGN


def abs_(a: int) -> int:
    """|a|: the sign bit cleared."""
    return canonical(a & 0x7FFFFFFF)


def add(a: int, b: int) -> int:
    """a + b. An exact zero is +0, unless both are -0."""
    if is_nan(a) or is_nan(b):
        return NAN
    if is_infinite(a):
        return NAN if is_infinite(b) and a != b else a
    if is_infinite(b):
        return b
    (ma, ea), (mb, eb) = _signed(a), _signed(b)
    e = min(ea, eb)
    total = (ma << (ea - e)) + (mb << (eb - e))
    if total == 0:
        return SIGN if a == b == SIGN else 0
    return from_scaled(total, e)


def sub(a: int, b: int) -> int:
    """a - b."""
    return add(a, neg(b))


def mul(a: int, b: int) -> int:
    """a * b. 0 * inf is NaN."""
    if is_nan(a) or is_nan(b):
        return NAN
    sign = (a ^ b) >> 31
    if is_infinite(a) or is_infinite(b):
        return NAN if is_zero(a) or is_zero(b) else (sign << 31) | INF
    (_, ma, ea), (_, mb, eb) = decode(a), decode(b)
    return round_f32(sign, ma * mb, ea + eb)


def div(a: int, b: int) -> int:
    """a / b. 0 / 0 and inf / inf are NaN; a finite non-zero over zero is an infinity."""
    if is_nan(a) or is_nan(b):
        return NAN
    sign = (a ^ b) >> 31
    if is_infinite(a):
        return NAN if is_infinite(b) else (sign << 31) | INF
    if is_zero(b):
        return NAN if is_zero(a) else (sign << 31) | INF
    if is_infinite(b):
        return sign << 31
    (_, ma, ea), (_, mb, eb) = decode(a), decode(b)
    # 64 more bits than the divisor has, and a last bit that says whether anything was cut off: more
    # than any f32 keeps, so the rounding sees on which side of a tie the quotient lies.
    quotient, rest = divmod(ma << 64, mb)
    return round_f32(sign, (quotient << 1) | (rest != 0), ea - eb - 65)


def sqrt(a: int) -> int:
    """The square root of a; NaN below zero; the root of -0 is -0."""
    if is_nan(a):
        return NAN
    if is_zero(a):
        return a
    if a & SIGN:
        return NAN
    if a == INF:
        return INF
    _, m, e = decode(a)
    if e % 2:
        m, e = m << 1, e - 1
    m, e = m << 64, e - 64
    root = _integer_sqrt(m)
    return round_f32(0, (root << 1) | (root * root != m), e // 2 - 1)


def _integer_sqrt(n: int) -> int:
    """The largest r with r * r <= n, by bisection."""
    low, high = 0, 1 << (n.bit_length() // 2 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if middle * middle <= n:
            low = middle
        else:
            high = middle
    return low


# --- order --------------------------------------------------------------------------------------


def order_key(a: int) -> int:
    """An integer that sorts as the total order does: -inf < ... < -0 < +0 < ... < inf < NaN."""
    if is_nan(a):
        return NAN
    return a if a < SIGN else -1 - (a & 0x7FFFFFFF)


def maximum(a: int, b: int) -> int:
    """The greater in the total order (-0 < +0); NaN if either is."""
    if is_nan(a) or is_nan(b):
        return NAN
    return a if order_key(a) >= order_key(b) else b


def minimum(a: int, b: int) -> int:
    """The lesser in the total order (-0 < +0); NaN if either is."""
    if is_nan(a) or is_nan(b):
        return NAN
    return a if order_key(a) <= order_key(b) else b


def relu(a: int) -> int:
    """max(a, +0)."""
    return maximum(a, 0)


def eq(a: int, b: int) -> int:
    """a == b (IEEE: NaN equals nothing, -0 equals +0)."""
    if is_nan(a) or is_nan(b):
        return 0
    return int(a == b or (is_zero(a) and is_zero(b)))


def ne(a: int, b: int) -> int:
    """Not `eq`: true for NaN."""
    return 1 - eq(a, b)


def lt(a: int, b: int) -> int:
    """a < b; false for NaN and for two zeros."""
    if is_nan(a) or is_nan(b) or eq(a, b):
        return 0
    return int(order_key(a) < order_key(b))


def le(a: int, b: int) -> int:
    """a <= b; false for NaN."""
    return lt(a, b) | eq(a, b)


def gt(a: int, b: int) -> int:
    """a > b; false for NaN."""
    return lt(b, a)


def ge(a: int, b: int) -> int:
    """a >= b; false for NaN."""
    return le(b, a)


def row_max(row: list[int]) -> int:
    """The greatest of a non-empty row; NaN if any element is."""
    best = row[0]
    for a in row:
        best = maximum(best, a)
    return canonical(best)


def row_argmax(row: list[int]) -> int:
    """The position of the first greatest element; a NaN counts as the greatest."""
    return max(range(len(row)), key=lambda i: (order_key(row[i]), -i))


# --- integers and conversions -------------------------------------------------------------------


def wrap(a: int, width: int) -> int:
    """`a` reduced to a two's complement integer of `width` bits (32 or 64)."""
    a &= (1 << width) - 1
    return a - (1 << width) if a >> (width - 1) else a


def int_add(a: int, b: int, width: int) -> int:
    """a + b, wrapping."""
    return wrap(a + b, width)


def int_sub(a: int, b: int, width: int) -> int:
    """a - b, wrapping."""
    return wrap(a - b, width)


def int_mul(a: int, b: int, width: int) -> int:
    """a * b, wrapping."""
    return wrap(a * b, width)


def int_neg(a: int, width: int) -> int:
    """-a, wrapping: the least integer is its own negative."""
    return wrap(-a, width)


def from_int(a: int) -> int:
    """The f32 nearest to the integer `a`."""
    return from_scaled(a, 0)


def to_int(a: int, width: int) -> int:
    """f32 to a signed integer of `width` bits: toward zero, saturating, 0 for NaN."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    if is_nan(a):
        return 0
    if is_infinite(a):
        return low if a & SIGN else high
    sign, m, e = decode(a)
    magnitude = m << e if e >= 0 else m >> -e
    return min(max(-magnitude if sign else magnitude, low), high)


def to_bool(a: int) -> int:
    """Whether f32 `a` is not zero; true for NaN."""
    return int(not is_zero(a))


# --- exp, log, tanh, erf, sin, cos --------------------------------------------------------------


def _horner(coefficients: tuple[int, ...], x: int) -> int:
    """The polynomial at x, highest coefficient first."""
    result = coefficients[0]
    for coefficient in coefficients[1:]:
        result = add(mul(result, x), coefficient)
    return result


def exp(x: int) -> int:
    """e^x as a fixed sequence of the functions above; see `transcendental.exp` for its error."""
    if is_nan(x):
        return NAN
    x = minimum(maximum(x, table.EXP_LOW), table.EXP_HIGH)
    shifted = add(mul(x, table.LOG2_E), table.ROUND_MAGIC)
    n = sub(shifted, table.ROUND_MAGIC)  # the integer nearest to x / ln 2, as an f32
    high = sub(x, mul(n, table.LN2_HIGH))
    low = mul(n, table.LN2_LOW)
    r = sub(high, low)
    q = _horner(table.EXP_Q, r)
    tail = sub(mul(mul(r, r), q), low)
    y = add(table.ONE, add(high, tail))
    _, m, e = decode(y)
    return round_f32(0, m, e + shifted - table.ROUND_MAGIC)


def log(x: int) -> int:
    """ln x as a fixed sequence of the functions above; see `transcendental.log` for its error."""
    if is_nan(x):
        return NAN
    if is_zero(x):
        return SIGN | INF
    if x & SIGN:
        return NAN
    if x == INF:
        return INF
    k = 0
    if x < 0x00800000:
        x, k = mul(x, table.TWO_23), -23
    offset = x - table.SQRT_HALF  # a bit pattern less a bit pattern: counts in last places
    k += offset >> 23
    f = sub((offset & 0x7FFFFF) + table.SQRT_HALF, table.ONE)
    s = div(f, add(f, table.TWO))
    z = mul(s, s)
    p = _horner(table.LOG_P, z)
    half_square = mul(mul(table.HALF, f), f)
    n = from_int(k)
    tail = add(mul(s, add(half_square, mul(z, p))), mul(n, table.LN2_LOW))
    return add(mul(n, table.LN2_HIGH), sub(f, sub(half_square, tail)))


def tanh(x: int) -> int:
    """tanh x as a fixed sequence of the functions above; see `transcendental.tanh`."""
    if is_nan(x):
        return NAN
    a = abs_(x)
    if a < table.TANH_SMALL:
        z = mul(a, a)
        y = add(mul(mul(_horner(table.TANH_P, z), z), a), a)
    else:
        y = sub(table.ONE, div(table.TWO, add(exp(add(a, a)), table.ONE)))
    return y | (x & SIGN)


def erf(x: int) -> int:
    """erf x as a fixed sequence of the functions above; see `transcendental.erf`."""
    if is_nan(x):
        return NAN
    a = abs_(x)
    if a < table.ONE:
        y = add(mul(_horner(table.ERF_P, mul(a, a)), a), a)
    else:
        a = minimum(a, table.ERF_END)
        y = sub(table.ONE, exp(mul(_horner(table.ERF_Q, a), a)))
    return y | (x & SIGN)


def sin(x: int) -> int:
    """sin x, through exact integers and then the functions above; see `trigonometric.sin`."""
    if x & 0x7FFFFFFF >= INF:
        return NAN
    return _sine(abs_(x), 0) ^ (x & SIGN)


def cos(x: int) -> int:
    """cos x, through exact integers and then the functions above; see `trigonometric.cos`."""
    if x & 0x7FFFFFFF >= INF:
        return NAN
    return _sine(abs_(x), 1)


def _sine(a: int, quarters: int) -> int:
    """sin(a + quarters * pi / 2) of a finite a >= +0.

    a = (quarters + f) pi / 2 with f in [-1/2, 1/2) an integer in units of 2^-62. Of 2 / pi only the
    bits are taken that are no multiple of 4 once multiplied with a, cut off 2^-94 of the last.
    """
    r, low = a, 0
    if a > table.QUARTER_PI:
        _, m, e = decode(a)
        window = (table.TWO_OVER_PI >> (104 - e)) & ((1 << 96) - 1)
        turned = ((m * window) >> 32) + (1 << 61)
        quarters += turned >> 62
        f = (turned & ((1 << 62) - 1)) - (1 << 61)
        v = (f * table.HALF_PI) >> 31  # f pi / 2, in the same units
        whole = from_int(v)
        rest = from_int(v - to_int(whole, 64))
        r, low = mul(whole, table.UNIT_62), mul(rest, table.UNIT_62)
    z = mul(r, r)
    if quarters & 1:
        tail = sub(mul(mul(_horner(table.COS_P, z), z), z), mul(r, low))
        y = sub(table.ONE, sub(mul(z, table.HALF), tail))
    else:
        y = add(add(mul(mul(_horner(table.SIN_P, z), z), r), low), r)
    return neg(y) if quarters & 2 else y


# --- rows: exponent, quantise, finish -----------------------------------------------------------


def _check(bits: int, *exponents: int) -> None:
    if not 2 <= bits <= 31:
        raise ValueError(f"bits must be in [2, 31]: {bits=}")
    for e in exponents:
        if e != NONFINITE and not MIN_EXPONENT <= e <= MAX_EXPONENT:
            raise ValueError(f"not an exponent: {e=}")


def exponent(row: list[int]) -> int:
    """clamp(E, -96, 128) with E least such that max|a| < 2^E; NONFINITE if an element is not."""
    largest = max((a & 0x7FFFFFFF for a in row), default=0)
    if largest >= INF:
        return NONFINITE
    _, m, e = decode(largest)
    if m == 0:
        return MIN_EXPONENT
    return min(max(m.bit_length() + e, MIN_EXPONENT), MAX_EXPONENT)


def quantise(x: int, e: int, bits: int) -> int:
    """clamp(round_half_even(x * 2^(bits-1-e)), +-(2^(bits-1)-1)); 0 for a non-finite x or e.

    Raises ValueError for an `e` that no row has, or `bits` outside [2, 31].
    """
    _check(bits, e)
    if e == NONFINITE or x & 0x7FFFFFFF >= INF:
        return 0
    m, scale = _signed(x)
    scale += bits - 1 - e
    if scale >= 0:
        rounded = m << scale
    else:
        kept, rest, half = m >> -scale, m & ((1 << -scale) - 1), 1 << (-scale - 1)
        rounded = kept + (rest > half or (rest == half and kept & 1 == 1))
    limit = (1 << (bits - 1)) - 1
    return min(max(rounded, -limit), limit)


def dot_finish(total: int, ea: int, eb: int, bits: int) -> int:
    """round_f32(total * 2^(ea+eb-2(bits-1))); NaN if either row was not finite."""
    _check(bits, ea, eb)
    if NONFINITE in (ea, eb):
        return NAN
    return from_scaled(total, ea + eb - 2 * (bits - 1))


def sum_finish(total: int, e: int) -> int:
    """round_f32(total * 2^(e-30)); NaN if the row was not finite."""
    _check(31, e)
    if e == NONFINITE:
        return NAN
    return from_scaled(total, e - 30)


def dot(a: list[int], b: list[int], bits: int = 14) -> int:
    """The product of two rows of equal length."""
    if len(a) != len(b):
        raise ValueError(f"rows differ in length: {len(a)} and {len(b)}")
    ea, eb = exponent(a), exponent(b)
    pairs = zip(a, b, strict=True)
    total = sum(quantise(x, ea, bits) * quantise(y, eb, bits) for x, y in pairs)
    return dot_finish(total, ea, eb, bits)


def row_sum(row: list[int]) -> int:
    """The sum of a row, through 31-bit integers."""
    e = exponent(row)
    return sum_finish(sum(quantise(x, e, 31) for x in row), e)


# --- random numbers -----------------------------------------------------------------------------


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox-4x32-10: four random words from a counter and a key, all of 32 bits.

    Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (2011).
    """
    a, b, c, d = counter
    low, high = key
    for _ in range(10):
        first, second = a * 0xD2511F53, c * 0xCD9E8D57
        a, c = second >> 32 ^ b ^ low, first >> 32 ^ d ^ high
        b, d = second & 0xFFFFFFFF, first & 0xFFFFFFFF
        low, high = low + 0x9E3779B9 & 0xFFFFFFFF, high + 0xBB67AE85 & 0xFFFFFFFF
    return a, b, c, d


def uniform(seed: int, step: int, node: int, element: int) -> int:
    """The f32 in [0, 1) that an element of a node gets in a step of the job with this seed.

    seed and step: below 2^64. One of 2^24 equidistant values: the upper 24 bits of a word.
    """
    block = element >> 2
    low = 0xFFFFFFFF
    words = philox((block & low, block >> 32, node, step & low), (seed & low, seed >> 32))
    return from_scaled(words[element & 3] >> 8, -24)
