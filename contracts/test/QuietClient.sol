// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ICourtClient} from "../interfaces/ICourt.sol";

/// A court's client that does with it what anybody tells it to, and takes every verdict.
contract QuietClient is ICourtClient {
    function act(address court, bytes calldata call) external {
        (bool ok, bytes memory result) = court.call(call);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(result, 0x20), mload(result))
            }
        }
    }

    function onVerdict(uint256 dispute, uint96 matter, bool solverGuilty) external {}
}
