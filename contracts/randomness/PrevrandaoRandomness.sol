// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";

import {BlockHashes} from "./BlockHashes.sol";
import {IRandomness} from "../interfaces/IRandomness.sol";

/// What PREVRANDAO was in a block as its word: the beacon chain's mix of its proposers' reveals, read
/// out of that block's header.
///
/// **Bias.** The mix in a block is that after the proposer before it. A proposer cannot choose its
/// reveal, but can give up its block to keep it out of the mix: one bit, for the price of a block, and
/// k bits for k blocks in a row before the named one. So what is drawn must be worth less than that.
/// The proposer of the block in which a draw is armed knows the mix of the next block already, hence
/// a delay of two blocks at the least. A chain that has no such mix, and a constant instead, is refused
/// where the constant is zero; do not deploy this to the others.
contract PrevrandaoRandomness is BlockHashes {
    /// The block that this is deployed in has none.
    error NoPrevrandao();

    mapping(uint256 id => bytes32) private _kept;

    constructor(uint32 delay_, bool history_) BlockHashes(delay_, 2, history_) {
        if (block.prevrandao == 0) revert NoPrevrandao();
    }

    /// @inheritdoc IRandomness
    function kind() external pure returns (bytes32) {
        return "prevrandao";
    }

    /// @inheritdoc IRandomness
    function word(uint256 id) external view returns (bytes32 found) {
        found = _kept[id];
        if (found != 0) return found;
        if (id >= block.number) revert NotYet(id);
        revert NotKept(id);
    }

    /// @inheritdoc IRandomness
    /// @param proof The RLP of the header of block `id`, whose hash is known: `prove` it first where it is
    /// not.
    function keep(uint256 id, bytes calldata proof) external {
        if (id >= block.number) revert NotYet(id);
        if (_kept[id] != 0) revert AlreadyKept(id);
        bytes32 hash = hashOf(id);
        if (hash == 0) revert UnknownHash(id);
        _check(id, hash, proof);
        bytes32 found = BlockHeader.getPrevRandao(proof);
        if (found == 0) revert ZeroWord(id);
        _kept[id] = found;
        emit Kept(id, found);
    }
}
