// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IChecker} from "../interfaces/IChecker.sol";
import {Context, Input, Node, Opening} from "../interfaces/Types.sol";
import {Elements} from "../lib/Elements.sol";
import {Records} from "../lib/Records.sol";

/// What the checkers of all kinds share: the record is judged before anything of it is used, and
/// operands are read from the step's trace.
abstract contract Checker is IChecker {
    /// @inheritdoc IChecker
    function check(uint32 index, bytes calldata record) external pure returns (uint64 count) {
        return _check(index, _decode(record));
    }

    /// @inheritdoc IChecker
    function recompute(
        Context calldata context,
        uint32 index,
        bytes calldata record,
        uint64 element,
        Opening[] calldata openings
    ) external view returns (uint64 bits) {
        Node calldata node = _decode(record);
        uint64 count = _check(index, node);
        if (element >= count) revert NoSuchElement(element, count);
        return _recompute(context, index, node, element, openings);
    }

    /// The record where it stands. Its encoding begins with the place of the struct: 0x20 in every one
    /// that `abi.encode` makes, as the court's are, and no other record convicts anybody.
    function _decode(bytes calldata record) private pure returns (Node calldata node) {
        assembly ("memory-safe") {
            node := add(record.offset, 0x20)
        }
    }

    /// The rules of the kind; gives the output's element count.
    function _check(uint32 index, Node calldata node) internal pure virtual returns (uint64 count);

    /// The element, of a record that passed `_check`.
    function _recompute(
        Context calldata context,
        uint32 index,
        Node calldata node,
        uint64 element,
        Opening[] calldata openings
    ) internal view virtual returns (uint64 bits);

    function _expectOpenings(Opening[] calldata openings, uint256 count) internal pure {
        if (openings.length != count) Elements.refuse("openings");
    }

    /// One element of an operand.
    function _readOne(Context calldata context, Input calldata input, Opening calldata opening, uint64 element)
        internal
        view
        returns (uint64)
    {
        _checkOperand(context, input, opening);
        return Elements.one(opening, element);
    }

    /// Row `row` of an operand seen as rows of `length` elements each.
    function _readRow(
        Context calldata context,
        Input calldata input,
        Opening calldata opening,
        uint256 row,
        uint256 length
    ) internal view returns (Elements.Row) {
        _checkOperand(context, input, opening);
        return Elements.row(opening, row * length, length);
    }

    function _checkOperand(Context calldata context, Input calldata input, Opening calldata opening) private view {
        Elements.checkItem(
            opening, input.dtype, Records.countOf(input.shape), context.trace, input.node, context.nodeCount
        );
    }
}
