// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Erf} from "../lib/Erf.sol";
import {ExpLog} from "../lib/ExpLog.sol";
import {Float32} from "../lib/Float32.sol";
import {Philox} from "../lib/Philox.sol";
import {Quantised} from "../lib/Quantised.sol";
import {SinCos} from "../lib/SinCos.sol";
import {Tanh} from "../lib/Tanh.sol";

/// @title The arithmetic libraries, callable from tests
/// @notice Takes packed arrays, so that a million operations are a few calls. Never deployed.
contract ArithmeticHarness {
    /// @notice There is no function with this number.
    error UnknownFunction(uint8 code);

    /// @notice 0 sqrt, 1 neg, 2 abs, 3 relu, 4 exp, 5 log, 6 tanh, 7 erf, 8 sin, 9 cos of each
    /// big-endian f32 of `data`.
    function unary(uint8 code, bytes calldata data) external pure returns (bytes memory out) {
        function(uint32) pure returns (uint32) f = _unary(code);
        uint256 count = data.length / 4;
        out = _allocate(4 * count);
        for (uint256 i = 0; i < count; ++i) {
            uint32 a;
            assembly ("memory-safe") {
                a := shr(224, calldataload(add(data.offset, shl(2, i))))
            }
            _store(out, i, f(a));
        }
    }

    /// @notice 0 add, 1 sub, 2 mul, 3 div, 4 max, 5 min, 6 eq, 7 ne, 8 lt, 9 le, 10 gt, 11 ge of
    /// each pair of big-endian f32 of `data`; comparisons give 0 or 1.
    function binary(uint8 code, bytes calldata data) external pure returns (bytes memory out) {
        function(uint32, uint32) pure returns (uint32) f = _binary(code);
        uint256 count = data.length / 8;
        out = _allocate(4 * count);
        for (uint256 i = 0; i < count; ++i) {
            uint32 a;
            uint32 b;
            assembly ("memory-safe") {
                let pair := shr(192, calldataload(add(data.offset, shl(3, i))))
                a := shr(32, pair)
                b := and(pair, 0xffffffff)
            }
            _store(out, i, f(a, b));
        }
    }

    function philox(uint256[4] calldata counter, uint256 keyLow, uint256 keyHigh)
        external
        pure
        returns (uint256[4] memory)
    {
        return Philox.words(counter, keyLow, keyHigh);
    }

    function uniform(uint64 seed, uint64 step, uint32 node, uint64 element) external pure returns (uint32) {
        return Philox.uniform(seed, step, node, element);
    }

    /// @notice The gas of one function, without the call and the reading of its operands.
    function gasOf(bool two, uint8 code, uint32 a, uint32 b) external view returns (uint256) {
        function(uint32) pure returns (uint32) none = _same;
        function(uint32, uint32) pure returns (uint32) neither = _first;
        function(uint32) pure returns (uint32) f = two ? none : _unary(code);
        function(uint32, uint32) pure returns (uint32) g = two ? _binary(code) : neither;
        uint256 start = gasleft();
        uint32 r = two ? g(a, b) : f(a);
        uint256 used = start - gasleft();
        start = gasleft();
        r |= two ? neither(a, b) : none(a);
        used -= start - gasleft();
        return r == 0 ? used : used; // keeps the calls alive
    }

    /// @notice The gas of one of 0 fromScaled(x, y), 1 quantise(x, y, 14), 2 dotFinish(x, y, y, 14).
    function gasOfRow(uint8 code, int256 x, int256 y) external view returns (uint256) {
        uint256 start = gasleft();
        uint256 r;
        if (code == 0) r = Float32.fromScaled(x, y);
        else if (code == 1) r = uint32(Quantised.quantise(uint32(uint256(x)), int32(y), 14));
        else r = Quantised.dotFinish(x, int32(y), int32(y), 14);
        return start - gasleft() + (r & 0);
    }

    /// @notice a as i32, as i64, whether it is finite, whether NaN, and its canonical form.
    function convert(uint32 a) external pure returns (int32, int64, bool, bool, uint32) {
        return (Float32.toInt32(a), Float32.toInt64(a), Float32.isFinite(a), Float32.isNan(a), Float32.canonical(a));
    }

    function fromInt(int256 v) external pure returns (uint32) {
        return Float32.fromInt(v);
    }

    function fromScaled(int256 v, int256 e) external pure returns (uint32) {
        return Float32.fromScaled(v, e);
    }

    /// @notice The exponent of a row of big-endian f32.
    function exponent(bytes calldata row) external pure returns (int32) {
        uint32 greatest = 0;
        for (uint256 i = 0; i < row.length; i += 4) {
            greatest = Quantised.maxAbs(greatest, uint32(bytes4(row[i:i + 4])));
        }
        return Quantised.exponentOf(greatest);
    }

    function quantise(uint32 x, int32 e, uint256 bits) external pure returns (int32) {
        return Quantised.quantise(x, e, bits);
    }

    function dotFinish(int256 total, int32 ea, int32 eb, uint256 bits) external pure returns (uint32) {
        return Quantised.dotFinish(total, ea, eb, bits);
    }

    function sumFinish(int256 total, int32 e) external pure returns (uint32) {
        return Quantised.sumFinish(total, e);
    }

    function _unary(uint8 code) private pure returns (function(uint32) pure returns (uint32)) {
        if (code == 0) return Float32.sqrt;
        if (code == 1) return Float32.neg;
        if (code == 2) return Float32.abs;
        if (code == 3) return Float32.relu;
        if (code == 4) return ExpLog.exp;
        if (code == 5) return ExpLog.log;
        if (code == 6) return Tanh.tanh;
        if (code == 7) return Erf.erf;
        if (code == 8) return SinCos.sin;
        if (code == 9) return SinCos.cos;
        revert UnknownFunction(code);
    }

    function _binary(uint8 code) private pure returns (function(uint32, uint32) pure returns (uint32)) {
        if (code == 0) return Float32.add;
        if (code == 1) return Float32.sub;
        if (code == 2) return Float32.mul;
        if (code == 3) return Float32.div;
        if (code == 4) return Float32.max;
        if (code == 5) return Float32.min;
        if (code == 6) return _eq;
        if (code == 7) return _ne;
        if (code == 8) return _lt;
        if (code == 9) return _le;
        if (code == 10) return _gt;
        if (code == 11) return _ge;
        revert UnknownFunction(code);
    }

    function _same(uint32 a) private pure returns (uint32) {
        return a;
    }

    function _first(uint32 a, uint32) private pure returns (uint32) {
        return a;
    }

    function _eq(uint32 a, uint32 b) private pure returns (uint32) {
        return Float32.eq(a, b) ? 1 : 0;
    }

    function _ne(uint32 a, uint32 b) private pure returns (uint32) {
        return Float32.ne(a, b) ? 1 : 0;
    }

    function _lt(uint32 a, uint32 b) private pure returns (uint32) {
        return Float32.lt(a, b) ? 1 : 0;
    }

    function _le(uint32 a, uint32 b) private pure returns (uint32) {
        return Float32.le(a, b) ? 1 : 0;
    }

    function _gt(uint32 a, uint32 b) private pure returns (uint32) {
        return Float32.gt(a, b) ? 1 : 0;
    }

    function _ge(uint32 a, uint32 b) private pure returns (uint32) {
        return Float32.ge(a, b) ? 1 : 0;
    }

    /// @dev Room for `length` bytes and for the last `_store`, which writes a whole word.
    function _allocate(uint256 length) private pure returns (bytes memory out) {
        out = new bytes(length + 28);
        assembly ("memory-safe") {
            mstore(out, length)
        }
    }

    function _store(bytes memory out, uint256 i, uint32 r) private pure {
        assembly ("memory-safe") {
            mstore(add(add(out, 32), shl(2, i)), shl(224, r))
        }
    }
}
