// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// As old tokens that many hold: six decimals, no return values, no reasons, and an allowance that can
/// only be changed from or to nothing.
contract SternToken {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    uint256 public totalSupply;

    function decimals() external pure returns (uint8) {
        return 6;
    }

    /// Thirty-two bytes, where others have text.
    function symbol() external pure returns (bytes32) {
        return "STERN";
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        totalSupply += amount;
    }

    function approve(address spender, uint256 amount) external {
        _check(amount == 0 || allowance[msg.sender][spender] == 0);
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _check(allowance[from][msg.sender] >= amount);
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        _check(balanceOf[from] >= amount);
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }

    function _check(bool holds) private pure {
        if (!holds) {
            assembly ("memory-safe") {
                revert(0, 0)
            }
        }
    }
}
