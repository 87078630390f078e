// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ICourtClient} from "./ICourt.sol";
import {Job} from "./Types.sol";

/// Accusations of what a solver has committed, and the queue in which the court hears them.
///
/// An accusation is filed sealed, with a bond; unsealed within `openTime`; heard when its turn comes.
/// One dispute of a task runs at a time, and the others have no clock. An accusation's number is its
/// place in the order of filing within its task, from 0. A bond is stake: whoever accuses has approved
/// this contract as a locker of its stake. From the first undecided accusation to the last decided one
/// the market holds the task.
interface IDisputes is ICourtClient {
    enum Standing {
        None,
        Sealed, // filed; unsealed within `openTime`, or it lapses
        Waiting, // unsealed, or a demand: its turn comes
        Running, // the court hears it
        Convicting, // the court has found the solver guilty by it: bond returned by `punish`
        Lost, // the court has found nothing: `bond` to the solver, the rest burned
        Lapsed, // not unsealed in time: all of it burned
        Moot // another one convicted: bond returned
    }

    struct Accusation {
        address accuser;
        uint64 filedAt; // unix time
        uint32 committed; // segments that were committed when it was filed
        uint32 segment; // 0 until unsealed
        Standing standing;
        bool privileged; // the drawn verifier's first after the draw: plain bond, next turn
        bool isDemand;
        uint128 bond;
        bytes32 finding; // the seal, until unsealed; then what the accuser found; of a demand, its word
    }

    struct Queue {
        uint32 filed; // accusations ever filed
        uint32 plain; // of these, not privileged: the next such one has a bond of (plain + 1) times `bond`
        uint32 undecided; // Sealed, Waiting or Running; after a conviction, those not yet dismissed
        uint32 head; // none before it is undecided, the privileged one aside
        uint32 privileged; // number of the one that was ever filed, plus one
        uint32 running; // number of the one that the court hears, plus one
        uint32 convicting; // number of the one that convicted, plus one
        uint64 dispute; // of the court: the one that runs, else the last that ran
        uint64 convictedAt; // unix time
        bool punished;
    }

    event Accused(
        uint256 indexed task,
        uint32 indexed number,
        address indexed accuser,
        bool privileged,
        uint128 bond,
        bytes32 seal
    );
    event Demanded(
        uint256 indexed task,
        uint32 indexed number,
        address indexed accuser,
        bool privileged,
        uint128 bond,
        uint32 segment,
        uint256 word
    );
    event Unsealed(uint256 indexed task, uint32 indexed number, uint32 segment, bytes32 finding);
    event Started(uint256 indexed task, uint32 indexed number, uint256 indexed dispute);
    /// `standing` is the last one: Convicting, Lost, Lapsed or Moot.
    event Ended(uint256 indexed task, uint32 indexed number, Standing standing);
    /// What the finders had of a condemned solver's stake; an address is zero where there is none.
    event Punished(
        uint256 indexed task,
        address indexed convictor,
        uint256 toConvictor,
        address verifier,
        uint256 toVerifier,
        address finder,
        uint256 toFinder
    );

    error BadParameter(bytes32 name);
    error UnknownAccusation(uint256 task, uint32 number);
    error WrongStanding(Standing standing);
    error NotAccuser(address caller, address accuser);
    error OwnWork(address solver);
    error NothingCommitted(uint256 task);
    error NotCommitted(uint32 segment, uint32 committed);
    error EmptySeal();
    error WrongSeal(bytes32 computed, bytes32 seal);
    error TooLate(uint64 deadline);
    error TooEarly(uint64 deadline);
    error WrongJob();
    error DisputeRunning(uint256 dispute);
    error NobodyWaits(uint256 task);
    /// The next one in turn is sealed: until `until` it may be unsealed, then anyone lapses it.
    error StillSealed(uint32 number, uint64 until);
    /// Too many decided ones in a row for one call: `advance` first.
    error AdvanceFirst(uint32 head);
    error AlreadyCondemned(uint256 task);
    error NotCondemned(uint256 task);
    error AlreadyPunished(uint256 task);
    error NotCourt(address caller);
    error UnknownDispute(uint256 dispute);

