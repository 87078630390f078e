// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Context, Opening} from "./Types.sol";

/// Recomputes one element of one kind of node.
interface IChecker {
    /// The record says something that no well-formed program says: it convicts nobody.
    error MalformedRecord(bytes32 rule);
    /// The record is sound, but this court has no checker for what it asks.
    error UnknownFunction(uint8 kind, uint8 fn);
    /// An opening is not of the operand that the record names, or shows other leaves than are read.
    error WrongOpening(bytes32 rule);
    /// The output has no such element.
    error NoSuchElement(uint64 element, uint64 count);

    /// Reverts unless node number `index` is well-formed, as far as its record alone tells.
    /// @param record `abi.encode` of the `Node`; the court has made it for its hash already
    /// @return count elements of its output
    function check(uint32 index, bytes calldata record) external pure returns (uint64 count);

    /// @param index the node's place in the program: operands must come before it
    /// @param record as in `check`
    /// @param element flat index of the output element
    /// @param openings the operands, in the record's order; an operand that is not read has no leaves
    /// @return bits of the element as the operands determine it
    function recompute(
        Context calldata context,
        uint32 index,
        bytes calldata record,
        uint64 element,
        Opening[] calldata openings
    ) external view returns (uint64 bits);
}
