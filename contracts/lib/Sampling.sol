// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Which row of the data set a step reads: a keyed permutation of [0, rows) for each epoch, so that
/// no order repeats and no list is stored. `worker/jobs/sampling.py` is the twin.
library Sampling {
    /// Image of `position` under the permutation of [0, rows) that `seed` and `epoch` select.
    /// Callers check that position < rows <= 2^32.
    function permute(uint64 seed, uint64 epoch, uint64 position, uint64 rows) internal pure returns (uint64) {
        uint256 keys = uint256(sha256(abi.encodePacked(seed, epoch)));
        uint256 half = halfBits(rows);
        uint256 mask = (1 << half) - 1;
        uint256 x = position;
        // A Feistel network permutes [0, 4^half), which has [0, rows) inside it. Following a cycle of
        // that permutation from within [0, rows) until it is back inside always ends.
        do {
            uint256 left = x >> half;
            uint256 right = x & mask;
            for (uint256 shift = 224; shift >= 64; shift -= 32) {
                (left, right) = (right, left ^ (mix(right ^ (keys >> shift)) & mask));
            }
            x = (left << half) | right;
        } while (x >= rows);
        return uint64(x); // x < rows
    }

    /// max(1, ceil(bitlength(rows - 1) / 2)).
    function halfBits(uint64 rows) internal pure returns (uint256 half) {
        half = 1;
        while (uint256(1) << (2 * half) < rows) ++half;
    }

    /// MurmurHash3's 32-bit finalizer, of the low 32 bits of `x`.
    function mix(uint256 x) internal pure returns (uint256) {
        // Products of a 32-bit and a 32-bit number: no overflow.
        unchecked {
            x &= 0xffffffff;
            x ^= x >> 16;
            x = (x * 0x85ebca6b) & 0xffffffff;
            x ^= x >> 13;
            x = (x * 0xc2b2ae35) & 0xffffffff;
            return x ^ (x >> 16);
        }
    }
}
