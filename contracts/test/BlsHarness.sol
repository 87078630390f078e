// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Bls} from "../lib/Bls.sol";

/// The library's parts, one by one.
contract BlsHarness {
    function hashToG1(bytes32 message, bytes calldata tag) external view returns (bool done, bytes memory point) {
        return Bls.hashToG1(message, tag);
    }

    function compressed(bytes calldata point) external pure returns (bytes memory) {
        return Bls.compressed(point);
    }
}
