// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// A moment, in unix seconds.
type Instant is uint64;

/// What one side has left of its time, in seconds. It runs from the `Instant` at which its side got
/// the move, is charged when that side moves, and is never added to.
type Clock is uint32;

using Clocks for Clock global;

library Clocks {
    function current() internal view returns (Instant) {
        return Instant.wrap(uint64(block.timestamp));
    }

    function create(uint32 secondsLeft) internal pure returns (Clock) {
        return Clock.wrap(secondsLeft);
    }

    /// Seconds by which a clock running since `since` has exceeded its time; 0 while it has not.
    function overrun(Clock clock, Instant since) internal view returns (uint256) {
        uint256 elapsed = block.timestamp - Instant.unwrap(since);
        uint256 left = Clock.unwrap(clock);
        return elapsed > left ? elapsed - left : 0;
    }

    /// Seconds that are left of a clock running since `since`.
    function remaining(Clock clock, Instant since) internal view returns (uint256) {
        uint256 elapsed = block.timestamp - Instant.unwrap(since);
        uint256 left = Clock.unwrap(clock);
        return left > elapsed ? left - elapsed : 0;
    }

    /// The clock when it is stopped now. Callers check `overrun` first.
    function charge(Clock clock, Instant since) internal view returns (Clock) {
        return Clock.wrap(uint32(remaining(clock, since))); // at most what the clock held: 32 bits
    }
}
