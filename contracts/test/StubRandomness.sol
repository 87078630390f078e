// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IRandomness} from "../interfaces/IRandomness.sol";

/// Words of blocks that stay known for ever, for tests on a machine without headers.
contract StubRandomness is IRandomness {
    uint32 private immutable _delay;

    constructor(uint32 delay) {
        _delay = delay;
    }

    function next() external view returns (uint256) {
        return block.number + _delay;
    }

    function word(uint256 id) external view returns (bytes32) {
        if (id >= block.number) revert NotYet(id);
        return keccak256(abi.encode(id));
    }

    function keep(uint256 id, bytes calldata) external pure {
        revert AlreadyKept(id);
    }

    function kind() external pure returns (bytes32) {
        return "stub";
    }
}
