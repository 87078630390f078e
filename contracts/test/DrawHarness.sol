// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Draw} from "../lib/Draw.sol";

/// Lets tests call the library.
contract DrawHarness {
    function subset(bytes32 seed, uint256 size, uint256 among) external pure returns (uint256) {
        return Draw.subset(seed, size, among);
    }
}
