// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Header, Node} from "../interfaces/Types.sol";
import {Merkle} from "../lib/Merkle.sol";
import {Records} from "../lib/Records.sol";
import {Sampling} from "../lib/Sampling.sol";

/// Merkle and Sampling, to be called from tests.
contract MerkleHarness {
    function depth(uint256 size) external pure returns (uint8) {
        return Merkle.depth(size);
    }

    function widthAt(uint256 size, uint256 level) external pure returns (uint256) {
        return Merkle.widthAt(size, level);
    }

    function climb(bytes32 node, uint256 index, uint256 width, bytes32[] calldata path, uint256 levels)
        external
        view
        returns (bytes32)
    {
        return Merkle.climb(node, index, width, path, levels);
    }

    /// Of words that stand between two others, which come back with the root.
    function climbTogether(bytes32[] calldata nodes, uint256 index, uint256 width, bytes32[] calldata path)
        external
        view
        returns (bytes32 root, bytes32[2] memory beside)
    {
        bytes32[] memory words = new bytes32[](nodes.length + 4);
        uint256 at;
        assembly ("memory-safe") {
            at := add(words, 0x60)
            calldatacopy(at, nodes.offset, shl(5, nodes.length))
        }
        root = Merkle.climbTogether(at, nodes.length, index, width, path);
        beside = [words[0], words[nodes.length + 3]];
    }

    function fold(bytes32[] calldata nodes) external view returns (bytes32) {
        return Merkle.fold(nodes);
    }

    function listLeaf(uint64 index, bytes32 item) external view returns (bytes32) {
        return Merkle.listLeaf(index, item);
    }

    function listRoot(uint64 index, bytes32 item, uint64 size, bytes32[] calldata path)
        external
        view
        returns (bytes32)
    {
        return Merkle.listRoot(index, item, size, path);
    }

    function tensorItem(uint8 dtype, uint64 count, bytes32 elements) external view returns (bytes32) {
        return Merkle.tensorItem(dtype, count, elements);
    }

    function elementLeaf(bytes calldata data) external view returns (bytes32) {
        return Merkle.elementLeaf(data);
    }

    function nodeItem(Node calldata node) external view returns (bytes32) {
        return Merkle.nodeItem(Records.encodingOf(node));
    }

    /// A record as it is copied, and what is put behind it in memory.
    function encodingOf(Node calldata node) external pure returns (bytes memory record, bytes memory behind) {
        record = Records.encodingOf(node);
        behind = new bytes(32);
        behind[0] = 0xff;
    }

    function headerRoot(Header calldata header) external view returns (bytes32) {
        return Merkle.headerRoot(header);
    }

    function reportItem(address owner, uint64 step, bytes32 salt, bytes32 reports) external pure returns (bytes32) {
        return Merkle.reportItem(owner, step, salt, reports);
    }

    function permute(uint64 seed, uint64 epoch, uint64 position, uint64 rows) external pure returns (uint64) {
        return Sampling.permute(seed, epoch, position, rows);
    }

    /// Images of position, position + 1, ...
    function permuteMany(uint64 seed, uint64 epoch, uint64 position, uint64 rows, uint256 count)
        external
        pure
        returns (uint64[] memory images)
    {
        images = new uint64[](count);
        for (uint64 i = 0; i < count; ++i) {
            images[i] = Sampling.permute(seed, epoch, position + i, rows);
        }
    }
}
