// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ICourt, ICourtClient} from "../interfaces/ICourt.sol";
import {Claim} from "../interfaces/Types.sol";

/// Opens disputes and writes down what it is told of them.
contract StubClient is ICourtClient {
    struct Verdict {
        uint256 dispute;
        bool solverGuilty;
    }

    ICourt private immutable _court;
    Verdict[] private _verdicts;
    bool private _failing;

    constructor(ICourt court) {
        _court = court;
    }

    function open(Claim calldata claim, uint32 clock) external {
        _court.open(claim, clock);
    }

    function demand(Claim calldata claim, uint256 word, uint32 clock) external {
        _court.demand(claim, word, clock);
    }

    function dismiss(uint256 dispute) external {
        _court.dismiss(dispute);
    }

    function setFailing(bool failing) external {
        _failing = failing;
    }

    function onVerdict(uint256 dispute, bool solverGuilty) external {
        require(msg.sender == address(_court) && !_failing, "refused");
        _verdicts.push(Verdict(dispute, solverGuilty));
    }

    function verdicts() external view returns (Verdict[] memory) {
        return _verdicts;
    }
}
