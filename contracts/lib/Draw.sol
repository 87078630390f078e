// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// What a random word decides. Reducing 256 bits modulo a smaller number is biased by less than
/// 2^-120, as no modulus here is above 2^136.
library Draw {
    /// Uniform number below `below`; `use` keeps the draws from one seed independent.
    function number(bytes32 seed, uint256 use, uint256 below) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, use))) % below;
    }

    /// Uniform subset of `size` of the numbers 0 .. among - 1, as a bit mask; size <= among <= 256.
    /// Floyd's method: one random number for each member, no retries.
    function subset(bytes32 seed, uint256 size, uint256 among) internal pure returns (uint256 mask) {
        for (uint256 last = among - size; last < among; ++last) {
            uint256 bit = 1 << number(seed, last, last + 1);
            mask |= mask & bit == 0 ? bit : 1 << last;
        }
    }

    /// Index drawn with a chance in proportion to its weight. The sum of the weights must not be zero.
    function weighted(bytes32 seed, uint256 use, uint256[] memory weights) internal pure returns (uint256 index) {
        uint256 total;
        for (uint256 i; i < weights.length; ++i) {
            total += weights[i];
        }
        uint256 point = number(seed, use, total);
        while (point >= weights[index]) {
            point -= weights[index++];
        }
    }
}
