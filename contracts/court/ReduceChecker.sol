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
        uint256 place = row.greatest(node.inputs[0].dtype, length);
        return node.fn == Codes.MAX ? row.at(node.inputs[0].dtype, place) : uint64(place);
    }
}
