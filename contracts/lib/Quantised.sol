// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Float32} from "./Float32.sol";

/// @title Rows as integers under one exponent
/// @notice The exponent of a row, its elements as integers, and the one rounding after an exact sum
/// (docs, "Exact arithmetic"). Twin of `exponent`, `quantise`, `dot_finish` and `sum_finish` in
/// `worker/exact/reference.py`.
library Quantised {
    /// @notice The exponent of a row that has an infinity or a NaN.
    int32 internal constant NONFINITE = type(int32).max;
    int32 internal constant MIN_EXPONENT = -96;
    int32 internal constant MAX_EXPONENT = 128;
    uint256 internal constant SUM_BITS = 31;

    /// @notice No row has this exponent.
    error MalformedExponent(int32 exponent);
    /// @notice A precision outside [2, 31].
    error MalformedBits(uint256 bits);

    /// @notice The accumulator of a row's greatest magnitude, after element x: start with 0.
    /// @dev Infinities and NaNs have the greatest magnitudes of all as bit patterns, so one maximum
    /// also finds them.
    function maxAbs(uint32 accumulator, uint32 x) internal pure returns (uint32) {
        x &= 0x7fffffff;
        return x > accumulator ? x : accumulator;
    }

    /// @notice clamp(E, -96, 128), E least with greatest < 2^E, for `greatest` from `maxAbs`.
    function exponentOf(uint32 greatest) internal pure returns (int32) {
        if (greatest >= Float32.INFINITY) return NONFINITE;
        unchecked {
            // A normal f32 with exponent field F lies in [2^(F-127), 2^(F-126)); -96 is far above
            // every subnormal, and 254 - 126 is the upper end of the clamp.
            int32 e = int32(greatest >> 23) - 126;
            return e < MIN_EXPONENT ? MIN_EXPONENT : e;
        }
    }

    /// @notice clamp(round(x * 2^(bits-1-e)), +-(2^(bits-1)-1)), ties to even; 0 if x or e is not
    /// finite.
    function quantise(uint32 x, int32 e, uint256 bits) internal pure returns (int32) {
        checkBits(bits);
        checkExponent(e);
        if (e == NONFINITE || !Float32.isFinite(x)) return 0;
        (uint256 m, int256 unit) = Float32._decode(x);
        unchecked {
            uint256 limit = (1 << (bits - 1)) - 1;
            int256 s = int256(e) + 1 - int256(bits) - unit; // in [-230, 277]
            if (s <= 0) {
                // m < 2^24, and from 2^31 on any shift exceeds the limit.
                m = s < -31 ? (m == 0 ? 0 : limit) : m << uint256(-s);
            } else if (s > 24) {
                m = 0; // below one half
            } else {
                uint256 n = uint256(s);
                m = (m + (1 << (n - 1)) - 1 + ((m >> n) & 1)) >> n;
            }
            if (m > limit) m = limit;
            return x >> 31 == 0 ? int32(int256(m)) : -int32(int256(m));
        }
    }

    /// @notice round_f32(total * 2^(ea+eb-2(bits-1))); NaN if either row is not finite.
    function dotFinish(int256 total, int32 ea, int32 eb, uint256 bits) internal pure returns (uint32) {
        checkBits(bits);
        checkExponent(ea);
        checkExponent(eb);
        if (ea == NONFINITE || eb == NONFINITE) return Float32.NAN;
        unchecked {
            // Exponents within +-128 and bits within 31: nothing here is near a limit.
            return Float32.fromScaled(total, int256(ea) + int256(eb) - 2 * (int256(bits) - 1));
        }
    }

    /// @notice round_f32(total * 2^(e-30)); NaN if the row is not finite.
    function sumFinish(int256 total, int32 e) internal pure returns (uint32) {
        checkExponent(e);
        if (e == NONFINITE) return Float32.NAN;
        unchecked {
            return Float32.fromScaled(total, int256(e) - int256(SUM_BITS - 1));
        }
    }

    /// @notice Reverts unless e is an exponent that a row can have.
    function checkExponent(int32 e) internal pure {
        if (e != NONFINITE && (e < MIN_EXPONENT || e > MAX_EXPONENT)) revert MalformedExponent(e);
    }

    /// @notice Reverts unless `bits` is a precision that a row can have.
    function checkBits(uint256 bits) internal pure {
        if (bits < 2 || bits > 31) revert MalformedBits(bits);
    }
}
