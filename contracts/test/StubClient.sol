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

    uint96 private constant MATTER = type(uint96).max - 1; // what it calls every dispute

    ICourt private immutable _court;
    Verdict[] private _verdicts;
    bool private _failing;

    constructor(ICourt court) {
        _court = court;
    }

    function open(Claim calldata claim, uint32 clock) external {
        _court.open(claim, clock, MATTER);
    }

    function demand(Claim calldata claim, uint256 word, uint32 clock) external {
        _court.demand(claim, word, clock, MATTER);
    }

    function setFailing(bool failing) external {
        _failing = failing;
    }

    function onVerdict(uint256 dispute, uint96 matter, bool solverGuilty) external {
        require(msg.sender == address(_court) && matter == MATTER && !_failing, "refused");
        _verdicts.push(Verdict(dispute, solverGuilty));
    }

    function verdicts() external view returns (Verdict[] memory) {
        return _verdicts;
    }
}
