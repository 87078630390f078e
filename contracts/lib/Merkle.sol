// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Header} from "../interfaces/Types.sol";

/// SHA-256 trees over ordered leaves; an odd last node of a level moves up unchanged. A path is
/// checked against a position and the width of the tree, so it proves where a node stands, and its
/// length is not the prover's choice. `worker/commit` is the twin.
///
/// The assembly calls the SHA-256 precompile (address 2) on the scratch space below 0x40, or on
/// memory past the free pointer that nothing else uses, and always checks that the call succeeded:
/// it fails only for want of gas.
library Merkle {
    error PathLength(uint256 given, uint256 needed);
    error NoSuchNode(uint256 index, uint256 width);
    error NoNodes();

    /// Levels above the leaves of a tree with `size` leaves (at least 1): the bit length of size - 1.
    function depth(uint256 size) internal pure returns (uint8 levels) {
        if (size == 0) revert NoNodes();
        assembly ("memory-safe") {
            let last := sub(size, 1)
            // floor(log2 last), by binary search
            levels := shl(7, gt(last, 0xffffffffffffffffffffffffffffffff))
            levels := or(levels, shl(6, gt(shr(levels, last), 0xffffffffffffffff)))
            levels := or(levels, shl(5, gt(shr(levels, last), 0xffffffff)))
            levels := or(levels, shl(4, gt(shr(levels, last), 0xffff)))
            levels := or(levels, shl(3, gt(shr(levels, last), 0xff)))
            levels := or(levels, shl(2, gt(shr(levels, last), 0xf)))
            levels := or(levels, shl(1, gt(shr(levels, last), 0x3)))
            levels := or(levels, gt(shr(levels, last), 0x1))
            levels := add(levels, gt(last, 0))
        }
    }

    /// Nodes on `level` of a tree with `size` leaves: ceil(size / 2^level). Safe for size < 2^255.
    function widthAt(uint256 size, uint256 level) internal pure returns (uint256) {
        unchecked {
            return (size + (uint256(1) << level) - 1) >> level;
        }
    }

    /// The ancestor, `levels` up, of node `index` of a level with `width` nodes. `path` holds the
    /// siblings from below up, and none where a last node moves up.
    function climb(bytes32 node, uint256 index, uint256 width, bytes32[] calldata path, uint256 levels)
        internal
        view
        returns (bytes32)
    {
        if (index >= width) revert NoSuchNode(index, width);
        uint256 needed;
        // Of a path that is too short, other calldata is read; it is refused below.
        assembly ("memory-safe") {
            let next := path.offset
            // The last node falls from level to level, to number `end`, and stays at 0, the root's.
            let last := sub(width, 1)
            let end := shr(levels, last)
            let hashed := 1
            // Every node but the last has a sibling ...
            for {} and(lt(index, last), lt(end, last)) {} {
                let side := shl(5, and(index, 1))
                mstore(side, node)
                mstore(xor(side, 0x20), calldataload(next))
                hashed := and(hashed, staticcall(gas(), 2, 0x00, 0x40, 0x00, 0x20))
                node := mload(0x00)
                next := add(next, 0x20)
                index := shr(1, index)
                last := shr(1, last)
            }
            // ... and that one where it is a right child.
            for {} lt(end, last) { last := shr(1, last) } {
                if and(last, 1) {
                    mstore(0x00, calldataload(next))
                    mstore(0x20, node)
                    hashed := and(hashed, staticcall(gas(), 2, 0x00, 0x40, 0x00, 0x20))
                    node := mload(0x00)
                    next := add(next, 0x20)
                }
            }
            if iszero(hashed) { revert(0, 0) }
            needed := shr(5, sub(next, path.offset))
        }
        if (needed != path.length) revert PathLength(path.length, needed);
        return node;
    }

    /// The root of a tree of `width` leaves, of which `count` neighbours from number `index` on stand in
    /// memory, a word each, from `at` on. `path` holds, from below up, the sibling of the left end and
    /// then the one of the right end, where these are not among the neighbours: the path of a single
    /// leaf is the one that `climb` takes. The neighbours and a word on either side are overwritten.
    function climbTogether(uint256 at, uint256 count, uint256 index, uint256 width, bytes32[] calldata path)
        internal
        view
        returns (bytes32 root)
    {
        if (count == 0) revert NoNodes();
        if (index + count > width) revert NoSuchNode(index + count - 1, width);
        uint256 needed;
        // As above, of a path that is too short other calldata is read.
        assembly ("memory-safe") {
            let next := path.offset
            for { let last := sub(width, 1) } last { last := shr(1, last) } {
                let from := at
                if and(index, 1) {
                    from := sub(at, 0x20)
                    mstore(from, calldataload(next))
                    next := add(next, 0x20)
                    index := sub(index, 1)
                    count := add(count, 1)
                }
                // The right end is a left child: its sibling comes next, or it is the last and moves up.
                if gt(and(count, 1), gt(add(index, count), last)) {
                    mstore(add(from, shl(5, count)), calldataload(next))
                    next := add(next, 0x20)
                    count := add(count, 1)
                }
                // In place: pair i is read before anything at or above its second half is overwritten.
                let pairs := shr(1, count)
                for { let i := 0 } lt(i, pairs) { i := add(i, 1) } {
                    if iszero(staticcall(gas(), 2, add(from, shl(6, i)), 0x40, add(at, shl(5, i)), 0x20)) {
                        revert(0, 0)
                    }
                }
                if and(count, 1) { mstore(add(at, shl(5, pairs)), mload(add(from, shl(6, pairs)))) }
                count := sub(count, pairs)
                index := shr(1, index)
            }
            root := mload(at)
            needed := shr(5, sub(next, path.offset))
        }
        if (needed != path.length) revert PathLength(path.length, needed);
    }

    /// The root over all descendants `nodes` of one node, on one level, in order. A subtree starts at
    /// an even position on every level, so a node without a partner is the last of the whole level.
    function fold(bytes32[] calldata nodes) internal view returns (bytes32 root) {
        uint256 count = nodes.length;
        if (count == 0) revert NoNodes();
        // The nodes are copied past the free pointer and folded in place: pair i is read before
        // anything at or above its first half is overwritten. The pointer stays where it is.
        assembly ("memory-safe") {
            let at := mload(0x40)
            calldatacopy(at, nodes.offset, shl(5, count))
            for {} gt(count, 1) {} {
                let pairs := shr(1, count)
                for { let i := 0 } lt(i, pairs) { i := add(i, 1) } {
                    if iszero(staticcall(gas(), 2, add(at, shl(6, i)), 0x40, add(at, shl(5, i)), 0x20)) {
                        revert(0, 0)
                    }
                }
                if and(count, 1) { mstore(add(at, shl(5, pairs)), mload(add(at, shl(6, pairs)))) }
                count := sub(count, pairs)
            }
            root := mload(at)
        }
    }

    /// sha256(0x03 | index u64 | item): a leaf of a list.
    function listLeaf(uint64 index, bytes32 item) internal view returns (bytes32 leaf) {
        assembly ("memory-safe") {
            mstore8(0x00, 0x03)
            mstore(0x01, shl(192, index))
            mstore(0x09, item)
            if iszero(staticcall(gas(), 2, 0x00, 41, 0x00, 0x20)) { revert(0, 0) }
            leaf := mload(0x00)
        }
    }

    /// sha256(0x02 | dtype u8 | count u64 | elements): a tensor's item.
    function tensorItem(uint8 dtype, uint64 count, bytes32 elements) internal view returns (bytes32 item) {
        assembly ("memory-safe") {
            mstore8(0x00, 0x02)
            mstore8(0x01, dtype)
            mstore(0x02, shl(192, count))
            mstore(0x0a, elements)
            if iszero(staticcall(gas(), 2, 0x00, 42, 0x00, 0x20)) { revert(0, 0) }
            item := mload(0x00)
        }
    }

    /// sha256(0x01 | data): a leaf of elements. Callers check that `data` has 512 bytes.
    function elementLeaf(bytes calldata data) internal view returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 0x01)
            calldatacopy(add(at, 1), data.offset, data.length)
            if iszero(staticcall(gas(), 2, at, add(data.length, 1), 0x00, 0x20)) { revert(0, 0) }
            leaf := mload(0x00)
        }
    }

    /// A record's item. `record` is `Records.encodingOf` the struct, so that no bytes hash to it but those
    /// that decode to exactly this record.
    function nodeItem(bytes memory record) internal view returns (bytes32 item) {
        assembly ("memory-safe") {
            if iszero(staticcall(gas(), 2, add(record, 0x20), mload(record), 0x00, 0x20)) { revert(0, 0) }
            item := mload(0x00)
        }
    }

    /// sha256(0x04 | abi.encode(header)): a program's root. Static structs stand in calldata as
    /// `abi.encode` writes them; what is wider than its type is refused where it is read.
    function headerRoot(Header calldata header) internal view returns (bytes32 root) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 0x04)
            calldatacopy(add(at, 1), header, 0xa0)
            if iszero(staticcall(gas(), 2, at, 0xa1, 0x00, 0x20)) { revert(0, 0) }
            root := mload(0x00)
        }
    }

    /// sha256(0x05 | owner | step u64 | salt | reports): a step's item in a journal, from the list root of
    /// its reports.
    function reportItem(address owner, uint64 step, bytes32 salt, bytes32 reports) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x05), owner, step, salt, reports));
    }

    /// The root of the list of `size` items in which `item` stands at `index`.
    function listRoot(uint64 index, bytes32 item, uint64 size, bytes32[] calldata path)
        internal
        view
        returns (bytes32)
    {
        return climb(listLeaf(index, item), index, size, path, depth(size));
    }
}
