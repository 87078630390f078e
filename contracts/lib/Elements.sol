// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Codes} from "../court/Codes.sol";
import {IChecker} from "../interfaces/IChecker.sol";
import {Opening} from "../interfaces/Types.sol";
import {Merkle} from "./Merkle.sol";
import {Records} from "./Records.sol";

/// Elements of committed tensors, read from openings. An element's bits are a uint64: an i32 from its
/// 32 bits with zeros above, a bool as 0 or 1. Whatever the bytes, they read as one definite element:
/// every NaN as the canonical one, every non-zero bool as 1; the data set and the first state come
/// from a stranger, and the worker's reader does the same.
library Elements {
    uint256 internal constant LEAF_BYTES = 512;

    /// A proven row in memory: `at` points at the first byte of its first element. 32 bytes past its
    /// end may be read (they hold anything).
    type Row is uint256;

    function refuse(bytes32 rule) internal pure {
        revert IChecker.WrongOpening(rule);
    }

    /// log2 of the bytes of an element.
    function shiftOf(uint8 dtype) internal pure returns (uint256) {
        if (dtype == Codes.I64) return 3;
        return dtype == Codes.BOOL ? 0 : 2;
    }

    function perLeaf(uint8 dtype) internal pure returns (uint256) {
        return LEAF_BYTES >> shiftOf(dtype);
    }

    function leavesOf(uint8 dtype, uint256 count) internal pure returns (uint256) {
        uint256 each = perLeaf(dtype);
        return (count + each - 1) / each;
    }

    /// Element `position` of a leaf, its bits exactly as they were committed. The caller knows that the
    /// leaf is whole and that `position` is one of its elements.
    function raw(bytes calldata leaf, uint8 dtype, uint256 position) internal pure returns (uint64) {
        uint256 word;
        uint256 shift = shiftOf(dtype);
        // Bytes behind the leaf are cut off with all others behind the element.
        assembly ("memory-safe") {
            word := calldataload(add(leaf.offset, shl(shift, position)))
        }
        return first(word, dtype);
    }

    /// The element that a word begins with.
    function first(uint256 word, uint8 dtype) private pure returns (uint64) {
        if (dtype == Codes.I64) return uint64(swap64(word) >> 192);
        if (dtype == Codes.BOOL) return uint64(word >> 248);
        return uint64(swap32(word) >> 224);
    }

    function canonical(uint64 bits, uint8 dtype) internal pure returns (uint64) {
        if (dtype == Codes.F32) return bits & 0x7fffffff > 0x7f800000 ? Records.NAN : bits;
        if (dtype == Codes.BOOL) return bits == 0 ? 0 : 1;
        return bits;
    }

    /// An operand that is not read: nothing is shown of it.
    function none(Opening calldata opening) internal pure {
        if (opening.leaves.length != 0) refuse("unread");
    }

    /// That the opening is of item `item` in the list `list` of `items` tensors, and that this tensor
    /// has `count` elements of type `dtype`.
    function checkItem(Opening calldata opening, uint8 dtype, uint256 count, bytes32 list, uint64 item, uint64 items)
        internal
        view
    {
        if (opening.dtype != dtype) refuse("type");
        if (opening.count != count) refuse("count");
        bytes32 hash = Merkle.tensorItem(dtype, opening.count, opening.elements);
        if (Merkle.listRoot(item, hash, items, opening.path) != list) refuse("list");
    }

    /// Element `element` of a tensor whose item has been checked.
    function one(Opening calldata opening, uint64 element) internal view returns (uint64) {
        uint8 dtype = opening.dtype;
        bytes calldata leaf = opening.leaves;
        if (leaf.length != LEAF_BYTES) refuse("leaves");
        uint256 each = perLeaf(dtype);
        uint256 total = leavesOf(dtype, opening.count);
        bytes32 hash = Merkle.elementLeaf(leaf);
        bytes32 root = Merkle.climb(hash, element / each, total, opening.leavesPath, Merkle.depth(total));
        if (root != opening.elements) refuse("leaf");
        return canonical(raw(leaf, dtype, element % each), dtype);
    }

    /// Elements first .. first + length - 1 of a tensor whose item has been checked. The caller knows
    /// that length > 0 and that they are within the tensor.
    // The division finds the first leaf, and is to round down.
    // slither-disable-next-line divide-before-multiply
    function row(Opening calldata opening, uint256 first, uint256 length) internal view returns (Row) {
        uint256 shift = shiftOf(opening.dtype);
        uint256 from = (first << shift) / LEAF_BYTES;
        uint256 count = ((first + length - 1) << shift) / LEAF_BYTES - from + 1;
        if (opening.leaves.length != count * LEAF_BYTES) refuse("leaves");
        (uint256 buffer, uint256 hashes) = copy(opening.leaves);
        uint256 total = leavesOf(opening.dtype, opening.count);
        bytes32 root = Merkle.climbTogether(hashes, count, from, total, opening.leavesPath);
        if (root != opening.elements) refuse("leaf");
        return Row.wrap(buffer + (first << shift) - from * LEAF_BYTES);
    }

    /// Whole leaves in memory, with a word behind them that may be read. Their hashes stand one word
    /// further up, past the free pointer: nothing else is there until they are climbed from.
    function copy(bytes calldata leaves) private view returns (uint256 buffer, uint256 hashes) {
        assembly ("memory-safe") {
            // A leaf's hash begins with a byte before it, which may be the last one of another leaf or
            // of something else: it is put back.
            buffer := add(mload(0x40), 0x20)
            let end := add(buffer, leaves.length)
            mstore(0x40, add(end, 0x20))
            calldatacopy(buffer, leaves.offset, leaves.length)
            hashes := add(end, 0x40)
            let to := hashes
            for { let leaf := buffer } lt(leaf, end) { leaf := add(leaf, LEAF_BYTES) } {
                let before := mload(sub(leaf, 0x20))
                mstore8(sub(leaf, 1), 0x01)
                if iszero(staticcall(gas(), 2, sub(leaf, 1), add(LEAF_BYTES, 1), to, 0x20)) { revert(0, 0) }
                mstore(sub(leaf, 0x20), before)
                to := add(to, 0x20)
            }
        }
    }

    /// Element `i` of a row.
    function at(Row start, uint8 dtype, uint256 i) internal pure returns (uint64) {
        uint256 word;
        uint256 shift = shiftOf(dtype);
        assembly ("memory-safe") {
            word := mload(add(start, shl(shift, i)))
        }
        return canonical(first(word, dtype), dtype);
    }

    /// Reverses the bytes of each of the eight 32-bit lanes of a word.
    function swap32(uint256 x) internal pure returns (uint256) {
        x = ((x & MASK8) << 8) | ((x >> 8) & MASK8);
        return ((x & MASK16) << 16) | ((x >> 16) & MASK16);
    }

    /// Reverses the bytes of each of the four 64-bit lanes of a word.
    function swap64(uint256 x) internal pure returns (uint256) {
        x = swap32(x);
        return ((x & MASK32) << 32) | ((x >> 32) & MASK32);
    }

    uint256 private constant MASK8 = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant MASK16 = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant MASK32 = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;

    /// Eight i32 or f32 of a row from element `i` on, the first one in the highest 32 bits, and zeros in
    /// the lanes from `length` on.
    function lanes(Row start, uint256 i, uint256 length) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(start, shl(2, i)))
        }
        word = swap32(word);
        if (length - i < 8) {
            uint256 unused = 256 - 32 * (length - i);
            word = (word >> unused) << unused;
        }
    }

    /// The signed sum of a row of i32.
    function sum(Row start, uint256 length) internal pure returns (int256 total) {
        for (uint256 i = 0; i < length; i += 8) {
            uint256 x = lanes(start, i, length);
            assembly ("memory-safe") {
                total := add(total, signextend(3, x))
                total := add(total, signextend(3, shr(32, x)))
                total := add(total, signextend(3, shr(64, x)))
                total := add(total, signextend(3, shr(96, x)))
                total := add(total, signextend(3, shr(128, x)))
                total := add(total, signextend(3, shr(160, x)))
                total := add(total, signextend(3, shr(192, x)))
                total := add(total, signextend(3, shr(224, x)))
            }
        }
    }

    /// The signed sum of those of a row of i32 whose element of `index`, a row of i32 or i64 (`dtype`),
    /// is `wanted`, a number below 2^63.
    function sumWhere(Row start, Row index, uint8 dtype, uint256 wanted, uint256 length)
        internal
        pure
        returns (int256 total)
    {
        bool wide = dtype == Codes.I64;
        if (!wide && wanted > uint32(type(int32).max)) return 0; // it would pass for a negative one
        // Indices are compared as they stand in memory. Behind the last of them anything may stand:
        // the lanes there are zero.
        uint256 drop = wide ? 192 : 224;
        uint256 pattern = (wide ? swap64(wanted << 192) : swap32(wanted << 224)) >> drop;
        uint256 next = Row.unwrap(index);
        for (uint256 i = 0; i < length; i += 8) {
            uint256 x = lanes(start, i, length);
            assembly ("memory-safe") {
                let size := shr(3, sub(256, drop))
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, shr(224, x))))
                next := add(next, size)
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, shr(192, x))))
                next := add(next, size)
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, shr(160, x))))
                next := add(next, size)
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, shr(128, x))))
                next := add(next, size)
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, shr(96, x))))
                next := add(next, size)
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, shr(64, x))))
                next := add(next, size)
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, shr(32, x))))
                next := add(next, size)
                total := add(total, mul(eq(shr(drop, mload(next)), pattern), signextend(3, x)))
                next := add(next, size)
            }
        }
    }

    /// The signed sum of products of two rows of i32. Exact: a product is below 2^62 in magnitude, and
    /// a row has at most 2^12 elements.
    function dot(Row a, Row b, uint256 length) internal pure returns (int256 total) {
        for (uint256 i = 0; i < length; i += 8) {
            uint256 x = lanes(a, i, length);
            uint256 y = lanes(b, i, length);
            assembly ("memory-safe") {
                total := add(total, mul(signextend(3, x), signextend(3, y)))
                total := add(total, mul(signextend(3, shr(32, x)), signextend(3, shr(32, y))))
                total := add(total, mul(signextend(3, shr(64, x)), signextend(3, shr(64, y))))
                total := add(total, mul(signextend(3, shr(96, x)), signextend(3, shr(96, y))))
                total := add(total, mul(signextend(3, shr(128, x)), signextend(3, shr(128, y))))
                total := add(total, mul(signextend(3, shr(160, x)), signextend(3, shr(160, y))))
                total := add(total, mul(signextend(3, shr(192, x)), signextend(3, shr(192, y))))
                total := add(total, mul(signextend(3, shr(224, x)), signextend(3, shr(224, y))))
            }
        }
    }

    /// The greatest magnitude's bits in a row of f32: the float without its sign, as an integer, which
    /// sorts like the magnitude, with infinity and every NaN at the top.
    function greatestMagnitude(Row start, uint256 length) internal pure returns (uint32) {
        uint256 best = 0;
        for (uint256 i = 0; i < length; i += 8) {
            uint256 x = lanes(start, i, length);
            assembly ("memory-safe") {
                for { let lane := 0 } lt(lane, 256) { lane := add(lane, 32) } {
                    let magnitude := and(shr(lane, x), 0x7fffffff)
                    if gt(magnitude, best) { best := magnitude }
                }
            }
        }
        return uint32(best);
    }

    /// Where in a row of f32, i32 or i64 the first of the greatest stands: of f32 in the total order, with
    /// any NaN above all.
    // Yul has the amount first.
    // slither-disable-next-line incorrect-shift
    function greatest(Row start, uint8 dtype, uint256 length) internal pure returns (uint256 place) {
        uint256 shift = shiftOf(dtype);
        uint256 width = 8 << shift;
        // An element's key sorts as it does. Of integers, the sign's bit flipped. Of a negative f32, all
        // bits flipped; then -infinity's key is 0x7fffff, which is taken off, so that a negative NaN
        // wraps, and +infinity's is the greatest that is none of a NaN.
        bool float = dtype == Codes.F32;
        uint256 flip = float ? 0x7fffffff : 0;
        uint256 least = float ? 0x7fffff : 0;
        uint256 most = float ? 0xff000001 : type(uint256).max;
        uint256 best = 0;
        for (uint256 i = 0; i < length; i += 32 >> shift) {
            uint256 word;
            assembly ("memory-safe") {
                word := mload(add(start, shl(shift, i)))
            }
            word = shift == 3 ? swap64(word) : swap32(word);
            // Sums of places and of shifts within a word are small.
            assembly ("memory-safe") {
                let end := add(i, shr(shift, 32))
                if gt(end, length) { end := length }
                for { let j := i } lt(j, end) { j := add(j, 1) } {
                    let x := shr(sub(256, width), word)
                    word := shl(width, word)
                    let key := sub(xor(x, or(shl(sub(width, 1), 1), mul(shr(31, x), flip))), least)
                    if gt(key, best) {
                        best := key
                        place := j
                        // The first NaN: nothing is greater.
                        if gt(key, most) {
                            j := end
                            i := length
                        }
                    }
                }
            }
        }
    }
}
