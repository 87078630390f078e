// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Job} from "./Types.sol";

/// Tasks, from the escrow to the payment. Every deadline has a way out that anyone may trigger.
interface IMarket {
    enum Status {
        None,
        Open, // takes bids until `bidUntil`
        Assigned, // the solver commits segments until `commitUntil`
        Committed, // every segment is committed; waits for the draw
        Verifying, // the drawn verifier attests, anyone accuses, until `windowEnds`
        Settled, // solver paid
        Condemned, // found guilty; `IDisputes.punish` divides the solver's stake and refunds the requester
        Expired, // solver too late, requester refunded
        Cancelled // nobody bid, the requester took it back, or nobody drew in time; requester refunded
    }

    /// What a market is deployed with. It has no owner and nothing in it changes later.
    struct Parameters {
        address token;
        address stakes;
        address randomness;
        address verifiers; // which names the market by the address that it gets
        address disputes; // which may not be there yet: it names the market in its turn
        uint32 minBidTime; // seconds that a task is open to bids, at least
        uint32 maxBidTime; // and at most, as the best bid locks a stake
        uint32 minCommitTime; // seconds that a solver has, at least
        uint24 minClock; // bounds of `Terms.clock`
        uint24 maxClock;
        uint32 marginBps; // stake over reward, before the chance of detection
        uint16 latePenaltyBps; // of the maximum price, or of a liability but at most the fee, for staying silent
        uint96 floorStake; // no stake is smaller
    }

    struct Terms {
        uint128 maxPrice; // the most the solver is paid
        uint128 verifierFee;
        uint64 bidUntil; // unix time, last second in which a bid is taken
        uint64 commitUntil; // last second in which a segment is taken, if bidding is closed at once
        uint32 checks; // how many segments the drawn verifier recomputes
        // Seconds that each side has in a dispute. Accusations are taken for clock + checks * clock / 4 seconds
        // from the draw.
        uint32 clock;
    }

    struct Task {
        address requester;
        Status status;
        uint32 segments;
        uint32 committed; // segments committed so far
        bool held; // while an accusation is undecided: it neither settles nor expires
        uint32 checks;
        uint128 maxPrice;
        uint128 verifierFee;
        uint128 price; // the best bid
        uint128 solverStake; // locked for this task
        address solver; // in Open: whose bid is the best one so far
        uint64 bidUntil;
        uint64 withdrawUntil; // in Open: last second in which the best bid may be withdrawn
        uint64 commitUntil; // as it has been moved
        uint64 windowEnds;
        uint64 drawWord; // the number of the word of `randomness` that decides the draw
        uint64 armedBlock; // the draw is among the units at the end of the block before
        uint64 drawUntil; // last second in which it can be made
        address verifier; // zero where nobody could be drawn
        bool attested;
        bytes32 job; // keccak256(abi.encode(Job))
        uint256 checked; // bit i: segment i is to be recomputed
        uint32 clock;
    }

    struct Segment {
        bytes32 state; // list root of the state at its end
        bytes32 journal; // list root of its steps' reports
    }

    /// A part of a condemned solver's stake.
    struct Award {
        address to; // zero where the amount is
        uint256 amount;
    }

    event Posted(uint256 indexed task, address indexed requester, Job job, Terms terms);
    event BidPlaced(uint256 indexed task, address indexed worker, uint128 price);
    event BidWithdrawn(uint256 indexed task, address indexed worker);
    event Assigned(uint256 indexed task, address indexed solver, uint128 price, uint128 stake, uint64 commitUntil);
    event SegmentCommitted(uint256 indexed task, uint32 indexed segment, bytes32 state, bytes32 journal);
    event DrawArmed(uint256 indexed task, uint64 drawWord);
    event Drawn(uint256 indexed task, address indexed verifier, uint256 checked, uint64 windowEnds);
    event Attested(uint256 indexed task, address indexed verifier);
    event Held(uint256 indexed task);
    event Unheld(uint256 indexed task, uint64 commitUntil);
    event Settled(uint256 indexed task, address indexed solver, uint128 price);
    /// For this segment; nothing has been paid yet.
    event Condemned(uint256 indexed task, uint32 segment);
    event Punished(uint256 indexed task, address indexed solver, uint256 awarded, uint256 burned);
    event VerifierPenalised(uint256 indexed task, address indexed verifier, uint256 slashed);
    event Expired(uint256 indexed task, address indexed solver, uint256 penalty);
    event Cancelled(uint256 indexed task);
    event Credited(address indexed account, uint256 indexed task, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);

