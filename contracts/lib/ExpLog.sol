// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Float32} from "./Float32.sol";

/// @title exp and log of binary32, as fixed sequences of its basic operations
/// @notice Bit for bit the functions of `worker/exact/transcendental.py`, where their errors stand
/// and where the formulas come from. Total: nothing here reverts.
/// @dev The constants are those of `worker/exact/coefficients.py`; a test compares the two by name.
library ExpLog {
    using Float32 for uint32;

    uint32 internal constant ONE = 0x3f800000;
    uint32 internal constant TWO = 0x40000000;
    uint32 internal constant TWO_23 = 0x4b000000;
    uint32 internal constant SQRT_HALF = 0x3f3504f3;
    uint32 internal constant LOG2_E = 0x3fb8aa3b;
    uint32 internal constant LN2_HIGH = 0x3f317200;
    uint32 internal constant LN2_LOW = 0x35bfbe8e;
    uint32 internal constant ROUND_MAGIC = 0x4b400000;
    uint32 internal constant EXP_LOW = 0xc2d00000;
    uint32 internal constant EXP_HIGH = 0x42b20000;
    uint32 internal constant EXP_Q_0 = 0x3ab7f7b1;
    uint32 internal constant EXP_Q_1 = 0x3c092bed;
    uint32 internal constant EXP_Q_2 = 0x3d2aa980;
    uint32 internal constant EXP_Q_3 = 0x3e2aaa33;
    uint32 internal constant EXP_Q_4 = 0x3f000000;
    uint32 internal constant LOG_P_0 = 0x3e98f179;
    uint32 internal constant LOG_P_1 = 0x3eccaf5d;
    uint32 internal constant LOG_P_2 = 0x3f2aaabd;

    /// @notice e^x: x = n ln 2 + r, then (1 + (high + (r^2 q(r) - low))) * 2^n with r = high - low.
    /// @dev `high = x - n * LN2_HIGH` and `n` itself are exact in f32, so integers compute them for a
    /// quarter of the gas. A difference is taken by adding -n's products: the same bits.
    function exp(uint32 x) internal pure returns (uint32) {
        // Below 2^-26 in magnitude: 1 + x rounds to 1, and the other terms are smaller still.
        if (x & 0x7fffffff < 0x32800000) return ONE;
        // Clamped to [EXP_LOW, EXP_HIGH], where the sequence gives zero and infinity: bit patterns of one
        // sign sort by magnitude, NaNs last.
        if (x < 0x80000000) {
            if (x > EXP_HIGH) return x > Float32.INFINITY ? Float32.NAN : Float32.INFINITY;
        } else if (x > EXP_LOW) {
            return x > 0xff800000 ? Float32.NAN : 0;
        }
        int256 k;
        uint32 high = x;
        uint32 minusLow = 0x80000000; // -(0 * LN2_LOW)
        unchecked {
            // `shifted` is 1.5 * 2^23 plus the integer n, within [-150, 128], in its low bits.
            uint32 shifted = x.mul(LOG2_E).add(ROUND_MAGIC);
            k = int256(uint256(shifted)) - int256(uint256(ROUND_MAGIC));
            if (k != 0) {
                // In units of 2^-25: |x| > 0.34 has an exponent field from 125 to 133, LN2_HIGH is
                // 45426 * 2^-16, and |high| < 0.36. x's last place is no smaller than the unit, so
                // `high` is a whole number of units below 2^24: exact.
                int256 v = int256(((uint256(x) & 0x7fffff) | 0x800000) << (((x >> 23) & 0xff) - 125));
                high = _exact((x >> 31 == 0 ? v : -v) - ((k * 45426) << 9), 101);
                minusLow = _exact(-k, 126).mul(LN2_LOW);
            }
        }
        uint32 r = high.add(minusLow);
        uint32 q = EXP_Q_0.mul(r).add(EXP_Q_1);
        q = q.mul(r).add(EXP_Q_2);
        q = q.mul(r).add(EXP_Q_3);
        q = q.mul(r).add(EXP_Q_4);
        uint32 y = high.add(r.mul(r).mul(q).add(minusLow)).add(ONE);
        unchecked {
            // y is in (0.7, 1.5), hence normal.
            k += int256(uint256(y >> 23));
            if (k > 0) return k < 255 ? (y & 0x7fffff) | uint32(uint256(k) << 23) : Float32.INFINITY;
            // A subnormal result: 24 bits, of which 1 - k are rounded off; 24 and more leave nothing
            // or the last place, by whether more than a half is gone.
            uint256 m = (y & 0x7fffff) | 0x800000;
            uint256 n = uint256(1 - k);
            return uint32((m + (1 << (n - 1)) - 1 + ((m >> n) & 1)) >> n);
        }
    }

    /// @notice ln x: x = 2^k (1 + f), s = f / (2 + f), h = f^2 / 2, z = s^2, then
    /// k ln 2 + f - (h - s (h + z p(z))), the small parts of k ln 2 added to the small terms.
    /// @dev f is exact, so integers compute it; it is no smaller than 2^-24, so half of it takes one
    /// off its exponent field.
    // An operation of binary32 each, in the order of the definition.
    // slither-disable-next-line divide-before-multiply
    function log(uint32 x) internal pure returns (uint32) {
        // Zeros, negative numbers, infinity, NaN.
        if (x >= Float32.INFINITY || x == 0) {
            if (x & 0x7fffffff == 0) return 0xff800000;
            return x == Float32.INFINITY ? x : Float32.NAN;
        }
        int256 k = 0;
        if (x < 0x00800000) {
            x = x.mul(TWO_23);
            k = -23;
        }
        uint32 f;
        uint32 halfSquare = 0;
        unchecked {
            // Bit patterns as counts of last places: x is below 2^31, so the difference is signed.
            int256 offset = int256(uint256(x)) - int256(uint256(SQRT_HALF));
            k += offset >> 23;
            uint256 m = (uint256(offset) & 0x7fffff) + SQRT_HALF; // 1 + f
            // In units of 2^-24: from 1 on, a significand counts two.
            f = _exact(m < ONE ? int256((m & 0x7fffff) | 0x800000) - 0x1000000 : int256(m - ONE) << 1, 102);
            if (f == 0) return _kLn2(k);
            halfSquare = (f - 0x00800000).mul(f);
        }
        uint32 s = f.div(f.add(TWO));
        uint32 z = s.mul(s);
        uint32 p = LOG_P_0.mul(z).add(LOG_P_1);
        p = p.mul(z).add(LOG_P_2);
        uint32 tail = p.mul(z).add(halfSquare).mul(s);
        if (k == 0) return f.sub(halfSquare.sub(tail));
        uint32 n = _exact(k, 126);
        tail = tail.add(n.mul(LN2_LOW));
        return n.mul(LN2_HIGH).add(f.sub(halfSquare.sub(tail)));
    }

    /// @dev log of 2^k: every term with f is a zero.
    function _kLn2(int256 k) private pure returns (uint32) {
        uint32 n = _exact(k, 126);
        return n.mul(LN2_HIGH).add(n.mul(LN2_LOW));
    }

    /// @dev The f32 of v * 2^(scale-126), |v| < 2^24, which is exact and normal or +0.
    function _exact(int256 v, uint256 scale) private pure returns (uint32 r) {
        assembly ("memory-safe") {
            if v {
                let minus := slt(v, 0)
                let m := add(xor(v, sub(0, minus)), minus)
                // l = 23 - floor(log2 m): up by fives, then by the five highest of the bits.
                let l := mul(5, add(add(lt(m, 0x80000), lt(m, 0x4000)), add(lt(m, 0x200), lt(m, 0x10))))
                l := add(
                    l,
                    byte(shr(19, shl(l, m)), 0x0004030302020202010101010101010100000000000000000000000000000000)
                )
                // The hidden bit adds one to the exponent field.
                r := or(shl(31, minus), add(shl(23, sub(add(scale, 23), l)), shl(l, m)))
            }
        }
    }
}
