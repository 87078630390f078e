// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// Keeps a fee of every transfer, one unit unless told otherwise: less arrives than was sent. While the
/// fee is the greatest of numbers, no token moves.
contract FeeToken is ERC20 {
    uint256 public fee = 1;

    constructor() ERC20("Fee on transfer", "FEE") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setFee(uint256 fee_) external {
        fee = fee_;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(fee != type(uint256).max, "frozen");
        if (from == address(0) || to == address(0) || value < fee) {
            super._update(from, to, value);
            return;
        }
        super._update(from, to, value - fee);
        super._update(from, address(0), fee);
    }
}
