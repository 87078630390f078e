// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Context, Node, Opening} from "../interfaces/Types.sol";
import {Elements} from "../lib/Elements.sol";
import {Quantised} from "../lib/Quantised.sol";
import {Records} from "../lib/Records.sol";
import {Checker} from "./Checker.sol";
import {Codes} from "./Codes.sol";

/// DOT: two rows of quantised integers and their exponents to one element of a product of matrices.
contract DotChecker is Checker {
    using Elements for Elements.Row;

    function _check(uint32 index, Node calldata node) internal pure override returns (uint64 count) {
        if (node.fn != 0) revert UnknownFunction(node.kind, node.fn);
        count = Records.checkNode(index, node, Codes.DOT, 4);
        Records.checkAttributes(node, 5);
        if (node.dtype != Codes.F32) Records.malformed("output type");
        (uint256 b, uint256 m, uint256 n, uint256 k) = _sizes(node);
        if (b * m * n != count) Records.malformed("output shape"); // 192 bits hold the product
        Records.checkLength(k, Records.MAX_ROW);
        uint256 bits = node.attributes[4];
        if (bits < 2 || bits > Records.MOST_DOT_BITS) Records.malformed("bits");
        Records.checkRows(node.inputs[0], Codes.I32, b * m, k);
        Records.checkRows(node.inputs[1], Codes.I32, b * m);
        Records.checkRows(node.inputs[2], Codes.I32, b * n, k);
        Records.checkRows(node.inputs[3], Codes.I32, b * n);
    }

    function _recompute(
        Context calldata context,
        uint32,
        Node calldata node,
        uint64 element,
        Opening[] calldata openings
    ) internal view override returns (uint64) {
        _expectOpenings(openings, 4);
        (uint256 left, uint256 right) = _rows(node, element);
        int256 total = _product(context, node, openings, left, right);
        // Rows are fewer than elements.
        uint64 ea = _readOne(context, node.inputs[1], openings[1], uint64(left));
        uint64 eb = _readOne(context, node.inputs[3], openings[3], uint64(right));
        return Quantised.dotFinish(total, int32(uint32(ea)), int32(uint32(eb)), node.attributes[4]);
    }

    /// The rows of the two operands whose product is element (b, m, n): b * M + m and b * N + n.
    function _rows(Node calldata node, uint64 element) private pure returns (uint256 left, uint256 right) {
        (, uint256 m, uint256 n,) = _sizes(node);
        left = element / n;
        // Whole rows are counted: the division is to round down.
        // slither-disable-next-line divide-before-multiply
        right = (left / m) * n + element % n;
    }

    function _product(
        Context calldata context,
        Node calldata node,
        Opening[] calldata openings,
        uint256 left,
        uint256 right
    ) private view returns (int256) {
        uint256 length = node.attributes[3];
        Elements.Row a = _readRow(context, node.inputs[0], openings[0], left, length);
        Elements.Row b = _readRow(context, node.inputs[2], openings[2], right, length);
        return a.dot(b, length);
    }

    function _sizes(Node calldata node) private pure returns (uint256 b, uint256 m, uint256 n, uint256 k) {
        uint64[] calldata attributes = node.attributes;
        return (attributes[0], attributes[1], attributes[2], attributes[3]);
    }
}
