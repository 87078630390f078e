// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title IEEE-754 binary32 on bit patterns
/// @notice Every function takes and returns raw bits, rounds once, to nearest, ties to even, keeps
/// subnormals, and returns 0x7fc00000 for every NaN. Total: nothing here reverts.
/// @dev Twin of `worker/exact/reference.py`. A finite value is `m * 2^(max(E, 1) - 150)` with E the
/// exponent field and m the fraction, plus 2^23 if E > 0 (IEEE 754-2019, 3.4). Two devices serve
/// all of the file:
///
/// - Rounding. For s >= 1, `(m + 2^(s-1) - 1 + (m >> s & 1)) >> s` is m / 2^s to nearest even.
/// - Packing. With q the rounded significand, hidden bit included, and E >= 1 its exponent field,
///   the bits are `((E - 1) << 23) + q`: the hidden bit adds one to the field, a carry out of the
///   rounding adds another, and a subnormal (no hidden bit, E = 1) needs no case of its own.
///   Anything at or above 0x7f800000 is an overflow, hence infinity.
///
/// Assembly, because the compiler masks a uint32 at nearly every step, which doubles the gas of
/// operations that a dispute repeats by the hundred. No assembly here touches memory or storage,
/// and none can overflow 256 bits: the bounds stand beside each step. The compiler does not promise
/// assembly that the upper bits of a uint32 are clean, so whatever is read of one is masked.
library Float32 {
    uint32 internal constant NAN = 0x7fc00000;
    uint32 internal constant INFINITY = 0x7f800000;
    uint32 internal constant ONE = 0x3f800000;

    // --- arithmetic ---

    /// @notice a + b; an exact zero is +0 unless both are -0.
    // Yul has the amount first; and after a `break` nothing is written.
    // slither-disable-next-line incorrect-shift,write-after-write
    function add(uint32 a, uint32 b) internal pure returns (uint32 r) {
        assembly ("memory-safe") {
            let signs := xor(a, b)
            let x := and(a, 0x7fffffff)
            let y := and(b, 0x7fffffff)
            // x is the greater magnitude, and a has its sign, which is the result's.
            if lt(x, y) {
                a := b
                let z := x
                x := y
                y := z
            }
            // The exponent field less two: wraps for the two least, of which the bits are integers.
            let e := sub(shr(23, x), 2)
            for {} 1 {} {
                if iszero(lt(e, 253)) {
                    if eq(e, 253) {
                        // Not finite: inf - inf is invalid; otherwise the infinity wins.
                        r := 0x7f800000
                        if or(gt(x, r), and(eq(x, y), and(shr(31, signs), 1))) {
                            r := 0x7fc00000
                            a := 0
                        }
                        break
                    }
                    // Magnitudes' bits count the least unit of all.
                    if iszero(and(signs, 0x80000000)) {
                        r := add(x, y)
                        // From 2^24 on the unit is twice that one: one bit to round off.
                        if gt(r, 0xffffff) { r := add(0x800000, shr(1, add(r, and(shr(1, r), 1)))) }
                        break
                    }
                    r := sub(x, y)
                    if iszero(r) { a := 0 }
                    break
                }
                // y's exponent field less one, that of a subnormal being 1.
                let g := shr(23, y)
                g := sub(g, gt(g, 0))
                // In units of 2^-26 of x's last place y is whole if the exponents are at most 26
                // apart. Otherwise it is below 2^-3 of that place and cannot change x, and the shift,
                // by a number that wraps below zero, leaves nothing of it.
                let m :=
                    add(
                        shl(26, or(and(x, 0x7fffff), 0x800000)),
                        mul(sub(1, and(shr(30, signs), 2)), shl(sub(add(25, g), e), sub(y, shl(23, g))))
                    )
                if lt(m, 0x1000000000000) {
                    // Cancellation: the exponents are at most one apart, so m is whole in half places
                    // of x. At most 23 bits are left, or none: an exact zero is +0.
                    m := shr(25, m)
                    if iszero(m) {
                        a := 0
                        break
                    }
                    // It goes up by as many places as bit 23 is above its leading bit, and no further
                    // than to the least exponent, for which a bit is put where that ends.
                    let v := or(m, shr(e, 0x800000))
                    let t := mul(5, add(add(lt(v, 0x40000), lt(v, 0x2000)), add(lt(v, 0x100), lt(v, 8))))
                    // By the five highest of the bits: 5 up from bit 18, .. 1 up from bit 22.
                    t := add(
                        t,
                        byte(shr(18, shl(t, v)), 0x0005040403030303020202020202020201010101010101010101010101010101)
                    )
                    r := add(shl(23, sub(e, t)), shl(t, m))
                    break
                }
                // Its leading bit is bit 48 + k; by m >> 49 = 0, 1, 2, 3: k = 0, 1, 2, 2.
                let k := byte(shr(49, m), 0x0001020200000000000000000000000000000000000000000000000000000000)
                m := shl(sub(2, k), m) // leading bit 50, 24 bits to keep, 27 to round off
                r := add(shl(23, add(e, k)), shr(27, add(add(m, 0x3ffffff), and(shr(27, m), 1))))
                if gt(r, 0x7f800000) { r := 0x7f800000 }
                break
            }
            r := or(and(a, 0x80000000), r)
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
            let x := and(shr(23, a), 0xff)
            let y := and(shr(23, b), 0xff)
            for {} 1 {} {
                if iszero(and(lt(sub(x, 1), 254), lt(sub(y, 1), 254))) {
                    let m := and(a, 0x7fffffff)
                    let n := and(b, 0x7fffffff)
                    r := and(xor(a, b), 0x80000000)
                    if or(eq(x, 0xff), eq(y, 0xff)) {
                        // NaN, or zero times infinity; otherwise infinity.
                        r := or(r, 0x7f800000)
                        if or(or(gt(m, 0x7f800000), gt(n, 0x7f800000)), or(iszero(m), iszero(n))) {
                            r := 0x7fc00000
                        }
                        break
                    }
                    // One field or both are zero: m is made one such operand, n and y the other's. Of two,
                    // the product is far below the least number, as zero's is.
                    if x {
                        m := n
                        n := a
                        y := x
                    }
                    if iszero(mul(m, y)) { break }
                    // A subnormal is made normal, see `add`, by s places; its field is 1 - s. What then
                    // follows is what stands below, with no overflow: here on its own it costs less.
                    let s := mul(5, add(add(lt(m, 0x40000), lt(m, 0x2000)), add(lt(m, 0x100), lt(m, 8))))
                    s := add(
                        s,
                        byte(shr(18, shl(s, m)), 0x0005040403030303020202020202020201010101010101010101010101010101)
                    )
                    let p := mul(shl(s, m), or(and(n, 0x7fffff), 0x800000))
                    let c := shr(47, p)
                    let e := sub(add(y, c), add(s, 127))
                    if slt(e, 0) {
                        e := sub(add(23, c), e)
                        r := or(r, shr(e, add(add(p, sub(shl(sub(e, 1), 1), 1)), and(shr(e, p), 1))))
                        break
                    }
                    p := shl(sub(1, c), p)
                    r := add(or(shl(23, e), r), shr(24, add(add(p, 0x7fffff), and(shr(24, p), 1))))
                    break
                }
                // 2^46 <= p < 2^48
                let p := mul(or(and(a, 0x7fffff), 0x800000), or(and(b, 0x7fffff), 0x800000))
                let c := shr(47, p)
                let e := sub(add(add(x, y), c), 128) // the result's exponent field less one
                // (Below zero, a number wraps and is not less.)
                if lt(e, 254) {
                    // The leading bit is made bit 47: 24 to keep, 24 to round off.
                    p := shl(sub(1, c), p)
                    r := add(
                        or(shl(23, e), and(xor(a, b), 0x80000000)),
                        shr(24, add(add(p, 0x7fffff), and(shr(24, p), 1)))
                    )
                    break
                }
                r := and(xor(a, b), 0x80000000)
                if slt(e, 0) {
                    // Subnormal: e fewer to keep. From 49 to round off nothing is left.
                    e := sub(add(23, c), e)
                    r := or(r, shr(e, add(add(p, sub(shl(sub(e, 1), 1), 1)), and(shr(e, p), 1))))
                    break
                }
                r := or(r, 0x7f800000)
                break
            }
        }
    }

    /// @notice a / b; 0 / 0 and inf / inf are NaN, a finite non-zero over zero is an infinity.
    // The product with the quotient tells if it is exact; Yul has the amount first.
    // slither-disable-next-line divide-before-multiply,incorrect-shift
    function div(uint32 a, uint32 b) internal pure returns (uint32 r) {
        assembly ("memory-safe") {
            let x := and(shr(23, a), 0xff)
            let y := and(shr(23, b), 0xff)
            let n := and(a, 0x7fffff)
            let m := and(b, 0x7fffff)
            r := and(xor(a, b), 0x80000000)
            for {} 1 {} {
                if iszero(and(lt(sub(x, 1), 254), lt(sub(y, 1), 254))) {
                    if or(eq(x, 0xff), eq(y, 0xff)) {
                        // NaN, or infinity over infinity; otherwise infinity or zero.
                        x := and(a, 0x7fffffff)
                        y := and(b, 0x7fffffff)
                        if eq(x, 0x7f800000) { r := or(r, x) }
                        if or(or(gt(x, 0x7f800000), gt(y, 0x7f800000)), eq(x, y)) { r := 0x7fc00000 }
                        break
                    }
                    // Subnormals are made normal, see `add`; their fields go below 1.
                    if iszero(y) {
                        if iszero(m) {
                            r := or(r, 0x7f800000)
                            if iszero(or(n, x)) { r := 0x7fc00000 }
                            break
                        }
                        let s := mul(5, add(add(lt(m, 0x40000), lt(m, 0x2000)), add(lt(m, 0x100), lt(m, 8))))
                        s := add(
                            s,
                            byte(shr(18, shl(s, m)), 0x0005040403030303020202020202020201010101010101010101010101010101)
                        )
                        m := shl(s, m)
                        y := sub(1, s)
                    }
                    if iszero(x) {
                        if iszero(n) { break }
                        let s := mul(5, add(add(lt(n, 0x40000), lt(n, 0x2000)), add(lt(n, 0x100), lt(n, 8))))
                        s := add(
                            s,
                            byte(shr(18, shl(s, n)), 0x0005040403030303020202020202020201010101010101010101010101010101)
                        )
                        n := shl(s, n)
                        x := sub(1, s)
                    }
                }
                n := shl(26, or(n, 0x800000))
                m := or(m, 0x800000)
                // 2^25 < q < 2^27; its last bit, two below any kept one, also says if n / m is inexact. A
                // quotient of significands is no tie: with 25 bits and the last one set, it would take n
                // more than its 24.
                let q := div(n, m)
                q := or(q, lt(mul(q, m), n))
                let c := shr(26, q)
                q := shl(sub(1, c), q) // leading bit 26, 24 bits to keep, 3 to round off
                let e := add(sub(x, y), add(125, c)) // the result's exponent field less one
                if lt(e, 254) {
                    r := add(or(shl(23, e), r), shr(3, add(q, 4)))
                    break
                }
                switch slt(e, 0)
                case 0 { r := or(r, 0x7f800000) }
                default {
                    // Subnormal, as in mul.
                    e := sub(3, e)
                    r := or(r, shr(e, add(add(q, sub(shl(sub(e, 1), 1), 1)), and(shr(e, q), 1))))
                }
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
                    // Normalise a subnormal; e goes below zero.
                    m := a
                    let l := shl(4, lt(m, 0x100))
                    l := or(l, shl(3, lt(shl(l, m), 0x10000)))
                    l := or(l, shl(2, lt(shl(l, m), 0x100000)))
                    l := or(l, shl(1, lt(shl(l, m), 0x400000)))
                    l := or(l, lt(shl(l, m), 0x800000))
                    m := shl(l, m)
                    e := sub(1, l)
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
