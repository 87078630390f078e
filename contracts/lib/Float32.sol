// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title IEEE-754 binary32 on bit patterns
/// @notice Every function takes and returns raw bits, rounds once, to nearest, ties to even, keeps
/// subnormals, and returns 0x7fc00000 for every NaN. Total: nothing here reverts.
/// @dev Twin of `worker/exact/reference.py`. A finite value is `m * 2^(max(E, 1) - 150)` with E the
/// exponent field and m the fraction, plus 2^23 if E > 0 (IEEE 754-2019, 3.4). Three devices serve
/// all of the file:
///
/// - Rounding. For s >= 1, `(m + 2^(s-1) - (1 - (m >> s & 1))) >> s` is m / 2^s to nearest even: half
///   is added, or one less where the last bit to keep is clear, so that a tie does not carry into it.
/// - Packing. With q the rounded significand, hidden bit included, and E >= 1 its exponent field,
///   the bits are `((E - 1) << 23) + q`: the hidden bit adds one to the field, a carry out of the
///   rounding adds another, and a subnormal (no hidden bit, E = 1) needs no case of its own.
///   Anything at or above 0x7f800000 is an overflow, hence infinity.
/// - Shifting up. A word has room for a significand far to the left. One that goes up by as much as
///   its exponent says has the last place of every subnormal at the same bit, and constants round it
///   there. If its leading bit is then more than 23 above that one, the number is normal: it goes up
///   only so far that the two are 23 apart, and what is left of the exponent is its field less one.
///
/// Assembly, because the compiler masks a uint32 at nearly every step, which doubles the gas of
/// operations that a dispute repeats by the hundred. No assembly here touches memory or storage,
/// and none can overflow 256 bits: the bounds stand beside each step. The compiler does not promise
/// assembly that the upper bits of a uint32 are clean, so whatever is read of one is masked.
library Float32 {
    uint32 internal constant NAN = 0x7fc00000;
    uint32 internal constant INFINITY = 0x7f800000;
    uint32 internal constant ONE = 0x3f800000;

    /// @dev floor(log2 v) of a v < 256, without a loop: no five bits in a row of WINDOWS stand both at a
    /// bit v and at another v with another logarithm (or at 0, which has none). So those from bit v on
    /// number a byte of a table. The device is that of `LibBit.fls` in Solady; this number was found by
    /// trial, bit by bit from the top. A test asks for every v. Where a leading bit can be in more than
    /// eight places, comparisons come first, and the significand goes up by eight for each that holds.
    uint256 private constant WINDOWS = 0x8421084210842108c6318c6394a5b7f5;
    /// @dev 9 - floor(log2 v).
    uint256 private constant LOG2_FROM_9 = 0x0203030403050405030505060406050703040500050006060405090605080807;
    /// @dev 134 - floor(log2 v); 255, for more than any exponent, where v = 0.
    uint256 private constant LOG2_FROM_134 = 0x7f8080818082818280828283818382848081820082ff83838182868382858584;

    // Powers of two that have too many digits to be counted.
    uint256 private constant BIT_56 = 0x100000000000000;
    uint256 private constant BIT_64 = 0x10000000000000000;
    uint256 private constant BIT_72 = 0x1000000000000000000;
    uint256 private constant BIT_80 = 0x100000000000000000000;
    uint256 private constant BIT_88 = 0x10000000000000000000000;
    uint256 private constant BIT_149 = 0x20000000000000000000000000000000000000;
    uint256 private constant BIT_150 = 0x40000000000000000000000000000000000000;
    uint256 private constant BIT_198 = 0x40000000000000000000000000000000000000000000000000;
    uint256 private constant BIT_199 = 0x80000000000000000000000000000000000000000000000000;

    // --- arithmetic ---

    /// @notice a + b; an exact zero is +0 unless both are -0.
    // Yul has the amount first; and after a `break` nothing is written.
    // slither-disable-next-line incorrect-shift,write-after-write
    function add(uint32 a, uint32 b) internal pure returns (uint32 r) {
        assembly ("memory-safe") {
            let x := and(a, 0x7fffffff)
            let y := and(b, 0x7fffffff)
            // x is the greater magnitude, and a has its sign, which is the result's.
            if lt(x, y) {
                let z := x
                x := y
                y := z
                z := a
                a := b
                b := z
            }
            for {} 1 {} {
                // An exponent field of 0, 1 or 255.
                if iszero(lt(sub(x, 0x1000000), 0x7e800000)) {
                    let opposite := and(xor(a, b), 0x80000000)
                    if gt(x, 0x7f7fffff) {
                        // Not finite: inf - inf is invalid; otherwise the infinity wins.
                        r := or(and(a, 0x80000000), 0x7f800000)
                        if or(gt(x, 0x7f800000), and(eq(x, y), shr(31, opposite))) { r := 0x7fc00000 }
                        break
                    }
                    // Magnitudes' bits count the least unit of all.
                    if iszero(opposite) {
                        r := add(x, y)
                        // From 2^24 on the unit is twice that one: one bit to round off.
                        if gt(r, 0xffffff) { r := add(0x800000, shr(1, add(r, and(shr(1, r), 1)))) }
                        r := or(and(a, 0x80000000), r)
                        break
                    }
                    r := mul(gt(x, y), or(and(a, 0x80000000), sub(x, y))) // an exact zero is +0
                    break
                }
                let e := shr(23, x)
                // y's exponent field less one, that of a subnormal being 1.
                let g := sub(shr(23, y), gt(y, 0x7fffff))
                // In units of 2^-26 of x's last place y is whole if the exponents are at most 26
                // apart. Otherwise it is below 2^-3 of that place and cannot change x, and the shift,
                // by a number that wraps below zero, leaves nothing of it.
                let p := shl(26, or(and(x, 0x7fffff), 0x800000))
                let q := shl(sub(add(27, g), e), sub(y, shl(23, g)))
                // d places up have the leading bit at bit 50: 24 to keep, 27 to round off.
                if iszero(and(xor(a, b), 0x80000000)) {
                    let m := add(p, q)
                    let d := lt(m, 0x4000000000000)
                    let w := shl(d, m)
                    r := add(shl(23, sub(e, d)), shr(27, sub(add(w, 0x4000000), iszero(and(w, 0x8000000)))))
                    if gt(r, 0x7f800000) { r := 0x7f800000 }
                    r := or(and(a, 0x80000000), r)
                    break
                }
                let m := sub(p, q)
                if iszero(lt(m, 0x1000000000000)) {
                    let d := add(1, lt(m, 0x2000000000000))
                    let w := shl(d, m)
                    r := add(
                        or(shl(23, sub(e, d)), and(a, 0x80000000)),
                        shr(27, sub(add(w, 0x4000000), iszero(and(w, 0x8000000))))
                    )
                    break
                }
                // Cancellation: the exponents are at most one apart, so m is whole in half places of x,
                // has at most 23 bits of them, and is exact. It goes up like the others, but no further
                // than to the least exponent, for which v has a bit where that ends. An exact zero is +0.
                let v := or(m, shr(e, 0x4000000000000))
                let u := shl(3, add(lt(v, 0x20000000000), lt(v, 0x200000000))) // v's leading bit in 41 .. 48
                let d := add(byte(and(0x1f, shr(shr(41, shl(u, v)), WINDOWS)), LOG2_FROM_9), u)
                r := mul(gt(m, 0), add(or(shl(23, sub(e, d)), and(a, 0x80000000)), shr(27, shl(d, m))))
                break
            }
        }
    }

    /// @notice a - b.
    function sub(uint32 a, uint32 b) internal pure returns (uint32) {
        return add(a, b ^ 0x80000000);
    }

    /// @notice a * b; 0 * inf is NaN.
    // As in add.
    // slither-disable-next-line incorrect-shift,write-after-write
    function mul(uint32 a, uint32 b) internal pure returns (uint32 r) {
        assembly ("memory-safe") {
            // The exponent fields, X and Y, in place.
            let x := and(a, 0x7f800000)
            let y := and(b, 0x7f800000)
            for {} 1 {} {
                // Neither is 0 or 255.
                if mul(mod(x, 0x7f800000), mod(y, 0x7f800000)) {
                    // 2^46 <= p < 2^48; d places up have the leading bit at bit 47: 24 to keep, 24 to
                    // round off.
                    let p := mul(or(and(a, 0x7fffff), 0x800000), or(and(b, 0x7fffff), 0x800000))
                    let d := lt(p, 0x800000000000)
                    // The result's exponent field less one, in place. Below zero it wraps.
                    let e := sub(add(x, y), add(0x3f800000, shl(23, d)))
                    if iszero(gt(e, 0x7e800000)) {
                        let w := shl(d, p)
                        r := add(
                            or(e, and(xor(a, b), 0x80000000)),
                            shr(24, sub(add(w, 0x800000), iszero(and(w, 0x1000000))))
                        )
                        break
                    }
                    r := and(xor(a, b), 0x80000000)
                    if slt(e, 0) {
                        // Subnormal, as below: p counts 2^(z - 299) with z = X + Y - 1.
                        let w := shl(sub(shr(23, add(x, y)), 1), p)
                        r := or(r, shr(150, sub(add(w, BIT_149), iszero(and(w, BIT_150)))))
                        break
                    }
                    r := or(r, 0x7f800000)
                    break
                }
                let z := shr(23, add(x, y))
                if iszero(lt(z, 255)) {
                    // NaN, or zero times infinity; otherwise infinity.
                    x := and(a, 0x7fffffff)
                    y := and(b, 0x7fffffff)
                    r := or(and(xor(a, b), 0x80000000), 0x7f800000)
                    if or(or(gt(x, 0x7f800000), gt(y, 0x7f800000)), iszero(mul(x, y))) { r := 0x7fc00000 }
                    break
                }
                // One field is zero, so the other is z. The hidden bits: a shift by a field in place, which
                // is above 255 or zero, leaves one only to the number beside a zero field. (If both fields
                // are zero so is z, and the result, whatever the hidden bits.)
                let p := mul(or(and(a, 0x7fffff), shr(y, 0x800000)), or(and(b, 0x7fffff), shr(x, 0x800000)))
                // p < 2^47 counts 2^(z - 299): z places up, a subnormal has its last place at bit 150; s
                // places up, the leading bit is at bit 173. If these are fewer the result is normal and
                // e is its field less one; if not, e is 0. Of p = 0 the table makes an s above any z.
                let u := shl(3, add(lt(p, 0x8000000000), lt(p, 0x80000000))) // p's leading bit in 39 .. 46
                let s := add(byte(and(0x1f, shr(shr(39, shl(u, p)), WINDOWS)), LOG2_FROM_134), u)
                let e := mul(gt(z, s), sub(z, s))
                let w := shl(sub(z, e), p)
                r := add(
                    or(shl(23, e), and(xor(a, b), 0x80000000)),
                    shr(150, sub(add(w, BIT_149), iszero(and(w, BIT_150))))
                )
                break
            }
        }
    }

    /// @notice a / b; 0 / 0 and inf / inf are NaN, a finite non-zero over zero is an infinity.
    // As in add.
    // slither-disable-next-line incorrect-shift,write-after-write
    function div(uint32 a, uint32 b) internal pure returns (uint32 r) {
        assembly ("memory-safe") {
            let x := and(a, 0x7f800000)
            let y := and(b, 0x7f800000)
            for {} 1 {} {
                // As in mul. What the division cuts off is never missed. At least 25 bits of a quotient are
                // rounded off, so a tie times the divisor is a multiple of 2^24, as the dividend is. Where
                // they differ it is by more than the divisor, so q is not taken for a tie.
                if mul(mod(x, 0x7f800000), mod(y, 0x7f800000)) {
                    // 2^71 < q < 2^73
                    let q := div(shl(72, or(and(a, 0x7fffff), 0x800000)), or(and(b, 0x7fffff), 0x800000))
                    let d := lt(q, BIT_72)
                    let e := sub(sub(add(x, 0x3f000000), y), shl(23, d))
                    if iszero(gt(e, 0x7e800000)) {
                        // And none is a tie: 25 bits that end in a one, times the divisor, make more than
                        // the dividend's 24.
                        r := add(or(e, and(xor(a, b), 0x80000000)), shr(49, add(shl(d, q), 0x1000000000000)))
                        break
                    }
                    r := and(xor(a, b), 0x80000000)
                    if slt(e, 0) {
                        // Subnormal, as below: q counts 2^(z - 348) with z = X - Y + 276.
                        let w := shl(shr(23, sub(add(x, 0x8a000000), y)), q)
                        r := or(r, shr(199, sub(add(w, BIT_198), iszero(and(w, BIT_199)))))
                        break
                    }
                    r := or(r, 0x7f800000)
                    break
                }
                let m := and(a, 0x7fffffff)
                let n := and(b, 0x7fffffff)
                // Not finite (a field of zero makes the other one the sum), or by zero.
                if iszero(mul(n, lt(add(x, y), 0x7f800000))) {
                    r := and(xor(a, b), 0x80000000)
                    if or(eq(x, 0x7f800000), iszero(n)) { r := or(r, 0x7f800000) }
                    if or(or(gt(m, 0x7f800000), gt(n, 0x7f800000)), eq(m, n)) { r := 0x7fc00000 }
                    break
                }
                // The fields less one, in place, that of a subnormal being 1.
                x := sub(x, shl(23, gt(x, 0)))
                y := sub(y, shl(23, gt(y, 0)))
                // 2^48 < q < 2^96, or 0, counts 2^(z - 348): z places up, a subnormal has its last place
                // at bit 199; s places up, the leading bit is at bit 222; then as in mul.
                let q := div(shl(72, sub(m, x)), sub(n, y))
                let z := shr(23, sub(add(x, 0x8a000000), y))
                let u :=
                    shl(
                        3,
                        add(add(add(lt(q, BIT_88), lt(q, BIT_80)), add(lt(q, BIT_72), lt(q, BIT_64))), lt(q, BIT_56))
                    ) // q's leading bit in 88 .. 95
                let s := add(byte(and(0x1f, shr(shr(88, shl(u, q)), WINDOWS)), LOG2_FROM_134), u)
                let e := mul(gt(z, s), sub(z, s))
                let w := shl(sub(z, e), q)
                r := add(shl(23, e), shr(199, sub(add(w, BIT_198), iszero(and(w, BIT_199)))))
                if gt(r, 0x7f800000) { r := 0x7f800000 }
                r := or(and(xor(a, b), 0x80000000), r)
                break
            }
        }
    }

    /// @notice The square root of a; NaN below zero, -0 for -0.
    /// @dev Newton's iteration on integers ("Hacker's Delight", 2nd ed., 11-1).
    function sqrt(uint32 a) internal pure returns (uint32 r) {
        assembly ("memory-safe") {
            a := and(a, 0xffffffff)
            r := a // zeros, +inf
            for {} 1 {} {
                if gt(a, 0x7f7fffff) {
                    if iszero(or(eq(a, 0x7f800000), eq(a, 0x80000000))) { r := 0x7fc00000 }
                    break
                }
                if iszero(a) { break }
                let e := shr(23, a)
                let m := or(and(a, 0x7fffff), 0x800000)
                if iszero(e) {
                    // A subnormal goes up to bit 23; e goes below 1.
                    let u := shl(3, add(lt(a, 0x8000), lt(a, 0x80))) // a's leading bit in 15 .. 22
                    e := sub(127, add(byte(and(0x1f, shr(shr(15, shl(u, a)), WINDOWS)), LOG2_FROM_134), u))
                    m := shl(sub(1, e), a)
                }
                // An odd field is an even power of two (the bias is odd). 2^48 <= n < 2^50 with the
                // root's value 2^24 <= x < 2^25, one bit more than is kept.
                let n := shl(sub(26, and(e, 1)), m)
                // In units of 2^48, 1.0295 (n + 2) / 3 is within 3 % of the root over [1, 4]: its
                // chord, moved up by half of their distance. Three steps leave less than 2^-47, so
                // x is the root's floor or one more.
                let x := add(div(n, 48889411), 11514754)
                x := shr(1, add(x, div(n, x)))
                x := shr(1, add(x, div(n, x)))
                x := shr(1, add(x, div(n, x)))
                x := sub(x, gt(mul(x, x), n))
                // Never a tie: a root with its last bit set, if exact, would have an odd square,
                // and n is even. So that bit alone rounds.
                x := shr(1, add(x, 1))
                r := add(shl(23, sar(1, add(e, 125))), x)
                break
            }
        }
    }

    /// @notice -a.
    function neg(uint32 a) internal pure returns (uint32) {
        return isNan(a) ? NAN : a ^ 0x80000000;
    }

    /// @notice |a|.
    function abs(uint32 a) internal pure returns (uint32) {
        return isNan(a) ? NAN : a & 0x7fffffff;
    }

    // --- order ---

    /// @notice The greater in the total order (-0 < +0); NaN if either is.
    function max(uint32 a, uint32 b) internal pure returns (uint32) {
        if (isNan(a) || isNan(b)) return NAN;
        return _key(a) < _key(b) ? b : a;
    }

    /// @notice The lesser in the total order (-0 < +0); NaN if either is.
    function min(uint32 a, uint32 b) internal pure returns (uint32) {
        if (isNan(a) || isNan(b)) return NAN;
        return _key(b) < _key(a) ? b : a;
    }

    /// @notice max(a, +0).
    function relu(uint32 a) internal pure returns (uint32) {
        if (isNan(a)) return NAN;
        return a < 0x80000000 ? a : 0;
    }

    /// @notice a == b: false for NaN, true for the two zeros.
    function eq(uint32 a, uint32 b) internal pure returns (bool) {
        return a == b ? !isNan(a) : (a | b) & 0x7fffffff == 0;
    }

    /// @notice a != b: true for NaN.
    function ne(uint32 a, uint32 b) internal pure returns (bool) {
        return !eq(a, b);
    }

    /// @notice a < b: false for NaN, false for the two zeros.
    function lt(uint32 a, uint32 b) internal pure returns (bool) {
        if (isNan(a) || isNan(b)) return false;
        return _key(a) < _key(b) && (a | b) & 0x7fffffff != 0;
    }

    /// @notice a <= b: false for NaN.
    function le(uint32 a, uint32 b) internal pure returns (bool) {
        if (isNan(a) || isNan(b)) return false;
        return _key(a) <= _key(b) || (a | b) & 0x7fffffff == 0;
    }

    /// @notice a > b: false for NaN.
    function gt(uint32 a, uint32 b) internal pure returns (bool) {
        return lt(b, a);
    }

    /// @notice a >= b: false for NaN.
    function ge(uint32 a, uint32 b) internal pure returns (bool) {
        return le(b, a);
    }

    // --- kinds and conversions ---

    /// @notice Whether a is a NaN of any sign and payload.
    function isNan(uint32 a) internal pure returns (bool) {
        return a & 0x7fffffff > INFINITY;
    }

    /// @notice Whether a is neither an infinity nor a NaN.
    function isFinite(uint32 a) internal pure returns (bool) {
        return a & 0x7fffffff < INFINITY;
    }

    /// @notice a, or the canonical NaN if a is a NaN.
    function canonical(uint32 a) internal pure returns (uint32) {
        return isNan(a) ? NAN : a;
    }

    /// @notice The f32 nearest to the integer v.
    function fromInt(int256 v) internal pure returns (uint32) {
        return fromScaled(v, 0);
    }

    /// @notice The f32 nearest to v * 2^e, rounded once; +0 for v = 0. Total in v; |e| <= 2^32.
    function fromScaled(int256 v, int256 e) internal pure returns (uint32) {
        unchecked {
            // The least int256 negates to itself, which as a uint256 is its magnitude, 2^255.
            return v < 0 ? 0x80000000 | _pack(uint256(-v), e) : _pack(uint256(v), e);
        }
    }

    /// @notice a as a signed 32-bit integer: toward zero, saturating, 0 for NaN.
    function toInt32(uint32 a) internal pure returns (int32) {
        return int32(_truncate(a, 31));
    }

    /// @notice a as a signed 64-bit integer: toward zero, saturating, 0 for NaN.
    function toInt64(uint32 a) internal pure returns (int64) {
        return int64(_truncate(a, 63));
    }

    // --- internals ---

    /// @dev An integer that sorts as the total order does, NaN apart.
    function _key(uint32 a) private pure returns (uint256 key) {
        // Negative: all bits flipped. Otherwise: above all of those.
        assembly ("memory-safe") {
            a := and(a, 0xffffffff)
            key := xor(a, 0x80000000)
            if gt(a, 0x7fffffff) { key := xor(a, 0xffffffff) }
        }
    }

    /// @dev The significand and the unit's exponent: a finite |a| is m * 2^e.
    function _decode(uint32 a) internal pure returns (uint256 m, int256 e) {
        assembly ("memory-safe") {
            e := and(shr(23, a), 0xff)
            m := or(and(a, 0x7fffff), shl(23, gt(e, 0)))
            e := sub(add(e, iszero(e)), 150)
        }
    }

    /// @dev The bits of the f32 nearest to m * 2^e, without sign. |e| <= 2^32.
    // Yul has the amount first.
    // slither-disable-next-line incorrect-shift
    function _pack(uint256 m, int256 e) private pure returns (uint32 r) {
        assembly ("memory-safe") {
            if m {
                // floor(log2 m), by binary search
                let l := shl(7, gt(m, 0xffffffffffffffffffffffffffffffff))
                l := or(l, shl(6, gt(shr(l, m), 0xffffffffffffffff)))
                l := or(l, shl(5, gt(shr(l, m), 0xffffffff)))
                l := or(l, shl(4, gt(shr(l, m), 0xffff)))
                l := or(l, shl(3, gt(shr(l, m), 0xff)))
                l := or(l, shl(2, gt(shr(l, m), 0xf)))
                l := or(l, shl(1, gt(shr(l, m), 0x3)))
                l := or(l, gt(shr(l, m), 0x1))
                // The exponent of the last place kept, not below that of the subnormals.
                let unit := sub(add(l, e), 23)
                if slt(unit, sub(0, 149)) { unit := sub(0, 149) }
                switch sgt(unit, 104)
                case 1 { r := 0x7f800000 }
                default {
                    let s := sub(unit, e)
                    switch sgt(s, 0)
                    case 1 {
                        // m is first cut to leave room for the addition. Where s is beyond all of its bits
                        // nothing is left of it.
                        if gt(s, 32) {
                            // 30 bits down, what is cut off left as one sticky bit.
                            m := or(shr(30, m), iszero(iszero(and(m, 0x3fffffff))))
                            s := sub(s, 30)
                        }
                        r := shr(s, add(m, add(sub(shl(sub(s, 1), 1), 1), and(shr(s, m), 1))))
                    }
                    default { r := shl(sub(0, s), m) }
                    r := add(r, shl(23, add(unit, 149))) // rounded up to 2^128 at most, which is infinity
                }
            }
        }
    }

    /// @dev a toward zero, within [-2^width, 2^width - 1]; 0 for NaN.
    function _truncate(uint32 a, uint256 width) private pure returns (int256) {
        if (isNan(a)) return 0;
        (uint256 m, int256 e) = _decode(a);
        uint256 limit = (1 << width) - 1 + (a >> 31);
        unchecked {
            // From e = 64 on the value is out of range; below, m * 2^64 < 2^88.
            if (e >= 64) m = limit;
            else if (e >= 0) m <<= uint256(e);
            else m >>= uint256(-e);
            if (m > limit) m = limit;
            return a >> 31 == 0 ? int256(m) : -int256(m);
        }
    }
}
