// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {BlockHashes} from "./BlockHashes.sol";
import {IRandomness} from "../interfaces/IRandomness.sol";

/// The hash of a block as its word.
///
/// **Bias.** Whoever proposes the named block chooses among as many hashes as it can compute before its
/// time is up, by what it puts into the block: it decides what is drawn, and gives up nothing for it. So
/// this is for a chain of one's own, or one whose proposers are trusted with the draw. It is the
/// cheapest source: no proof is brought while the block's hash can be asked for.
contract BlockhashRandomness is BlockHashes {
    constructor(uint32 delay_, bool history_) BlockHashes(delay_, 1, history_) {}

    /// @inheritdoc IRandomness
    function kind() external pure returns (bytes32) {
        return "blockhash";
    }

    /// @inheritdoc IRandomness
    function word(uint256 id) external view returns (bytes32 found) {
        if (id >= block.number) revert NotYet(id);
        found = hashOf(id);
        if (found == 0) revert NotKept(id);
    }

    /// @inheritdoc IRandomness
    /// @param proof `abi.encode(bytes[] headers)`, of which `prove` says what they are.
    function keep(uint256 id, bytes calldata proof) external {
        emit Kept(id, _prove(id, abi.decode(proof, (bytes[]))));
    }
}
