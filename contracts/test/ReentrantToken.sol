// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A token whose every transfer calls back, once armed. It holds accounts of its own, so that the
/// call back may come from someone with rights in the contract under attack.
contract ReentrantToken is ERC20 {
    address public target;
    bytes public data;
    uint256 public attempts;
    bool public succeeded;
    bytes public answer;

    constructor() ERC20("Calls back", "BACK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
        (attempts, succeeded, answer) = (0, false, "");
    }

    /// Lets the token act as a party of its own.
    function act(address to, bytes calldata call) external returns (bytes memory result) {
        bool ok;
        (ok, result) = to.call(call);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(result, 0x20), mload(result))
            }
        }
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target == address(0) || attempts != 0) return;
        ++attempts;
        (succeeded, answer) = target.call(data);
    }
}
