// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// Play money: anyone mints. For local chains only.
contract TestToken is ERC20 {
    constructor() ERC20("Assay test token", "TEST") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
