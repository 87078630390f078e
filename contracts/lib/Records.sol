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
    /// Greatest magnitude of an offset or a stride.
    int256 internal constant MAX_REACH = 1 << 40;
    int256 private constant LEAST_REACH = -(1 << 40);
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
    function checkMap(Input calldata input, uint256 outputRank) internal pure {
        int64[] calldata map = input.map;
        if (map.length != input.shape.length * (outputRank + 1)) malformed("map");
        for (uint256 i = 0; i < map.length; ++i) {
            int256 reach = map[i];
            if (reach > MAX_REACH || reach < LEAST_REACH) malformed("reach");
        }
    }

    /// Number `i` of a checked map: it is there, and an int64.
    function reachAt(int64[] calldata map, uint256 i) private pure returns (int256 reach) {
        assembly ("memory-safe") {
            reach := calldataload(add(map.offset, shl(5, i)))
        }
    }

    /// Elements of a tensor with this shape; 1 for a scalar's empty shape.
    function countOf(uint32[] calldata shape) internal pure returns (uint64) {
        if (shape.length > MAX_RANK) malformed("rank");
        uint256 count = 1;
        for (uint256 axis = 0; axis < shape.length; ++axis) {
            uint256 size = shape[axis];
            if (size == 0) malformed("empty");
            unchecked {
                count *= size; // at most 2^40 * 2^32
            }
            if (count > MAX_COUNT) malformed("count");
        }
        return uint64(count);
    }

    /// Whether `bits` are those of an element of this type: in range, and the one NaN.
    function isElement(uint64 bits, uint8 dtype) internal pure returns (bool) {
        if (dtype == Codes.I64) return true;
        if (dtype == Codes.BOOL) return bits <= 1;
        if (bits > type(uint32).max) return false;
        return dtype == Codes.I32 || bits == NAN || bits & 0x7fffffff <= 0x7f800000;
    }

    /// Row-major coordinates of `element` in `shape`.
    function coordinates(uint64 element, uint32[] calldata shape) internal pure returns (int256[] memory at) {
        uint256 rest = element;
        at = new int256[](shape.length);
        for (uint256 axis = shape.length; axis != 0; --axis) {
            uint256 size = shape[axis - 1];
            at[axis - 1] = int256(rest % size); // below 2^32
            rest /= size;
        }
    }

    /// The operand's flat index that a checked map gives to the output coordinates `at`, and whether
    /// it is within the operand's bounds: where it is not, the operand reads its fill.
    function locate(Input calldata input, int256[] memory at) internal pure returns (bool inside, uint64 flat) {
        (int64[] calldata map, uint32[] calldata shape) = (input.map, input.shape);
        uint256 next = 0;
        uint256 index = 0;
        // A reach is at most 2^40, a coordinate below 2^32, a rank at most 8, an index below a count.
        unchecked {
            for (uint256 axis = 0; axis < shape.length; ++axis) {
                int256 coordinate = reachAt(map, next++);
                for (uint256 o = 0; o < at.length; ++o) {
                    coordinate += reachAt(map, next++) * at[o];
                }
                int256 size = int256(uint256(shape[axis]));
                if (coordinate < 0 || coordinate >= size) return (false, 0);
                index = index * uint256(size) + uint256(coordinate);
            }
        }
        return (true, uint64(index)); // less than the operand's count
    }
}
