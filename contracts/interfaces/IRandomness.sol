// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Where the draw's randomness comes from; a beacon or a VRF may stand behind it.
interface IRandomness {
    /// The source has not produced the value of this block yet.
    error NotYet(uint256 blockNumber);
    /// The source no longer knows the value of this block.
    error TooLate(uint256 blockNumber);

    function randomness(uint256 blockNumber) external view returns (bytes32);
    /// True once `randomness(blockNumber)` can never be had again.
    function isLost(uint256 blockNumber) external view returns (bool);
}
