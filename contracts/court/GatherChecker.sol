// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Context, Input, Node, Opening} from "../interfaces/Types.sol";
import {Elements} from "../lib/Elements.sol";
import {Records} from "../lib/Records.sol";
import {Checker} from "./Checker.sol";
import {Codes} from "./Codes.sol";

/// GATHER: rows of a table by index, x[a, index[a, l], d].
contract GatherChecker is Checker {
    function _check(uint32 index, Node calldata node) internal pure override returns (uint64 count) {
        if (node.fn != 0) revert UnknownFunction(node.kind, node.fn);
        count = Records.checkNode(index, node, Codes.GATHER, 2);
        Records.checkAttributes(node, 4);
        (uint256 a, uint256 v, uint256 l, uint256 d) = _sizes(node);
        if (a * l * d != count) Records.malformed("output shape"); // 192 bits hold the product

        Input calldata table = node.inputs[0];
        Records.checkPlain(table, node.dtype, 3);
        if (table.shape[0] != a || table.shape[1] != v || table.shape[2] != d) {
            Records.malformed("operand shape");
        }
        Input calldata indices = node.inputs[1];
        if (indices.dtype != Codes.I32 && indices.dtype != Codes.I64) Records.malformed("operand type");
        Records.checkRows(indices, indices.dtype, a, l);
    }

    function _recompute(
        Context calldata context,
        uint32,
        Node calldata node,
        uint64 element,
        Opening[] calldata openings
    ) internal view override returns (uint64) {
        _expectOpenings(openings, 2);
        (, uint256 v, uint256 l, uint256 d) = _sizes(node);
        uint256 place = element / d; // a * L + l
        Input calldata indices = node.inputs[1];
        uint64 bits = _readOne(context, indices, openings[1], uint64(place));
        int256 row = indices.dtype == Codes.I32 ? int256(int32(uint32(bits))) : int256(int64(bits));
        if (row < 0 || row >= int256(v)) {
            Elements.none(openings[0]);
            return node.dtype == Codes.F32 ? Records.NAN : 0;
        }
        // Whole rows are counted: the division is to round down.
        // slither-disable-next-line divide-before-multiply
        uint256 at = ((place / l) * v + uint256(row)) * d + element % d;
        return _readOne(context, node.inputs[0], openings[0], uint64(at)); // within the table
    }

    function _sizes(Node calldata node) private pure returns (uint256 a, uint256 v, uint256 l, uint256 d) {
        uint64[] calldata attributes = node.attributes;
        return (attributes[0], attributes[1], attributes[2], attributes[3]);
    }
}
