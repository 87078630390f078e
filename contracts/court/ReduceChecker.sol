// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Context, Node, Opening} from "../interfaces/Types.sol";
import {Elements} from "../lib/Elements.sol";
import {Quantised} from "../lib/Quantised.sol";
import {Records} from "../lib/Records.sol";
import {Checker} from "./Checker.sol";
import {Codes} from "./Codes.sol";

/// REDUCE: one row of [rows, length] to one element.
contract ReduceChecker is Checker {
    using Elements for Elements.Row;

    function _check(uint32 index, Node calldata node) internal pure override returns (uint64 count) {
        uint8 fn = node.fn;
        if (fn > Codes.EXPONENT) revert UnknownFunction(node.kind, fn);
        count = Records.checkNode(index, node, Codes.REDUCE, fn == Codes.SUM ? 2 : 1);
        Records.checkAttributes(node, 0);
        if (node.inputs[0].shape.length != 2) Records.malformed("operand shape");
        uint256 length = node.inputs[0].shape[1];
        Records.checkLength(length, Records.MAX_ROW);

        uint8 dtype = node.inputs[0].dtype;
        uint8 output = dtype; // of MAX
        if (fn == Codes.SUM) {
            dtype = Codes.I32;
            output = Codes.F32;
            Records.checkRows(node.inputs[1], Codes.I32, count);
        } else if (fn == Codes.EXPONENT) {
            dtype = Codes.F32;
            output = Codes.I32;
        } else {
            if (dtype == Codes.BOOL) Records.malformed("operand type");
            if (fn == Codes.ARGMAX) output = Codes.I64;
        }
        if (node.dtype != output) Records.malformed("output type");
        Records.checkRows(node.inputs[0], dtype, count, length);
    }

    function _recompute(
        Context calldata context,
        uint32,
        Node calldata node,
        uint64 element,
        Opening[] calldata openings
    ) internal view override returns (uint64) {
        _expectOpenings(openings, node.inputs.length);
        uint256 length = node.inputs[0].shape[1];
        Elements.Row row = _readRow(context, node.inputs[0], openings[0], element, length);
        if (node.fn == Codes.SUM) {
            uint64 e = _readOne(context, node.inputs[1], openings[1], element);
            return Quantised.sumFinish(row.sum(length), int32(uint32(e)));
        }
        if (node.fn == Codes.EXPONENT) {
            return uint32(Quantised.exponentOf(row.greatestMagnitude(length)));
        }
        (uint64 bits, uint256 place) = _greatest(row, node.inputs[0].dtype, length);
        return node.fn == Codes.MAX ? bits : uint64(place);
    }

    /// The first of the greatest elements; the first NaN, if there is one.
    function _greatest(Elements.Row row, uint8 dtype, uint256 length)
        private
        pure
        returns (uint64 best, uint256 place)
    {
        best = row.at(dtype, 0);
        int256 bestKey = _key(best, dtype);
        for (uint256 i = 1; i < length; ++i) {
            uint64 bits = row.at(dtype, i);
            int256 key = _key(bits, dtype);
            if (key > bestKey) (best, bestKey, place) = (bits, key, i);
        }
    }

    /// An integer that sorts as the elements do: for f32 the total order, the NaN above all.
    function _key(uint64 bits, uint8 dtype) private pure returns (int256) {
        if (dtype == Codes.I64) return int64(bits);
        int256 signed = int32(uint32(bits));
        if (dtype == Codes.I32 || signed >= 0) return signed;
        return -1 - (signed & 0x7fffffff);
    }
}
