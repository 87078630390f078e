// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IRandomness} from "./interfaces/IRandomness.sol";

/// The hash of a block as its randomness. Whoever proposes that block can choose between its hash and
/// giving the block up, so the stakes drawn by it must be worth less than a block. A chain whose
/// block hashes are not random needs another source.
contract BlockhashRandomness is IRandomness {
    /// How far back the EVM looks.
    uint256 public constant REACH = 256;

    /// @inheritdoc IRandomness
    function randomness(uint256 blockNumber) external view returns (bytes32) {
        if (blockNumber >= block.number) revert NotYet(blockNumber);
        if (isLost(blockNumber)) revert TooLate(blockNumber);
        return blockhash(blockNumber);
    }

    /// @inheritdoc IRandomness
    function isLost(uint256 blockNumber) public view returns (bool) {
        return blockNumber < block.number && block.number - blockNumber > REACH;
    }
}
