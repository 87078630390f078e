// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Context, Input, Node, Opening} from "../interfaces/Types.sol";
import {Elements} from "../lib/Elements.sol";
import {Quantised} from "../lib/Quantised.sol";
import {Records} from "../lib/Records.sol";
import {Checker} from "./Checker.sol";
import {Codes} from "./Codes.sol";

/// SCATTER: the sum of those quantised integers of a row whose index is the output's.
contract ScatterChecker is Checker {
    using Elements for Elements.Row;

    function _check(uint32 index, Node calldata node) internal pure override returns (uint64 count) {
        if (node.fn != 0) revert UnknownFunction(node.kind, node.fn);
        count = Records.checkNode(index, node, Codes.SCATTER, 3);
        Records.checkAttributes(node, 3);
        if (node.dtype != Codes.F32) Records.malformed("output type");
        (uint256 v, uint256 d, uint256 l) = _sizes(node);
        if (v * d != count) Records.malformed("output shape"); // 128 bits hold the product
        Records.checkLength(l, Records.MAX_SCATTER);
        Records.checkRows(node.inputs[0], Codes.I32, d, l);
        Records.checkRows(node.inputs[1], Codes.I32, 1);
        Input calldata indices = node.inputs[2];
        if (indices.dtype != Codes.I32 && indices.dtype != Codes.I64) Records.malformed("operand type");
        Records.checkRows(indices, indices.dtype, l);
    }

    /// Element (v, d): of row d of the integers, where the index is v.
    function _recompute(
        Context calldata context,
        uint32,
        Node calldata node,
        uint64 element,
        Opening[] calldata openings
    ) internal view override returns (uint64) {
        _expectOpenings(openings, 3);
        (, uint256 d, uint256 l) = _sizes(node);
        Input calldata indices = node.inputs[2];
        Elements.Row row = _readRow(context, node.inputs[0], openings[0], element % d, l);
        uint64 e = _readOne(context, node.inputs[1], openings[1], 0);
        Elements.Row index = _readRow(context, indices, openings[2], 0, l);
        int256 total = row.sumWhere(index, indices.dtype, element / d, l);
        return Quantised.sumFinish(total, int32(uint32(e)));
    }

    function _sizes(Node calldata node) private pure returns (uint256 v, uint256 d, uint256 l) {
        uint64[] calldata attributes = node.attributes;
        return (attributes[0], attributes[1], attributes[2]);
    }
}
