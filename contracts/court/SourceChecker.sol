// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Context, Node, Opening} from "../interfaces/Types.sol";
import {Elements} from "../lib/Elements.sol";
import {Philox} from "../lib/Philox.sol";
import {Records} from "../lib/Records.sol";
import {Sampling} from "../lib/Sampling.sol";
import {Checker} from "./Checker.sol";
import {Codes} from "./Codes.sol";

/// SOURCE: a tensor of the state, rows of the data set, a constant, the element's own number, or a
/// random one.
contract SourceChecker is Checker {
    function _check(uint32 index, Node calldata node) internal pure override returns (uint64 count) {
        uint8 fn = node.fn;
        if (fn > Codes.RANDOM) revert UnknownFunction(node.kind, fn);
        count = Records.checkNode(index, node, Codes.SOURCE, 0);
        uint64[] calldata attributes = node.attributes;
        if (fn == Codes.STATE) {
            Records.checkAttributes(node, 1);
        } else if (fn == Codes.BATCH) {
            Records.checkAttributes(node, 3);
            // 128 bits hold the product; its factors are at least 1, as no tensor is empty.
            if (uint256(attributes[1]) * attributes[2] != count) Records.malformed("batch shape");
        } else if (fn == Codes.CONSTANT) {
            Records.checkAttributes(node, 1);
            if (count != 1) Records.malformed("constant shape");
            if (!Records.isElement(attributes[0], node.dtype)) Records.malformed("constant");
        } else if (fn == Codes.RANDOM) {
            Records.checkAttributes(node, 0);
            if (node.dtype != Codes.F32) Records.malformed("output type");
        } else {
            Records.checkAttributes(node, 0);
            if (node.dtype != Codes.I32 && node.dtype != Codes.I64) Records.malformed("output type");
            if (node.dtype == Codes.I32 && count > 1 << 31) Records.malformed("iota range");
        }
    }

    function _recompute(
        Context calldata context,
        uint32 index,
        Node calldata node,
        uint64 element,
        Opening[] calldata openings
    ) internal view override returns (uint64) {
        uint64[] calldata attributes = node.attributes;
        if (node.fn == Codes.STATE) {
            _expectOpenings(openings, 1);
            uint64 tensor = attributes[0];
            if (tensor >= context.stateCount) Records.malformed("state");
            Elements.checkItem(
                openings[0], node.dtype, Records.countOf(node.shape), context.state, tensor, context.stateCount
            );
            return Elements.one(openings[0], element);
        }
        if (node.fn == Codes.BATCH) {
            _expectOpenings(openings, 1);
            return _batch(context, node, element, openings[0]);
        }
        _expectOpenings(openings, 0);
        if (node.fn == Codes.CONSTANT) return attributes[0];
        if (node.fn == Codes.RANDOM) return Philox.uniform(context.seed, context.step, index, element);
        return node.dtype == Codes.I32 ? uint32(element) : element;
    }

    /// Element (j, c) of the rows of step t: column c of the data set's row that `_rowOf` names.
    function _batch(Context calldata context, Node calldata node, uint64 element, Opening calldata opening)
        private
        view
        returns (uint64)
    {
        uint64 tensor = node.attributes[0];
        if (tensor >= context.dataTensors) Records.malformed("data");
        if (context.rows == 0 || context.rows > 1 << 32) Records.malformed("data rows");
        uint256 width = node.attributes[2];
        uint256 count = context.rows * width; // below 2^33 * 2^64
        if (count > Records.MAX_COUNT) Records.malformed("data count");
        uint256 at = _rowOf(context, node.attributes[1], element / width) * width + element % width;
        Elements.checkItem(opening, node.dtype, count, context.data, tensor, context.dataTensors);
        return Elements.one(opening, uint64(at)); // less than `count`
    }

    /// The data set's row number permute(seed, p / rows)(p % rows), where p = t * batch + j.
    function _rowOf(Context calldata context, uint64 batch, uint256 j) private pure returns (uint256) {
        uint256 place = uint256(context.step) * batch + j;
        uint256 epoch = place / context.rows;
        if (epoch > type(uint64).max) Records.malformed("epoch");
        uint64 position = uint64(place % context.rows);
        return Sampling.permute(context.seed, uint64(epoch), position, context.rows);
    }
}
