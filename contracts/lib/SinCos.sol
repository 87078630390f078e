// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Float32} from "./Float32.sol";

/// @title sin and cos of binary32: an exact integer reduction, then a fixed sequence of basic
/// operations
/// @notice Bit for bit the functions of `worker/exact/trigonometric.py`, where their errors stand and
/// where the formulas come from. Total: nothing here reverts.
/// @dev The constants are those of `worker/exact/coefficients.py`; a test compares the two by name.
library SinCos {
    using Float32 for uint32;

    uint32 internal constant QUARTER_PI = 0x3f490fda;
    uint32 internal constant SIN_P_0 = 0xb94c9a20;
    uint32 internal constant SIN_P_1 = 0x3c08837d;
    uint32 internal constant SIN_P_2 = 0xbe2aaaa2;
    uint32 internal constant COS_P_0 = 0x37cd012d;
    uint32 internal constant COS_P_1 = 0xbab60646;
    uint32 internal constant COS_P_2 = 0x3d2aaaa5;
    uint32 internal constant HALF = 0x3f000000;

    /// @dev Integers: 2 / pi * 2^198, cut off, and pi / 2 * 2^31, rounded.
    uint256 internal constant TWO_OVER_PI = 0x28be60db9391054a7f09d5f47d4d377036d8a5664f10e4107f;
    int256 internal constant HALF_PI = 0xc90fdaa2;

    /// @notice sin x; NaN of an infinity.
    function sin(uint32 x) internal pure returns (uint32) {
        if (!x.isFinite()) return Float32.NAN;
        return _sine(x & 0x7fffffff, 0) ^ (x & 0x80000000);
    }

    /// @notice cos x; NaN of an infinity.
    function cos(uint32 x) internal pure returns (uint32) {
        if (!x.isFinite()) return Float32.NAN;
        return _sine(x & 0x7fffffff, 1);
    }

    /// @dev sin(a + quarters * pi / 2) of a finite a >= +0.
    function _sine(uint32 a, uint256 quarters) private pure returns (uint32 y) {
        uint32 r = a;
        uint32 low = 0;
        if (a > QUARTER_PI) {
            unchecked {
                // a is m * 2^(field - 150), the field in [126, 254]; m * window < 2^120.
                uint256 m = (a & 0x7fffff) | 0x800000;
                uint256 window = (TWO_OVER_PI >> (254 - (a >> 23))) & ((1 << 96) - 1);
                uint256 turned = ((m * window) >> 32) + (1 << 61); // quarter turns, units of 2^-62
                quarters += turned >> 62; // right modulo 4
                int256 v = ((int256(turned & ((1 << 62) - 1)) - (1 << 61)) * HALF_PI) >> 31;
                // At least 2^32 in magnitude (no f32 is nearer to a multiple of pi / 2), so r has an
                // exponent field of 97 or more; what rounding it cut off is normal too, or zero.
                r = Float32.fromScaled(v, -62);
                int256 whole = int256(uint256((r & 0x7fffff) | 0x800000) << (((r >> 23) & 0xff) - 88));
                low = Float32.fromScaled(v - (r >> 31 == 0 ? whole : -whole), -62);
            }
        }
        uint32 z = r.mul(r);
        if (quarters & 1 == 0) {
            uint32 p = SIN_P_0.mul(z).add(SIN_P_1);
            p = p.mul(z).add(SIN_P_2);
            y = p.mul(z).mul(r).add(low).add(r);
        } else {
            uint32 p = COS_P_0.mul(z).add(COS_P_1);
            p = p.mul(z).add(COS_P_2);
            uint32 tail = p.mul(z).mul(z).sub(r.mul(low));
            y = Float32.ONE.sub(z.mul(HALF).sub(tail));
        }
        return quarters & 2 == 0 ? y : y ^ 0x80000000;
    }
}
