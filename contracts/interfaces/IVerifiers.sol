// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Who stands ready to verify, in units, and the draw over them. Belongs to one market for good.
///
/// A unit is a ticket of every draw and a stake of `unitStake`, which is locked in `IStakes` as long as
/// it is offered, and longer: a draw looks at the units **as they were at the end of the block before
/// the one in which it was armed**. So nothing that anyone does from then on, in whatever order, changes
/// who is drawn, and what is offered no more may still be drawn for `drawTime`.
///
/// What a verifier is fined comes out of its units, whichever of its duties it was for; what is left
/// below a whole unit is offered no more. How many duties a unit has at a time, nobody limits: its owner
/// offers what it can serve.
interface IVerifiers {
    /// From the next block on. Also where a fine has left fewer than there were.
    event Offered(address indexed verifier, uint256 units);

    error BadParameter(bytes32 name);
    error NotMarket(address caller);
    error AlreadyOffered(address verifier, uint256 units);
    error TooManyUnits(uint256 units, uint256 most);
    error OnDuty(address verifier, uint256 duties);
    error StillDrawable(address verifier, uint64 until);
    error NothingToRelease(address verifier);
    error DrawOver(uint64 until);

    /// Sets the caller's units: what they need beyond what is locked for the caller here is locked, and
    /// for that this contract must be a locker of its stake. Fewer free nothing yet: `release` does.
    function offer(uint256 units) external;
    /// Frees the stake that a verifier's units do not need. Anyone may call, from `drawTime` after they
    /// became fewer, while the verifier has no duty.
    function release(address verifier) external;

    // The market only.
    /// Draws, and gives the drawn verifier a duty; nobody, the zero address, where there are no units.
    /// `armedAt`: the time of block `armedBlock`. Not later than `drawTime` after it.
    function draw(uint256 armedBlock, uint256 armedAt, bytes32 word, address[] calldata excluded)
        external
        returns (address verifier);
    /// Ends a duty. Of the verifier's stake here up to `fine` is burned.
    function done(address verifier, uint256 fine) external returns (uint256 fined);

    /// Whom `word` draws where the draw was armed in `armedBlock`: the owner of a unit, each with the same
    /// chance, of all units then but those of `excluded`. The word is a number of 256 bits, so that of u
    /// units none is likelier than another by more than u / 2^256.
    function pick(uint256 armedBlock, bytes32 word, address[] calldata excluded) external view returns (address);

    function unitsOf(address verifier) external view returns (uint256);
    /// All that is offered now.
    function units() external view returns (uint256);
    function duties(address verifier) external view returns (uint256);
    /// What `release` would free, and the last second in which it would not; there may be duties too.
    function releasable(address verifier) external view returns (uint256 amount, uint64 until);
    /// How many have ever offered something; each has its place for good.
    function places() external view returns (uint256);
    function market() external view returns (address);
    function stakes() external view returns (address);
    function unitStake() external view returns (uint96);
    /// Seconds from the arming of a draw within which it is made, or never.
    function drawTime() external view returns (uint32);
}
