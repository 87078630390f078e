// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Codes} from "../court/Codes.sol";
import {IChecker} from "../interfaces/IChecker.sol";
import {Input, Node} from "../interfaces/Types.sol";

/// What a well-formed record is, as far as the kinds agree, and where its index maps lead. The rules
/// of a kind stand in its checker. A record that breaks a rule convicts nobody.
library Records {
    uint256 internal constant MAX_RANK = 8;
    uint256 internal constant MAX_COUNT = 1 << 40;
    /// Greatest magnitude of an offset or a stride, and twice that: in assembly constants are plain numbers.
    uint256 private constant MAX_REACH = 0x10000000000;
    uint256 private constant TWICE_MAX_REACH = 0x20000000000;
    /// Longest row that one proof reads.
    uint256 internal constant MAX_ROW = 1 << 12;
    /// Longest one of a scatter: its indices are read as well, and twice as long where they are i64.
    uint256 internal constant MAX_SCATTER = 1 << 11;
    /// Of a product's operands: the fast twins hold sums of MAX_ROW such products in f64.
    uint256 internal constant MOST_DOT_BITS = 20;
    uint32 internal constant NAN = 0x7fc00000;

    function malformed(bytes32 rule) internal pure {
        revert IChecker.MalformedRecord(rule);
    }

    /// `abi.encode(node)`, which is what programs hash, copied from where the caller has encoded the struct:
    /// in half the gas, as nothing is taken apart. Every array must begin where `abi.encode` puts it, right
    /// behind what comes before it; then nothing else decodes to this record, and none of it lies outside
    /// of what is copied. A number wider than its type is none that `abi.encode` writes: whoever reads
    /// it refuses it.
    function encodingOf(Node calldata node) internal pure returns (bytes memory record) {
        bool inPlace;
        assembly ("memory-safe") {
            // Distances are from the struct's own beginning; each array is its length and its items.
            let end := 0xc0
            inPlace := eq(calldataload(add(node, 0x60)), end) // shape
            end := add(end, shl(5, add(calldataload(add(node, end)), 1)))
            inPlace := and(inPlace, eq(calldataload(add(node, 0x80)), end)) // inputs
            let count := calldataload(add(node, end))
            end := add(end, 0x20)
            let inputs := add(node, end)
            let next := shl(5, count)
            for { let i := 0 } lt(i, count) { i := add(i, 1) } {
                inPlace := and(inPlace, eq(calldataload(add(inputs, shl(5, i))), next))
                let input := add(inputs, next)
                let size := 0xa0
                inPlace := and(inPlace, eq(calldataload(add(input, 0x40)), size)) // shape
                size := add(size, shl(5, add(calldataload(add(input, size)), 1)))
                inPlace := and(inPlace, eq(calldataload(add(input, 0x60)), size)) // map
                size := add(size, shl(5, add(calldataload(add(input, size)), 1)))
                next := add(next, size)
            }
            end := add(end, next)
            inPlace := and(inPlace, eq(calldataload(add(node, 0xa0)), end)) // attributes
            end := add(end, shl(5, add(calldataload(add(node, end)), 1)))

            record := mload(0x40)
            mstore(record, add(end, 0x20))
            mstore(add(record, 0x20), 0x20)
            calldatacopy(add(record, 0x40), node, end)
            mstore(0x40, add(record, add(end, 0x40)))
        }
        if (!inPlace) malformed("encoding");
    }

    /// The rules that every kind shares; gives the output's element count.
    function checkNode(uint32 index, Node calldata node, uint8 kind, uint256 inputs)
        internal
        pure
        returns (uint64 count)
    {
        if (node.kind != kind) malformed("kind");
        checkType(node.dtype);
        count = countOf(node.shape);
        Input[] calldata given = node.inputs;
        if (given.length != inputs) malformed("inputs");
        for (uint256 i = 0; i < inputs; ++i) {
            Input calldata input = given[i];
            if (input.node >= index) malformed("order");
            checkType(input.dtype);
            countOf(input.shape);
            // Only a map leads out of bounds, where the fill is read.
            if (kind == Codes.MAP ? !isElement(input.fill, input.dtype) : input.fill != 0) malformed("fill");
        }
    }

    /// An operand whose access the kind fixes: no map, and exactly the shape [rows] or [rows, length].
    function checkRows(Input calldata input, uint8 dtype, uint256 rows) internal pure {
        checkPlain(input, dtype, 1);
        if (input.shape[0] != rows) malformed("operand shape");
    }

    function checkRows(Input calldata input, uint8 dtype, uint256 rows, uint256 length) internal pure {
        checkPlain(input, dtype, 2);
        if (input.shape[0] != rows || input.shape[1] != length) malformed("operand shape");
    }

    function checkPlain(Input calldata input, uint8 dtype, uint256 rank) internal pure {
        if (input.dtype != dtype) malformed("operand type");
        if (input.map.length != 0) malformed("map");
        if (input.shape.length != rank) malformed("operand shape");
    }

    function checkLength(uint256 length, uint256 most) internal pure {
        if (length > most) malformed("row length");
    }

    function isType(uint8 dtype) internal pure returns (bool) {
        return dtype >= Codes.F32 && dtype <= Codes.BOOL;
    }

    function checkType(uint8 dtype) internal pure {
        if (!isType(dtype)) malformed("type");
    }

    function checkAttributes(Node calldata node, uint256 expected) internal pure {
        if (node.attributes.length != expected) malformed("attributes");
    }

    /// An affine map: for each of the operand's axes an offset and a stride per output axis.
    // In assembly, as are the loops below: a map of three operands has 60 numbers where ranks are 4.
    function checkMap(Input calldata input, uint256 outputRank) internal pure {
        int64[] calldata map = input.map;
        uint256 length = map.length;
        if (length != input.shape.length * (outputRank + 1)) malformed("map");
        bool beyond;
        assembly ("memory-safe") {
            let end := add(map.offset, shl(5, length))
            for { let at := map.offset } lt(at, end) { at := add(at, 0x20) } {
                // One comparison for both ends: what is below the least wraps.
                beyond := or(beyond, gt(add(calldataload(at), MAX_REACH), TWICE_MAX_REACH))
            }
        }
        if (beyond) malformed("reach");
    }

    /// Elements of a tensor with this shape; 1 for a scalar's empty shape.
    function countOf(uint32[] calldata shape) internal pure returns (uint64) {
        uint256 rank = shape.length;
        if (rank > MAX_RANK) malformed("rank");
        uint256 count = 1;
        uint256 sizes;
        // Eight factors of 32 bits: 256 bits hold the product.
        assembly ("memory-safe") {
            let end := add(shape.offset, shl(5, rank))
            for { let at := shape.offset } lt(at, end) { at := add(at, 0x20) } {
                let size := calldataload(at)
                sizes := or(sizes, size)
                count := mul(count, size)
            }
        }
        if (sizes > type(uint32).max) malformed("size");
        if (count == 0) malformed("empty");
        if (count > MAX_COUNT) malformed("count");
        return uint64(count);
    }

    /// Whether `bits` are those of an element of this type: in range, and the one NaN.
    function isElement(uint64 bits, uint8 dtype) internal pure returns (bool) {
        if (dtype == Codes.I64) return true;
        if (dtype == Codes.BOOL) return bits <= 1;
        if (bits > type(uint32).max) return false;
        return dtype == Codes.I32 || bits == NAN || bits & 0x7fffffff <= 0x7f800000;
    }

    /// Row-major coordinates of `element` in a checked `shape`.
    function coordinates(uint64 element, uint32[] calldata shape) internal pure returns (int256[] memory at) {
        uint256 rank = shape.length;
        at = new int256[](rank);
        assembly ("memory-safe") {
            let rest := element
            for { let axis := shl(5, rank) } axis { axis := sub(axis, 0x20) } {
                let size := calldataload(add(shape.offset, sub(axis, 0x20)))
                mstore(add(at, axis), mod(rest, size)) // below 2^32
                rest := div(rest, size)
            }
        }
    }

    /// The operand's flat index that a checked map gives to the output coordinates `at`, and whether
    /// it is within the operand's bounds: where it is not, the operand reads its fill.
    function locate(Input calldata input, int256[] memory at) internal pure returns (bool inside, uint64 flat) {
        (int64[] calldata map, uint32[] calldata shape) = (input.map, input.shape);
        inside = true;
        uint256 index;
        // A reach is at most 2^40, a coordinate below 2^32, a rank at most 8, an index below a count.
        assembly ("memory-safe") {
            let next := map.offset
            let first := add(at, 0x20)
            let end := add(first, shl(5, mload(at)))
            let lastAxis := add(shape.offset, shl(5, shape.length))
            for { let axis := shape.offset } lt(axis, lastAxis) { axis := add(axis, 0x20) } {
                let coordinate := calldataload(next)
                next := add(next, 0x20)
                for { let o := first } lt(o, end) { o := add(o, 0x20) } {
                    coordinate := add(coordinate, mul(calldataload(next), mload(o)))
                    next := add(next, 0x20)
                }
                let size := calldataload(axis)
                // A negative coordinate is no less than any size.
                inside := and(inside, lt(coordinate, size))
                index := add(mul(index, size), coordinate)
            }
        }
        return inside ? (true, uint64(index)) : (false, 0); // less than the operand's count
    }
}
