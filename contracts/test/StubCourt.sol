// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ICourt, ICourtClient} from "../interfaces/ICourt.sol";
import {Claim} from "../interfaces/Types.sol";

/// A court that decides as it is told to: what the market sees of `ICourt`, and no game.
contract StubCourt {
    uint256 public disputes;
    mapping(uint256 dispute => address) public clientOf;
    mapping(uint256 dispute => bool) public isClosed;
    mapping(uint256 dispute => uint32) public clockOf;
    mapping(uint256 dispute => uint96) public matterOf;
    mapping(uint256 dispute => uint256) public wordOf;
    mapping(uint256 dispute => Claim) private _claims;

    error Closed(uint256 dispute);

    function open(Claim calldata claim, uint32 clock, uint96 matter) external returns (uint256 dispute) {
        return _open(claim, clock, matter);
    }

    function demand(Claim calldata claim, uint256 word, uint32 clock, uint96 matter)
        external
        returns (uint256 dispute)
    {
        dispute = _open(claim, clock, matter);
        wordOf[dispute] = word;
    }

    function _open(Claim calldata claim, uint32 clock, uint96 matter) private returns (uint256 dispute) {
        dispute = disputes++;
        clockOf[dispute] = clock;
        matterOf[dispute] = matter;
        clientOf[dispute] = msg.sender;
        _claims[dispute] = claim;
    }

    function decide(uint256 dispute, bool solverGuilty) external {
        _close(dispute);
        ICourtClient(clientOf[dispute]).onVerdict(dispute, matterOf[dispute], solverGuilty);
    }

    /// What an honest court never does: decides twice, or what was never opened.
    function decideAgain(address client, uint256 dispute, bool solverGuilty) external {
        ICourtClient(client).onVerdict(dispute, matterOf[dispute], solverGuilty);
    }

    /// Of `ICourt.dispute`, what a client asks for.
    function dispute(uint256 id) external view returns (ICourt.Dispute memory d) {
        d.client = clientOf[id];
        d.matter = matterOf[id];
    }

    function claimOf(uint256 dispute) external view returns (Claim memory) {
        return _claims[dispute];
    }

    function _close(uint256 dispute) private {
        if (isClosed[dispute]) revert Closed(dispute);
        isClosed[dispute] = true;
    }
}