    /// Files a sealed accusation of one of the segments that are committed now and locks its bond from the
    /// caller's stake. seal = keccak256(abi.encode(this contract, task, segment, finding, caller, salt)), of
    /// types (address, uint256, uint32, bytes32, address, bytes32), where finding = sha256(state root at the
    /// segment's end | list root of the report roots of its steps, unsalted), as the caller has computed them.
    /// The bond is n times `bond`, where n - 1 accusations of this task were ever filed, privileged ones
    /// aside. The first one that the drawn verifier files after the draw is privileged: `bond`, and the next turn.
    /// Refused once the deadline of the task's status is over, as it has been moved: `IMarket.hold`.
    function accuse(uint256 task, bytes32 seal) external returns (uint32 number);
    /// Within `openTime` of filing, by its accuser, also after another one has convicted: it may be the finder's.
    function unseal(uint256 task, uint32 number, uint32 segment, bytes32 finding, bytes32 salt) external;
    /// Files a demand for one leaf of the state at a segment's end, open to all eyes: `ICourt.demand` says
    /// which. Bond and queue are an accusation's. It convicts who does not show, and finds nothing.
    function demand(uint256 task, uint32 segment, uint256 word) external returns (uint32 number);
    /// Has the court hear the next one: the privileged one if it is unsealed, else the head. Anyone may call: it brings
    /// the job that the task was posted with. Moves the head past at most 32 decided ones itself.
    function start(uint256 task, Job calldata job) external returns (uint256 dispute);
    /// Ends a sealed accusation whose `openTime` is over: burns its bond. Anyone may call, until a conviction.
    function lapse(uint256 task, uint32 number) external;
    /// Moves the queue's head past decided ones, at most `most` of them. Anyone may call.
    function advance(uint256 task, uint32 most) external;
    /// Of a task that another has condemned: returns the bond of an unsealed accusation, and of a sealed one once its
    /// `openTime` is over; burned, though, where that was over before the conviction. Anyone may call.
    function dismiss(uint256 task, uint32 number) external;
    /// `openTime` after a conviction: has the market divide the solver's stake, and returns the bond of the one that
    /// convicted. Anyone may call, once; no delay changes who gets what.
    ///
    /// `finderBps` of the stake go to finders and the rest burns. First `bond` goes to the accuser that
    /// convicted. Of what is left one half goes to the drawn verifier, if an accusation of its own (no demand),
    /// filed after the draw, has been unsealed and not lost; the other half to the finder. The finder is the
    /// accuser that convicted, or, where that is the drawn verifier, the lowest-numbered other one with the same
    /// segment and finding that was filed before it and has not lost: who filed later may have read it there.
    /// One of the two alone takes both halves; where there is neither (a demand) they burn.
    function punish(uint256 task) external;

    function accusation(uint256 task, uint32 number) external view returns (Accusation memory);
    /// All zero where nothing was ever filed.
    function queue(uint256 task) external view returns (Queue memory);
    /// Task and number of a dispute of the court's.
    function accusationOf(uint256 dispute) external view returns (uint256 task, uint32 number);
    /// What the next accusation by this account would lock, and whether it would be privileged.
    function bondOf(uint256 task, address accuser) external view returns (uint128 amount, bool privileged);
    /// What `accuse` takes.
    function sealOf(uint256 task, uint32 segment, bytes32 finding, address accuser, bytes32 salt)
        external
        view
        returns (bytes32);
    /// Seconds from filing in which an accusation is unsealed; and from a conviction to `punish`.
    function openTime() external view returns (uint32);
    /// Smallest bond, in the token's smallest units.
    function bond() external view returns (uint128);
    function finderBps() external view returns (uint16);
    function market() external view returns (address);
    function court() external view returns (address);
    function stakes() external view returns (address);
}
