// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// What a random word decides. Reducing 256 bits modulo a smaller number is biased by less than
/// 2^-240, as no modulus here is above 2^9.
library Draw {
    /// A word of its own for each use, so that the draws from one seed are independent.
    function word(bytes32 seed, uint256 use) internal pure returns (bytes32) {
        return keccak256(abi.encode(seed, use));
    }

    /// Uniform number below `below`.
    function number(bytes32 seed, uint256 use, uint256 below) internal pure returns (uint256) {
        return uint256(word(seed, use)) % below;
    }

    /// Uniform subset of `size` of the numbers 0 .. among - 1, as a bit mask; size <= among <= 256.
    /// Floyd's method: one random number for each member, no retries.
    function subset(bytes32 seed, uint256 size, uint256 among) internal pure returns (uint256 mask) {
        for (uint256 last = among - size; last < among; ++last) {
            uint256 bit = 1 << number(seed, last, last + 1);
            mask |= mask & bit == 0 ? bit : 1 << last;
        }
    }
}
