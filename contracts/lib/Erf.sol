// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ExpLog} from "./ExpLog.sol";
import {Float32} from "./Float32.sol";

/// @title erf of binary32, as a fixed sequence of its basic operations
/// @notice Bit for bit `erf` of `worker/exact/transcendental.py`, where its error and its formula
/// stand. Total: nothing here reverts.
/// @dev The constants are those of `worker/exact/coefficients.py`; a test compares the two by name.
library Erf {
    using Float32 for uint32;

    uint32 internal constant ERF_END = 0x40800000;
    uint32 internal constant ERF_P_0 = 0x38a4b517;
    uint32 internal constant ERF_P_1 = 0xba51fb7f;
    uint32 internal constant ERF_P_2 = 0x3baa02d9;
    uint32 internal constant ERF_P_3 = 0xbcdbfc86;
    uint32 internal constant ERF_P_4 = 0x3de7167c;
    uint32 internal constant ERF_P_5 = 0xbec0939f;
    uint32 internal constant ERF_P_6 = 0x3e0375d4;
    uint32 internal constant ERF_Q_0 = 0xb76d1f9b;
    uint32 internal constant ERF_Q_1 = 0x39b8b8fc;
    uint32 internal constant ERF_Q_2 = 0xbb76b865;
    uint32 internal constant ERF_Q_3 = 0x3cc4d11d;
    uint32 internal constant ERF_Q_4 = 0xbdda3668;
    uint32 internal constant ERF_Q_5 = 0xbf228ca1;
    uint32 internal constant ERF_Q_6 = 0xbf907926;

    /// @notice erf x: a + a p(a^2) for a = |x| below 1, else 1 - e^(a q(a)).
    function erf(uint32 x) internal pure returns (uint32) {
        if (x.isNan()) return Float32.NAN;
        uint32 a = x & 0x7fffffff;
        uint32 sign = x & 0x80000000;
        if (a < Float32.ONE) {
            uint32 z = a.mul(a);
            uint32 p = ERF_P_0.mul(z).add(ERF_P_1);
            p = p.mul(z).add(ERF_P_2);
            p = p.mul(z).add(ERF_P_3);
            p = p.mul(z).add(ERF_P_4);
            p = p.mul(z).add(ERF_P_5);
            p = p.mul(z).add(ERF_P_6);
            return p.mul(a).add(a) | sign;
        }
        if (a > ERF_END) a = ERF_END; // bit patterns of one sign sort by magnitude
        uint32 q = ERF_Q_0.mul(a).add(ERF_Q_1);
        q = q.mul(a).add(ERF_Q_2);
        q = q.mul(a).add(ERF_Q_3);
        q = q.mul(a).add(ERF_Q_4);
        q = q.mul(a).add(ERF_Q_5);
        q = q.mul(a).add(ERF_Q_6);
        return Float32.ONE.sub(ExpLog.exp(q.mul(a))) | sign;
    }
}
