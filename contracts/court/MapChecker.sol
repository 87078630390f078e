// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Context, Input, Node, Opening} from "../interfaces/Types.sol";
import {Elements} from "../lib/Elements.sol";
import {Erf} from "../lib/Erf.sol";
import {ExpLog} from "../lib/ExpLog.sol";
import {Float32} from "../lib/Float32.sol";
import {Quantised} from "../lib/Quantised.sol";
import {Records} from "../lib/Records.sol";
import {SinCos} from "../lib/SinCos.sol";
import {Tanh} from "../lib/Tanh.sol";
import {Checker} from "./Checker.sol";
import {Codes} from "./Codes.sol";

/// MAP: a scalar function of one to three operands, each read through an affine index map.
contract MapChecker is Checker {
    function _check(uint32 index, Node calldata node) internal pure override returns (uint64 count) {
        uint8 fn = node.fn;
        uint256 arity = _arity(fn);
        if (arity == 0) revert UnknownFunction(node.kind, fn);
        count = Records.checkNode(index, node, Codes.MAP, arity);
        (Input[] calldata inputs, uint256 rank) = (node.inputs, node.shape.length);
        for (uint256 i = 0; i < arity; ++i) {
            Records.checkMap(inputs[i], rank);
        }
        Records.checkAttributes(node, fn == Codes.QUANTISE ? 1 : 0);
        _checkTypes(node, fn, arity);
    }

    /// Number of operands; 0 for a function that does not exist.
    function _arity(uint8 fn) private pure returns (uint256) {
        if (fn == Codes.WHERE) return 3;
        if (fn == Codes.QUANTISE) return 2;
        if (fn == Codes.CONVERT || fn == Codes.NOT) return 1;
        if (fn <= Codes.COS) {
            bool two = (fn >= Codes.ADD && fn <= Codes.DIV) || fn == Codes.MAXIMUM || fn == Codes.MINIMUM;
            return two ? 2 : 1;
        }
        if (fn >= Codes.EQ && fn <= Codes.GE) return 2;
        return fn == Codes.AND || fn == Codes.OR || fn == Codes.XOR ? 2 : 0;
    }

    function _checkTypes(Node calldata node, uint8 fn, uint256 arity) private pure {
        uint8 output = node.dtype;
        Input[] calldata inputs = node.inputs;
        uint8 first = inputs[0].dtype;
        if (fn == Codes.CONVERT) return;
        if (fn == Codes.QUANTISE) {
            if (first != Codes.F32 || node.inputs[1].dtype != Codes.I32) Records.malformed("operand type");
            if (output != Codes.I32) Records.malformed("output type");
            uint64 bits = node.attributes[0];
            if (bits != 31 && (bits < 2 || bits > Records.MOST_DOT_BITS)) Records.malformed("bits");
            return;
        }
        if (fn == Codes.WHERE) {
            if (first != Codes.BOOL) Records.malformed("operand type");
            first = inputs[1].dtype;
            if (inputs[2].dtype != first) Records.malformed("operand type");
        } else if (arity == 2 && inputs[1].dtype != first) {
            Records.malformed("operand type");
        }
        bool compares = fn >= Codes.EQ && fn <= Codes.GE;
        if (output != (compares ? Codes.BOOL : first)) Records.malformed("output type");

        if (fn == Codes.COPY || fn == Codes.WHERE) return;
        bool logical = fn >= Codes.AND && fn <= Codes.XOR;
        if (logical != (first == Codes.BOOL)) Records.malformed("operand type");
        if (first != Codes.F32 && !_takesIntegers(fn)) Records.malformed("operand type");
    }

    /// Of the functions that are left: those that also work on i32, i64 or bool.
    function _takesIntegers(uint8 fn) private pure returns (bool) {
        if (fn >= Codes.EQ) return true; // comparisons, logic
        if (fn == Codes.ADD || fn == Codes.SUB || fn == Codes.MUL || fn == Codes.NEG) return true;
        return fn == Codes.MAXIMUM || fn == Codes.MINIMUM;
    }

    function _recompute(
        Context calldata context,
        uint32,
        Node calldata node,
        uint64 element,
        Opening[] calldata openings
    ) internal view override returns (uint64) {
        Input[] calldata inputs = node.inputs;
        _expectOpenings(openings, inputs.length);
        int256[] memory place = Records.coordinates(element, node.shape);
        uint64[3] memory x;
        for (uint256 i = 0; i < inputs.length; ++i) {
            Input calldata input = inputs[i];
            (bool inside, uint64 flat) = Records.locate(input, place);
            if (inside) {
                x[i] = _readOne(context, input, openings[i], flat);
            } else {
                Elements.none(openings[i]);
                x[i] = input.fill;
            }
        }
        return _apply(node, x);
    }

    function _apply(Node calldata node, uint64[3] memory x) private pure returns (uint64) {
        uint8 fn = node.fn;
        uint8 dtype = node.inputs[0].dtype;
        if (fn == Codes.COPY) return x[0];
        if (fn == Codes.WHERE) return x[0] != 0 ? x[1] : x[2];
        if (fn == Codes.AND) return x[0] & x[1];
        if (fn == Codes.OR) return x[0] | x[1];
        if (fn == Codes.XOR) return x[0] ^ x[1];
        // The other bool: an exclusive or is meant.
        // slither-disable-next-line incorrect-exp
        if (fn == Codes.NOT) return x[0] ^ 1;
        if (fn == Codes.CONVERT) return _convert(x[0], dtype, node.dtype);
        if (fn == Codes.QUANTISE) {
            int32 q = Quantised.quantise(uint32(x[0]), int32(uint32(x[1])), node.attributes[0]);
            return uint32(q);
        }
        if (dtype == Codes.F32) {
            if (fn >= Codes.EQ) return _compareFloats(fn, uint32(x[0]), uint32(x[1])) ? 1 : 0;
            return _float(fn, uint32(x[0]), uint32(x[1]));
        }
        if (fn >= Codes.EQ) return _compareIntegers(fn, _signed(x[0], dtype), _signed(x[1], dtype)) ? 1 : 0;
        return _wrap(_integer(fn, _signed(x[0], dtype), _signed(x[1], dtype)), dtype);
    }

    function _float(uint8 fn, uint32 a, uint32 b) private pure returns (uint32) {
        if (fn == Codes.ADD) return Float32.add(a, b);
        if (fn == Codes.SUB) return Float32.sub(a, b);
        if (fn == Codes.MUL) return Float32.mul(a, b);
        if (fn == Codes.DIV) return Float32.div(a, b);
        if (fn == Codes.SQRT) return Float32.sqrt(a);
        if (fn == Codes.NEG) return Float32.neg(a);
        if (fn == Codes.ABS) return Float32.abs(a);
        if (fn == Codes.MAXIMUM) return Float32.max(a, b);
        if (fn == Codes.MINIMUM) return Float32.min(a, b);
        if (fn == Codes.RELU) return Float32.relu(a);
        if (fn == Codes.EXP) return ExpLog.exp(a);
        if (fn == Codes.LOG) return ExpLog.log(a);
        if (fn == Codes.TANH) return Tanh.tanh(a);
        if (fn == Codes.ERF) return Erf.erf(a);
        return fn == Codes.SIN ? SinCos.sin(a) : SinCos.cos(a);
    }

    function _compareFloats(uint8 fn, uint32 a, uint32 b) private pure returns (bool) {
        if (fn == Codes.EQ) return Float32.eq(a, b);
        if (fn == Codes.NE) return Float32.ne(a, b);
        if (fn == Codes.LT) return Float32.lt(a, b);
        if (fn == Codes.LE) return Float32.le(a, b);
        if (fn == Codes.GT) return Float32.gt(a, b);
        return Float32.ge(a, b);
    }

    /// Exact, of operands of at most 64 bits; the caller wraps.
    function _integer(uint8 fn, int256 a, int256 b) private pure returns (int256) {
        if (fn == Codes.ADD) return a + b;
        if (fn == Codes.SUB) return a - b;
        if (fn == Codes.MUL) return a * b;
        if (fn == Codes.NEG) return -a;
        if (fn == Codes.MAXIMUM) return a > b ? a : b;
        return a < b ? a : b; // MINIMUM: the others are for f32 only
    }

    function _compareIntegers(uint8 fn, int256 a, int256 b) private pure returns (bool) {
        if (fn == Codes.EQ) return a == b;
        if (fn == Codes.NE) return a != b;
        if (fn == Codes.LT) return a < b;
        if (fn == Codes.LE) return a <= b;
        if (fn == Codes.GT) return a > b;
        return a >= b;
    }

    function _convert(uint64 bits, uint8 from, uint8 to) private pure returns (uint64) {
        if (from == to) return bits;
        if (from == Codes.F32) {
            uint32 a = uint32(bits);
            if (to == Codes.I32) return uint32(Float32.toInt32(a));
            if (to == Codes.I64) return uint64(Float32.toInt64(a));
            return a & 0x7fffffff == 0 ? 0 : 1;
        }
        if (to == Codes.BOOL) return bits == 0 ? 0 : 1;
        int256 value = _signed(bits, from);
        return to == Codes.F32 ? Float32.fromInt(value) : _wrap(value, to);
    }

    /// The value of an i32 or i64; a bool is 0 or 1.
    function _signed(uint64 bits, uint8 dtype) private pure returns (int256) {
        return dtype == Codes.I32 ? int256(int32(uint32(bits))) : int256(int64(bits));
    }

    /// The low 32 or 64 bits.
    function _wrap(int256 value, uint8 dtype) private pure returns (uint64) {
        return dtype == Codes.I32 ? uint32(uint256(value)) : uint64(uint256(value));
    }
}