    error BadParameter(bytes32 name);
    error UnknownTask(uint256 task);
    error WrongStatus(Status status);
    error ZeroPrice();
    error ZeroSteps();
    error TooManySegments(uint256 segments, uint256 most);
    error ChecksOutOfRange(uint256 checks, uint256 segments);
    error BadClock(uint32 clock, uint32 least, uint32 most);
    error BadDeadlines(
        uint64 bidUntil, uint64 commitUntil, uint64 earliestBidUntil, uint64 latestBidUntil, uint64 earliestCommitUntil
    );
    error EmptyDataSet();
    error TooManyRows(uint64 rows, uint64 most);
    error AmountTooLarge(uint256 amount, uint256 most);
    error PriceTooHigh(uint128 price, uint128 maxPrice);
    error NotLower(uint128 price, uint128 best);
    error BiddingClosed(uint64 bidUntil);
    error BiddingOpen(uint64 bidUntil);
    error NotRequester(address caller, address requester);
    error NotSolver(address caller, address solver);
    error NotVerifier(address caller, address verifier);
    error WrongSegment(uint32 given, uint32 expected);
    error NotCommitted(uint32 segment);
    error TooLate(uint64 deadline);
    error TooEarly(uint64 deadline);
    error AlreadyAttested();
    error IsHeld();
    error NotDisputes(address caller);
    error NothingToWithdraw(address account);
    error WrongAmountReceived(uint256 received, uint256 expected);

    /// Takes `maxPrice + verifierFee` from the caller into escrow.
    function post(Job calldata job, Terms calldata terms) external returns (uint256 task);
    /// A price below the best one so far takes its place; the earliest of equals stays. Locks the stake that the
    /// task's maximum price asks for, whatever the bid, and frees that of who is outbid: so no bid is ever void, and
    /// only one name at a time stands in the way of others. Who is the best may lower its own.
    function bid(uint256 task, uint128 price) external;
    /// Takes the best bid back and frees its stake. In the first half of the bidding time only: whoever it had
    /// outbid has the other half to bid again.
    function withdrawBid(uint256 task) external;
    /// Takes the task back and refunds, before `bidUntil`: nobody has worked for it. The requester only.
    function cancel(uint256 task) external;
    /// After `bidUntil`: assigns the best bid, or cancels where there is none. Anyone may call. However late it is
    /// called, the solver has the time that the terms promised, `commitUntil - bidUntil`; after `commitUntil` the bid
    /// has lapsed.
    function close(uint256 task) external;
    /// Segments come in order. The last one arms the draw.
    function commitSegment(uint256 task, uint32 segment, bytes32 state, bytes32 journal) external;
    /// The same for several segments, the first of which is number `first`.
    function commitSegments(uint256 task, uint32 first, Segment[] calldata segments) external;
    /// Draws the verifier and the segments to check by the word that was named when the draw was armed.
    /// Anyone may call. Refused by `randomness` while the word is not there: see `IRandomness`.
    function draw(uint256 task) external;
    /// Ends a task whose draw was not made in its time, when it is not held: refunds, and pays nobody.
    /// Anyone may call, as anyone could have drawn.
    function lapse(uint256 task) external;
    /// The verifier vouches for the segments it was drawn to check. An open dispute does not stop it:
    /// what it found is the same.
    function attest(uint256 task) external;
    // For the contract of disputes alone.
    /// Holds the task from now on, if it was not held: it neither settles nor expires, and a deadline for
    /// commitments moves by the time that it is held. Refused where no accusation may be filed: after the
    /// deadline of the task's status, as it has been moved; before any and after the last.
    function hold(uint256 task) external returns (address solver, address verifier, uint32 committed);
    function unhold(uint256 task) external;
    /// The solver is guilty of this segment. It moves no money.
    function condemn(uint256 task, uint32 segment) external;
    /// Divides the stake of a condemned solver: `awards` to whom they name, the rest burned. Refunds the
    /// requester, and fines a verifier that vouched for what was wrong.
    function punish(uint256 task, uint32 segment, Award[] calldata awards) external;

    /// After the window, when it is not held: pays. Anyone may call.
    function settle(uint256 task) external;
    /// After `commitUntil`, with segments missing, when it is not held: refunds. Anyone may call.
    function expire(uint256 task) external;
    /// Pays out what the caller is owed.
    function withdraw() external;
    /// Pays out to `account` what it is owed. Anyone may call.
    function withdrawFor(address account) external;

    function task(uint256 id) external view returns (Task memory);
    function tasks() external view returns (uint256 count);
    function segment(uint256 task, uint32 index) external view returns (Segment memory);
    /// Who is bound by a task's segments, to which job (`Task.job`), and the seconds that each side has in a dispute.
    function bound(uint256 task) external view returns (address solver, bytes32 job, uint32 clock);
    /// Who answers for a task: zero where there is none yet. `stake` is the solver's, from its bid on.
    function parties(uint256 task) external view returns (address solver, address verifier, uint256 stake);
    function credit(address account) external view returns (uint256);
    /// Stake that a task locks of its solver: most reward * margin / (detection probability), or the floor.
    function solverStake(uint128 maxPrice, uint32 segments, uint32 checks) external view returns (uint128);
    /// What a verifier answers for with its units in a task of this fee: fee * margin, or the floor. No fine
    /// of it is higher, and none takes more than its units have, whichever duties it has had before.
    function liability(uint128 fee) external view returns (uint128);
    function parameters() external view returns (Parameters memory);
    function token() external view returns (address);
    function stakes() external view returns (address);
    function randomness() external view returns (address);
    function verifiers() external view returns (address);
    function disputes() external view returns (address);
}
