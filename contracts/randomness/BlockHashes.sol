// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";

import {IRandomness} from "../interfaces/IRandomness.sol";

/// A source whose words are in this chain's own blocks: a draw uses the block that comes `delay` blocks
/// after the one in which it is armed.
///
/// The hash of an earlier block is, by this rule and in this order:
/// 1. what was proven here before;
/// 2. what BLOCKHASH says of the last 256 blocks;
/// 3. what the contract of EIP-2935 says of the last 8191, where the chain has it and this was deployed
///    to ask it (`history`);
/// 4. for any other block, what the headers say: a header hashes to a hash that is known, and holds that
///    of the block before. So every hash can be proven for as long as somebody has the headers, which
///    every archive has, and a long way in several transactions: each `prove` begins where another ended.
abstract contract BlockHashes is IRandomness {
    /// The hash of a block stays known from now on.
    event Proven(uint256 indexed number, bytes32 hash);

    /// A delay shorter than `least` blocks lets those know the word who can still choose what they arm.
    error DelayTooShort(uint32 delay, uint32 least);
    /// The chain has no contract of EIP-2935.
    error NoHistory();
    /// Begin with the header of a block whose hash is known.
    error UnknownHash(uint256 number);
    /// These bytes do not hash to what that block does.
    error WrongHeader(uint256 number);

    /// Blocks from the one in which a draw is armed to the one whose word decides it.
    uint32 public immutable delay;
    /// Whether the contract of EIP-2935 is asked.
    bool public immutable history;

    mapping(uint256 number => bytes32) private _proven;

    constructor(uint32 delay_, uint32 least, bool history_) {
        if (delay_ < least) revert DelayTooShort(delay_, least);
        if (history_ && Blockhash.HISTORY_STORAGE_ADDRESS.code.length == 0) revert NoHistory();
        (delay, history) = (delay_, history_);
    }

    /// @inheritdoc IRandomness
    function next() external view returns (uint256) {
        return block.number + delay;
    }

    /// The hash of an earlier block, or zero where it has to be proven first.
    function hashOf(uint256 number) public view returns (bytes32 hash) {
        if (number >= block.number) return 0;
        hash = _proven[number];
        if (hash == 0) hash = history ? Blockhash.blockHash(number) : blockhash(number);
    }

    /// Makes the hash of a block known for good. Anyone may call.
    /// headers: the RLP of every header from that of a block whose hash is known back to that of block
    /// `number + 1`, in this order; none where the hash itself is known, and is to outlast its time.
    function prove(uint256 number, bytes[] calldata headers) external {
        _prove(number, headers);
    }

    function _prove(uint256 number, bytes[] memory headers) internal returns (bytes32 hash) {
        if (number >= block.number) revert NotYet(number);
        if (_proven[number] != 0) revert AlreadyKept(number);
        uint256 at = number + headers.length;
        hash = hashOf(at);
        if (hash == 0) revert UnknownHash(at);
        for (uint256 i; i < headers.length; ++i) {
            _check(at - i, hash, headers[i]);
            hash = BlockHeader.getParentHash(headers[i]);
        }
        _proven[number] = hash;
        emit Proven(number, hash);
    }

    /// Whether these bytes are the header of the block that has this hash.
    function _check(uint256 number, bytes32 hash, bytes memory header) internal pure {
        if (keccak256(header) != hash) revert WrongHeader(number);
    }
}
