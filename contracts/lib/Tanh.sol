// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ExpLog} from "./ExpLog.sol";
import {Float32} from "./Float32.sol";

/// @title tanh of binary32, as a fixed sequence of its basic operations
/// @notice Bit for bit `tanh` of `worker/exact/transcendental.py`, where its error and its formula
/// stand. Total: nothing here reverts.
/// @dev The constants are those of `worker/exact/coefficients.py`; a test compares the two by name.
library Tanh {
    using Float32 for uint32;

    uint32 internal constant TANH_SMALL = 0x3f100000;
    uint32 internal constant TANH_P_0 = 0xbbca8007;
    uint32 internal constant TANH_P_1 = 0x3cac17d7;
    uint32 internal constant TANH_P_2 = 0xbd5c84a3;
    uint32 internal constant TANH_P_3 = 0x3e088639;
    uint32 internal constant TANH_P_4 = 0xbeaaaaa4;

    /// @notice tanh x: a + a z p(z) with z = a^2, a = |x|, or 1 - 2 / (e^2a + 1) for larger a.
    function tanh(uint32 x) internal pure returns (uint32) {
        if (x.isNan()) return Float32.NAN;
        uint32 a = x & 0x7fffffff;
        uint32 y;
        if (a < TANH_SMALL) {
            uint32 z = a.mul(a);
            uint32 p = TANH_P_0.mul(z).add(TANH_P_1);
            p = p.mul(z).add(TANH_P_2);
            p = p.mul(z).add(TANH_P_3);
            p = p.mul(z).add(TANH_P_4);
            y = p.mul(z).mul(a).add(a);
        } else {
            uint32 e = ExpLog.exp(a.add(a)).add(Float32.ONE);
            y = Float32.ONE.sub(ExpLog.TWO.div(e));
        }
        return y | (x & 0x80000000);
    }
}
