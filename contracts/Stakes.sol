// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IStakes} from "./interfaces/IStakes.sol";

/// The vault behind `IStakes`.
contract Stakes is IStakes, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    struct Account {
        uint128 free;
        uint128 unbonding; // shares a slot with `free`: unbonding moves from one to the other
        uint64 availableAt;
    }

    address private constant BURNED = 0x000000000000000000000000000000000000dEaD;

    /// @inheritdoc IStakes
    address public immutable token;
    /// @inheritdoc IStakes
    uint64 public immutable unbondingDelay;
    /// @inheritdoc IStakes
    uint256 public burned;

    mapping(address worker => Account) private _accounts;
    mapping(address worker => mapping(address locker => uint256)) private _locked;
    mapping(address worker => mapping(address locker => bool)) private _isLocker;

    constructor(address token_, uint64 unbondingDelay_) {
        if (token_ == address(0)) revert NoToken();
        token = token_;
        unbondingDelay = unbondingDelay_;
    }

    /// @inheritdoc IStakes
    function deposit(uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        _accounts[msg.sender].free += amount.toUint128();
        emit Deposited(msg.sender, amount);

        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert WrongAmountReceived(received, amount);
        // So that no sum of stakes overflows, and no award or release can fail.
        if (before + amount > type(uint128).max) revert TooMuch(before + amount, type(uint128).max);
    }

    /// @inheritdoc IStakes
    function approveLocker(address locker, bool approved) external {
        _isLocker[msg.sender][locker] = approved;
        emit LockerApproved(msg.sender, locker, approved);
    }

    /// @inheritdoc IStakes
    function unbond(uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        Account storage account = _accounts[msg.sender];
        account.free = _less(msg.sender, account.free, amount);
        account.unbonding += amount.toUint128();
        account.availableAt = (block.timestamp + unbondingDelay).toUint64();
        emit UnbondingStarted(msg.sender, amount, account.availableAt);
    }

    /// @inheritdoc IStakes
    function withdraw() external nonReentrant {
        Account storage account = _accounts[msg.sender];
        uint256 amount = account.unbonding;
        if (amount == 0) revert NothingUnbonding(msg.sender);
        if (block.timestamp < account.availableAt) revert StillUnbonding(account.availableAt);
        account.unbonding = 0;
        account.availableAt = 0;
        emit Withdrawn(msg.sender, amount);

        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakes
    function lock(address worker, uint256 amount) external nonReentrant {
        if (!_isLocker[worker][msg.sender]) revert NotApproved(worker, msg.sender);
        Account storage account = _accounts[worker];
        account.free = _less(worker, account.free, amount);
        _locked[worker][msg.sender] += amount;
        emit Locked(worker, msg.sender, amount);
    }

    /// @inheritdoc IStakes
    // Needs no approval: stake that was locked under one must be free to return without it.
    function release(address worker, uint256 amount) external nonReentrant {
        _unlock(worker, amount);
        _accounts[worker].free += amount.toUint128();
        emit Released(worker, msg.sender, amount);
    }

    /// @inheritdoc IStakes
    // Needs no approval: taking it back would be a way out of every punishment.
    function slash(address worker, uint256 amount) external nonReentrant {
        _unlock(worker, amount);
        burned += amount;
        emit Slashed(worker, msg.sender, amount);
    }

    /// @inheritdoc IStakes
    // Needs no approval, as `slash`.
    function award(address worker, address to, uint256 amount) external nonReentrant {
        _unlock(worker, amount);
        _accounts[to].free += amount.toUint128();
        emit Awarded(worker, msg.sender, to, amount);
    }

    /// @inheritdoc IStakes
    function sweep() external nonReentrant {
        uint256 amount = burned;
        if (amount == 0) revert NothingBurned();
        burned = 0;
        emit Swept(amount);

        IERC20(token).safeTransfer(BURNED, amount);
    }

    /// @inheritdoc IStakes
    function free(address worker) external view returns (uint256) {
        return _accounts[worker].free;
    }

    /// @inheritdoc IStakes
    function available(address worker, address locker) external view returns (uint256) {
        return _isLocker[worker][locker] ? _accounts[worker].free : 0;
    }

    /// @inheritdoc IStakes
    function locked(address worker, address locker) external view returns (uint256) {
        return _locked[worker][locker];
    }

    /// @inheritdoc IStakes
    function unbonding(address worker) external view returns (uint256 amount, uint64 availableAt) {
        return (_accounts[worker].unbonding, _accounts[worker].availableAt);
    }

    /// @inheritdoc IStakes
    function isLocker(address worker, address locker) external view returns (bool) {
        return _isLocker[worker][locker];
    }

    function _less(address worker, uint128 has, uint256 amount) private pure returns (uint128) {
        if (amount > has) revert NotEnoughFree(worker, has, amount);
        return has - uint128(amount); // no truncation: amount <= has
    }

    function _unlock(address worker, uint256 amount) private {
        uint256 has = _locked[worker][msg.sender];
        if (amount > has) revert NotEnoughLocked(worker, msg.sender, has, amount);
        _locked[worker][msg.sender] = has - amount;
    }
}
