// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Float32} from "./Float32.sol";

/// Random numbers by counter: Philox-4x32-10 of Salmon et al., "Parallel random numbers: as easy as
/// 1, 2, 3" (2011). `worker/exact/reference.py` is the twin.
library Philox {
    uint256 private constant LOW = 0xffffffff;

    /// Four words of 32 bits from a counter of four and a key of two.
    function words(uint256[4] memory counter, uint256 keyLow, uint256 keyHigh)
        internal
        pure
        returns (uint256[4] memory)
    {
        (uint256 a, uint256 b, uint256 c, uint256 d) = (counter[0], counter[1], counter[2], counter[3]);
        // Words of 32 bits: their products and sums are far from 256.
        unchecked {
            for (uint256 round = 0; round < 10; ++round) {
                uint256 first = a * 0xd2511f53;
                uint256 second = c * 0xcd9e8d57;
                (a, c) = ((second >> 32) ^ b ^ keyLow, (first >> 32) ^ d ^ keyHigh);
                (b, d) = (second & LOW, first & LOW);
                keyLow = (keyLow + 0x9e3779b9) & LOW;
                keyHigh = (keyHigh + 0xbb67ae85) & LOW;
            }
        }
        return [a, b, c, d];
    }

    /// The f32 in [0, 1) that an element of a node gets in a step of the job with this seed: the upper
    /// 24 bits of its word, as a fraction.
    function uniform(uint64 seed, uint64 step, uint32 node, uint64 element) internal pure returns (uint32) {
        uint256 group = element >> 2;
        uint256[4] memory counter = [group & LOW, group >> 32, node, step & LOW];
        uint256 word = words(counter, seed & LOW, seed >> 32)[element & 3];
        return Float32.fromScaled(int256(word >> 8), -24);
    }
}
