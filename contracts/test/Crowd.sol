// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IStakes} from "../interfaces/IStakes.sol";
import {IVerifiers} from "../interfaces/IVerifiers.sol";
import {TestToken} from "./TestToken.sol";

/// A verifier with one unit.
contract Member {
    constructor(IVerifiers verifiers) {
        IStakes stakes = IStakes(verifiers.stakes());
        TestToken token = TestToken(stakes.token());
        uint256 stake = verifiers.unitStake();
        token.mint(address(this), stake);
        token.approve(address(stakes), stake);
        stakes.deposit(stake);
        stakes.approveLocker(address(verifiers), true);
        verifiers.offer(1);
    }
}

/// Makes as many verifiers as somebody pays the gas for.
contract Crowd {
    IVerifiers private immutable _verifiers;

    constructor(IVerifiers verifiers) {
        _verifiers = verifiers;
    }

    function grow(uint256 count) external {
        for (uint256 i; i < count; ++i) {
            new Member(_verifiers);
        }
    }
}
