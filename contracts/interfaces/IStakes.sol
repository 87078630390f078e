// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Deposits that answer for work. A worker names the contracts ("lockers") that may lock its stake;
/// a locker can lock what is free, release it, slash what it has locked itself or award it to another
/// worker, and nothing else. Tokens move where their owner calls, and in `sweep`: no token can stop a
/// fine or an award. Nobody owns this contract.
interface IStakes {
    event Deposited(address indexed worker, uint256 amount);
    event LockerApproved(address indexed worker, address indexed locker, bool approved);
    event Locked(address indexed worker, address indexed locker, uint256 amount);
    event Released(address indexed worker, address indexed locker, uint256 amount);
    event Slashed(address indexed worker, address indexed locker, uint256 amount);
    event Awarded(address indexed worker, address indexed locker, address indexed to, uint256 amount);
    event Swept(uint256 amount);
    event UnbondingStarted(address indexed worker, uint256 amount, uint64 availableAt);
    event Withdrawn(address indexed worker, uint256 amount);

    error NoToken();
    error ZeroAmount();
    error NotApproved(address worker, address locker);
    error NotEnoughFree(address worker, uint256 free, uint256 needed);
    error NotEnoughLocked(address worker, address locker, uint256 locked, uint256 needed);
    error StillUnbonding(uint64 availableAt);
    error NothingUnbonding(address worker);
    error WrongAmountReceived(uint256 received, uint256 expected);
    error TooMuch(uint256 held, uint256 most);
    error NothingBurned();

    function deposit(uint256 amount) external;
    /// An approval taken back forbids new locks; what is locked stays locked until its locker ends it.
    function approveLocker(address locker, bool approved) external;
    /// Takes `amount` of the free stake out of service; it may be withdrawn after `unbondingDelay`.
    /// A second call adds to the first and restarts the delay for both.
    function unbond(uint256 amount) external;
    function withdraw() external;
    /// Sends all that was burned to the address that nobody has. Anyone may call.
    function sweep() external;

    // Lockers only.
    function lock(address worker, uint256 amount) external;
    function release(address worker, uint256 amount) external;
    /// Burns `amount` of what the caller has locked: nobody has it any more, see `sweep`.
    function slash(address worker, uint256 amount) external;
    /// Moves `amount` of what the caller has locked to the free stake of `to`, who need not be a worker yet.
    function award(address worker, address to, uint256 amount) external;

    function free(address worker) external view returns (uint256);
    /// What `locker` could lock now: the free stake, or nothing where it is not approved.
    function available(address worker, address locker) external view returns (uint256);
    function locked(address worker, address locker) external view returns (uint256);
    function unbonding(address worker) external view returns (uint256 amount, uint64 availableAt);
    function isLocker(address worker, address locker) external view returns (bool);
    /// What was slashed and has not been swept yet.
    function burned() external view returns (uint256);
    function token() external view returns (address);
    function unbondingDelay() external view returns (uint64);
}
