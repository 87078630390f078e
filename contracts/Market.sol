// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IMarket} from "./interfaces/IMarket.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {IStakes} from "./interfaces/IStakes.sol";
import {IVerifiers} from "./interfaces/IVerifiers.sol";
import {Job} from "./interfaces/Types.sol";
import {Draw} from "./lib/Draw.sol";

/// The market of `IMarket`.
///
/// Money comes in through `post` and goes out through `withdrawFor` alone. In between it is escrow of a
/// task or credit of an account, and only `_credit` makes credit. Stakes stay in their vault:
///
///     Open - no bid, or taken back -> Cancelled   escrow to the requester
///     Committed - not drawn in time > Cancelled   escrow to the requester
///     Assigned -------- too late --> Expired     escrow to the requester, a part of the stake burned
///     Assigned, Committed,
///     Verifying --- found guilty --> Condemned   what `punish` does, when Disputes says so:
///                                                escrow to the requester, the stake divided
///     Verifying ---- window over --> Settled     escrow divided
///
/// A verdict of guilt moves no money, so that the proof it belongs to stays cheap and no token can stop
/// it. It fixes who gets what: out of Condemned no status leads, so price, stake and vouching stay as
/// they are, and the stake is locked until `punish` divides it. No fine and no verdict touches the token.
///
/// While it is held, a task in Assigned has in `commitUntil` the seconds that were left, as they do not run.
contract Market is IMarket, ReentrancyGuardTransient {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /// A task in six or seven slots; the stakes follow from the rest and are not stored.
    struct Record {
        address requester;
        uint96 maxPrice;
        // slot
        address solver; // in Open: whose bid is the best one
        uint96 verifierFee;
        // slot
        address verifier;
        uint96 price;
        // slot: what changes with every act
        Status status;
        bool attested;
        bool held;
        uint16 segments;
        uint16 committed;
        uint16 checks;
        uint24 clock;
        uint40 bidUntil;
        uint40 commitUntil;
        uint40 windowEnds; // in Open: until when the best bid may be withdrawn
        uint32 drawWord;
        // slot
        bytes32 job;
        // slot: which units the draw looks at, and from when its time runs
        uint48 armedBlock;
        uint40 armedAt;
        // slot: left empty where all segments are, as in every task of one segment
        uint256 checked;
    }

    uint256 private constant BPS = 10_000;
    uint256 private constant MOST_SEGMENTS = 256; // one bit each in `checked`
    uint64 private constant MOST_ROWS = 1 << 32; // what the sampling permutation can order
    uint256 private constant LONGEST = 1 << 32; // seconds from now to a task's last deadline

    // Uses of a draw's seed. Draw.subset takes the numbers below MOST_SEGMENTS.
    uint256 private constant USE_VERIFIER = 256;

    /// @inheritdoc IMarket
    address public immutable token;
    /// @inheritdoc IMarket
    address public immutable stakes;
    /// @inheritdoc IMarket
    address public immutable randomness;
    /// @inheritdoc IMarket
    address public immutable verifiers;
    /// @inheritdoc IMarket
    address public immutable disputes;
    uint32 private immutable _drawTime;
    uint32 private immutable _minBidTime;
    uint32 private immutable _maxBidTime;
    uint32 private immutable _minCommitTime;
    uint24 private immutable _minClock;
    uint24 private immutable _maxClock;
    uint32 private immutable _marginBps;
    uint16 private immutable _latePenaltyBps;
    uint96 private immutable _floorStake;

    /// @inheritdoc IMarket
    uint256 public tasks;
    /// @inheritdoc IMarket
    mapping(address account => uint256) public credit;
    mapping(uint256 task => Record) private _records;
    mapping(uint256 task => mapping(uint256 index => Segment)) private _segments;

    constructor(Parameters memory p) {
        if (p.token == address(0) || IStakes(p.stakes).token() != p.token) {
            revert BadParameter("token");
        }
        if (p.randomness.code.length == 0) revert BadParameter("randomness");
        if (p.disputes == address(0)) revert BadParameter("disputes");
        if (p.minBidTime == 0) revert BadParameter("minBidTime");
        if (p.maxBidTime < p.minBidTime) revert BadParameter("maxBidTime");
        if (p.minCommitTime == 0) revert BadParameter("minCommitTime");
        if (p.minClock == 0) revert BadParameter("minClock");
        if (p.maxClock < p.minClock) revert BadParameter("maxClock");
        // Cheating must cost more than it brings.
        if (p.marginBps < BPS) revert BadParameter("marginBps");
        if (p.latePenaltyBps > BPS) revert BadParameter("latePenaltyBps");
        if (p.floorStake == 0) revert BadParameter("floorStake");
        if (
            p.verifiers.code.length == 0 || IVerifiers(p.verifiers).market() != address(this)
                || IVerifiers(p.verifiers).stakes() != p.stakes
        ) revert BadParameter("verifiers");

        (token, stakes, randomness) = (p.token, p.stakes, p.randomness);
        (verifiers, disputes) = (p.verifiers, p.disputes);
        _drawTime = IVerifiers(p.verifiers).drawTime();
        (_minBidTime, _maxBidTime, _minCommitTime) = (p.minBidTime, p.maxBidTime, p.minCommitTime);
        (_minClock, _maxClock) = (p.minClock, p.maxClock);
        (_marginBps, _latePenaltyBps) = (p.marginBps, p.latePenaltyBps);
        _floorStake = p.floorStake;
    }

    // ------------------------------------------------------------------------- from offer to work

    /// @inheritdoc IMarket
    function post(Job calldata job, Terms calldata terms) external nonReentrant returns (uint256 id) {
        uint256 count = _checkedSegments(job);
        _checkTerms(terms, count);

        uint96 maxPrice = _toAmount(terms.maxPrice);
        uint96 verifierFee = _toAmount(terms.verifierFee);

        id = tasks++;
        Record storage record = _records[id];
        record.requester = msg.sender;
        record.maxPrice = maxPrice;
        record.verifierFee = verifierFee;
        // No truncation: `_checkedSegments` and `_checkTerms` have bounded all of these.
        record.status = Status.Open;
        record.segments = uint16(count);
        record.checks = uint16(terms.checks);
        record.clock = uint24(terms.clock);
        record.bidUntil = uint40(terms.bidUntil);
        record.commitUntil = uint40(terms.commitUntil);
        record.windowEnds = uint40(block.timestamp + (terms.bidUntil - block.timestamp) / 2);
        record.job = keccak256(abi.encode(job));
        emit Posted(id, msg.sender, job, terms);

        _pull(uint256(terms.maxPrice) + terms.verifierFee);
    }

    /// @inheritdoc IMarket
    // The requester may bid too: it could do so under another name, and a check would only pretend.
    // `stakes` is ours and calls back nobody but its token; the guard closes what is left.
    // slither-disable-next-line reentrancy-no-eth
    function bid(uint256 id, uint128 price) external nonReentrant {
        Record storage record = _inStatus(id, Status.Open);
        _checkBidding(record);
        if (price == 0) revert ZeroPrice();
        if (price > record.maxPrice) revert PriceTooHigh(price, record.maxPrice);
        address before = record.solver;
        if (before != address(0) && price >= record.price) revert NotLower(price, record.price);

        record.price = uint96(price); // no truncation: price <= maxPrice
        emit BidPlaced(id, msg.sender, price);
        if (before == msg.sender) return; // its lock stands
        record.solver = msg.sender;

        uint128 stake = _stakeOf(record);
        IStakes(stakes).lock(msg.sender, stake);
        if (before != address(0)) IStakes(stakes).release(before, stake);
    }

    /// @inheritdoc IMarket
    function withdrawBid(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Open);
        if (msg.sender != record.solver) revert NotSolver(msg.sender, record.solver);
        if (block.timestamp > record.windowEnds) revert TooLate(record.windowEnds);
        (record.solver, record.price) = (address(0), 0);
        emit BidWithdrawn(id, msg.sender);

        IStakes(stakes).release(msg.sender, _stakeOf(record));
    }

    /// @inheritdoc IMarket
    function cancel(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Open);
        if (msg.sender != record.requester) revert NotRequester(msg.sender, record.requester);
        _checkBidding(record);
        _cancel(id, record);
    }

    /// @inheritdoc IMarket
    function close(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Open);
        (uint256 bidUntil, uint256 commitUntil) = (record.bidUntil, record.commitUntil);
        if (block.timestamp <= bidUntil) revert BiddingOpen(uint64(bidUntil));
        address solver = record.solver;
        if (solver == address(0) || block.timestamp > commitUntil) {
            _cancel(id, record);
            return;
        }
        uint256 until = block.timestamp + (commitUntil - bidUntil);
        record.status = Status.Assigned;
        record.windowEnds = 0;
        record.commitUntil = uint40(until); // no truncation: `_checkTerms` keeps both parts small
        emit Assigned(id, solver, record.price, _stakeOf(record), uint64(until));
    }

    /// @inheritdoc IMarket
    function commitSegment(uint256 id, uint32 index, bytes32 state, bytes32 journal) external {
        Record storage record = _toCommit(id, index, 1);
        _store(id, index, state, journal);
        _committed(id, record, uint256(index) + 1);
    }

    /// @inheritdoc IMarket
    function commitSegments(uint256 id, uint32 first, Segment[] calldata given) external {
        Record storage record = _toCommit(id, first, given.length);
        for (uint256 i; i < given.length; ++i) {
            _store(id, first + i, given[i].state, given[i].journal);
        }
        _committed(id, record, first + given.length);
    }

    // ------------------------------------------------------------------------------- verification

    /// @inheritdoc IMarket
    function draw(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Committed);
        bytes32 word = IRandomness(randomness).word(record.drawWord);
        bytes32 seed = keccak256(abi.encode(word, address(this), id));
        address[] memory excluded = new address[](2);
        (excluded[0], excluded[1]) = (record.solver, record.requester);
        address verifier =
            IVerifiers(verifiers).draw(record.armedBlock, record.armedAt, Draw.word(seed, USE_VERIFIER), excluded);
        uint256 mask;
        uint256 clock = record.clock;
        uint64 windowEnds = (block.timestamp + clock + record.checks * clock / 4).toUint40();
        record.status = Status.Verifying;
        record.windowEnds = uint40(windowEnds);
        if (verifier != address(0)) {
            mask = Draw.subset(seed, record.checks, record.segments);
            record.verifier = verifier;
            if (record.checks != record.segments) record.checked = mask;
        }
        emit Drawn(id, verifier, mask, windowEnds);
    }

    /// @inheritdoc IMarket
    function lapse(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Committed);
        uint64 until = _drawUntil(record);
        if (block.timestamp <= until) revert TooEarly(until);
        if (record.held) revert IsHeld();

        _cancel(id, record);
    }

    /// @inheritdoc IMarket
    function attest(uint256 id) external {
        Record storage record = _inStatus(id, Status.Verifying);
        if (msg.sender != record.verifier) revert NotVerifier(msg.sender, record.verifier);
        if (record.attested) revert AlreadyAttested();
        if (block.timestamp > record.windowEnds) revert TooLate(record.windowEnds);
        record.attested = true;
        emit Attested(id, msg.sender);
    }

    // ----------------------------------------------------------------------------------- disputes

    /// @inheritdoc IMarket
    function hold(uint256 id) external returns (address solver, address verifier, uint32 committed) {
        _checkDisputes();
        Record storage record = _known(id);
        Status status = record.status;
        if (status == Status.Assigned) {
            uint64 until = _commitUntil(record);
            if (block.timestamp > until) revert TooLate(until);
        } else if (status == Status.Verifying) {
            if (block.timestamp > record.windowEnds) revert TooLate(record.windowEnds);
        } else if (status == Status.Committed) {
            uint64 until = _drawUntil(record);
            if (block.timestamp > until) revert TooLate(until);
        } else {
            revert WrongStatus(status);
        }
        if (!record.held) {
            record.held = true;
            // No truncation: not negative, as checked.
            if (status == Status.Assigned) record.commitUntil -= uint40(block.timestamp);
            emit Held(id);
        }
        return (record.solver, record.verifier, record.committed);
    }

    /// @inheritdoc IMarket
    function unhold(uint256 id) external {
        _checkDisputes();
        Record storage record = _known(id);
        uint64 until = _commitUntil(record);
        record.held = false;
        record.commitUntil = uint40(until); // no truncation: `_checkTerms` leaves room for centuries of holding
        emit Unheld(id, until);
    }

    /// @inheritdoc IMarket
    // Whatever the status: a task that is held has left none of those in which it was accused.
    function condemn(uint256 id, uint32 index) external {
        _checkDisputes();
        _known(id).status = Status.Condemned;
        emit Condemned(id, index);
    }

    /// @inheritdoc IMarket
    function punish(uint256 id, uint32 index, Award[] calldata awards) external nonReentrant {
        _checkDisputes();
        Record storage record = _inStatus(id, Status.Condemned);
        (address solver, address verifier) = (record.solver, record.verifier);
        uint256 stake = _stakeOf(record);
        uint256 awarded;
        for (uint256 i; i < awards.length; ++i) {
            awarded += awards[i].amount;
        }
        uint256 burned = stake - awarded;
        emit Punished(id, solver, awarded, burned);
        _refund(id, record);

        for (uint256 i; i < awards.length; ++i) {
            if (awards[i].amount != 0) IStakes(stakes).award(solver, awards[i].to, awards[i].amount);
        }
        IStakes(stakes).slash(solver, burned);
        uint256 penalty;
        if (record.attested && _checked(record) >> index & 1 == 1) {
            // A solver can lose a dispute on purpose, about work that was right, and so frame a
            // verifier that was honest. Therefore nobody gets what the verifier loses, and it is no
            // more than what the solver has burned: framing brings nothing and costs as much.
            penalty = Math.min(liability(record.verifierFee), burned);
        }
        _endDuty(id, verifier, penalty);
    }

    // ------------------------------------------------------------------------------------ the end

    /// @inheritdoc IMarket
    // `stakes` is ours and calls back nobody but its token; the guard closes what is left.
    // slither-disable-next-line reentrancy-no-eth
    function settle(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Verifying);
        if (block.timestamp <= record.windowEnds) revert TooEarly(record.windowEnds);
        if (record.held) revert IsHeld();
        (address solver, address verifier, uint256 price) = (record.solver, record.verifier, record.price);
        uint256 fee = record.verifierFee;
        bool attested = record.attested;

        record.status = Status.Settled;
        emit Settled(id, solver, uint128(price));
        _credit(solver, id, price);
        _credit(record.requester, id, record.maxPrice - price + (attested ? 0 : fee));
        if (attested) _credit(verifier, id, fee);

        _end(solver, _stakeOf(record), 0);
        // A silent verifier loses no more than it would have earned: or a stranger's task, too cheap
        // for its work, would be a way to hurt whoever is drawn.
        uint256 penalty = Math.min(uint256(liability(uint128(fee))) * _latePenaltyBps / BPS, fee);
        _endDuty(id, verifier, attested ? 0 : penalty);
    }

    /// @inheritdoc IMarket
    function expire(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Assigned);
        if (block.timestamp <= record.commitUntil) revert TooEarly(record.commitUntil);
        if (record.held) revert IsHeld();
        address solver = record.solver;
        // A part of the most that it could have earned, known before it bid: no bid is low enough to be let go
        // for nothing. And nobody receives it: or a task that cannot be done in time would be a trap that pays.
        uint256 penalty = uint256(record.maxPrice) * _latePenaltyBps / BPS;

        record.status = Status.Expired;
        emit Expired(id, solver, penalty);
        _refund(id, record);

        _end(solver, _stakeOf(record), penalty);
    }

    /// @inheritdoc IMarket
    function withdraw() external {
        withdrawFor(msg.sender);
    }

    /// @inheritdoc IMarket
    function withdrawFor(address account) public nonReentrant {
        uint256 amount = credit[account];
        if (amount == 0) revert NothingToWithdraw(account);
        credit[account] = 0;
        emit Withdrawn(account, amount);

        IERC20(token).safeTransfer(account, amount);
    }

    // -------------------------------------------------------------------------------------- views

    /// @inheritdoc IMarket
    function task(uint256 id) external view returns (Task memory result) {
        Record storage record = _known(id);
        result.requester = record.requester;
        result.status = record.status;
        result.segments = record.segments;
        result.committed = record.committed;
        result.held = record.held;
        result.checks = record.checks;
        result.maxPrice = record.maxPrice;
        result.verifierFee = record.verifierFee;
        result.price = record.price;
        result.solver = record.solver;
        if (result.solver != address(0)) {
            result.solverStake = _stakeOf(record);
        }
        result.bidUntil = record.bidUntil;
        result.commitUntil = _commitUntil(record);
        if (result.status < Status.Assigned) result.withdrawUntil = record.windowEnds;
        else result.windowEnds = record.windowEnds;
        result.drawWord = record.drawWord;
        result.armedBlock = record.armedBlock;
        if (record.armedAt != 0) result.drawUntil = _drawUntil(record);
        result.verifier = record.verifier;
        result.attested = record.attested;
        result.job = record.job;
        if (result.verifier != address(0)) result.checked = _checked(record);
        result.clock = record.clock;
    }

    /// @inheritdoc IMarket
    function segment(uint256 id, uint32 index) external view returns (Segment memory) {
        if (index >= _known(id).committed) revert NotCommitted(index);
        return _segments[id][index];
    }

    /// @inheritdoc IMarket
    function bound(uint256 id) external view returns (address solver, bytes32 job, uint32 clock) {
        Record storage record = _known(id);
        return (record.solver, record.job, record.clock);
    }

    /// @inheritdoc IMarket
    function parties(uint256 id) external view returns (address solver, address verifier, uint256 stake) {
        Record storage record = _known(id);
        (solver, verifier) = (record.solver, record.verifier);
        if (solver != address(0)) stake = _stakeOf(record);
    }

    /// @inheritdoc IMarket
    // Rounded up: a stake is never below what the formula says.
    function solverStake(uint128 maxPrice, uint32 count, uint32 checks) public view returns (uint128) {
        uint256 stake = Math.ceilDiv(uint256(maxPrice) * _marginBps * count, BPS * uint256(checks)); // below 2^192
        return Math.max(_floorStake, stake).toUint128();
    }

    /// @inheritdoc IMarket
    // Rounded up.
    function liability(uint128 fee) public view returns (uint128) {
        return Math.max(_floorStake, Math.ceilDiv(uint256(fee) * _marginBps, BPS)).toUint128();
    }

    /// @inheritdoc IMarket
    function parameters() external view returns (Parameters memory p) {
        (p.token, p.stakes, p.randomness) = (token, stakes, randomness);
        (p.verifiers, p.disputes) = (verifiers, disputes);
        (p.minBidTime, p.maxBidTime, p.minCommitTime) = (_minBidTime, _maxBidTime, _minCommitTime);
        (p.minClock, p.maxClock) = (_minClock, _maxClock);
        (p.marginBps, p.latePenaltyBps) = (_marginBps, _latePenaltyBps);
        p.floorStake = _floorStake;
    }

    // ------------------------------------------------------------------------------------- checks

    function _known(uint256 id) private view returns (Record storage record) {
        record = _records[id];
        if (record.status == Status.None) revert UnknownTask(id);
    }

    function _inStatus(uint256 id, Status status) private view returns (Record storage record) {
        record = _known(id);
        if (record.status != status) revert WrongStatus(record.status);
    }

    function _checkedSegments(Job calldata job) private pure returns (uint256 count) {
        if (job.steps == 0 || job.segmentSteps == 0) revert ZeroSteps();
        if (job.rows == 0 || job.dataTensors == 0) revert EmptyDataSet();
        if (job.rows > MOST_ROWS) revert TooManyRows(job.rows, MOST_ROWS);
        count = Math.ceilDiv(job.steps, job.segmentSteps);
        if (count > MOST_SEGMENTS) revert TooManySegments(count, MOST_SEGMENTS);
    }

    function _checkTerms(Terms calldata terms, uint256 count) private view {
        if (terms.maxPrice == 0) revert ZeroPrice();
        if (terms.checks == 0 || terms.checks > count) {
            revert ChecksOutOfRange(terms.checks, count);
        }
        if (terms.clock < _minClock || terms.clock > _maxClock) revert BadClock(terms.clock, _minClock, _maxClock);
        uint256 bidFrom = block.timestamp + _minBidTime;
        uint256 commitFrom = uint256(terms.bidUntil) + _minCommitTime;
        uint256 bidTo = block.timestamp + _maxBidTime;
        uint256 latest = block.timestamp + LONGEST;
        if (
            terms.bidUntil < bidFrom || terms.bidUntil > bidTo || terms.commitUntil < commitFrom
                || terms.commitUntil > latest
        ) revert BadDeadlines(terms.bidUntil, terms.commitUntil, uint64(bidFrom), uint64(bidTo), uint64(commitFrom));
    }

    function _checkBidding(Record storage record) private view {
        if (block.timestamp > record.bidUntil) revert BiddingClosed(record.bidUntil);
    }

    function _checkDisputes() private view {
        if (msg.sender != disputes) revert NotDisputes(msg.sender);
    }

    // ------------------------------------------------------------------------------- committing

    function _toCommit(uint256 id, uint256 first, uint256 count) private view returns (Record storage record) {
        record = _inStatus(id, Status.Assigned);
        if (msg.sender != record.solver) revert NotSolver(msg.sender, record.solver);
        uint64 until = _commitUntil(record);
        if (block.timestamp > until) revert TooLate(until);
        uint256 committed = record.committed;
        if (first != committed) revert WrongSegment(uint32(first), uint32(committed));
        if (first + count > record.segments) {
            revert TooManySegments(first + count, record.segments);
        }
    }

    function _store(uint256 id, uint256 index, bytes32 state, bytes32 journal) private {
        _segments[id][index] = Segment(state, journal);
        emit SegmentCommitted(id, uint32(index), state, journal);
    }

    function _committed(uint256 id, Record storage record, uint256 count) private {
        record.committed = uint16(count); // no truncation: at most MOST_SEGMENTS
        if (count == record.segments) {
            record.commitUntil = uint40(_commitUntil(record)); // no truncation: as in `unhold`
            record.status = Status.Committed;
            _arm(id, record);
        }
    }

    /// As it has been moved: while the task is held, by every second.
    function _commitUntil(Record storage record) private view returns (uint64) {
        uint64 until = record.commitUntil;
        return record.held && record.status == Status.Assigned ? uint64(block.timestamp) + until : until;
    }

    function _arm(uint256 id, Record storage record) private {
        uint32 drawWord = IRandomness(randomness).next().toUint32();
        record.drawWord = drawWord;
        // No truncation: a block's number and its time stay below 2^40 for as long as anyone lives.
        (record.armedBlock, record.armedAt) = (uint48(block.number), uint40(block.timestamp));
        emit DrawArmed(id, drawWord);
    }

    // ---------------------------------------------------------------------------------- drawing

    function _drawUntil(Record storage record) private view returns (uint64) {
        return uint64(record.armedAt) + _drawTime;
    }

    /// The segments that the drawn verifier recomputes.
    function _checked(Record storage record) private view returns (uint256) {
        if (record.checks != record.segments) return record.checked;
        return type(uint256).max >> (MOST_SEGMENTS - record.segments);
    }

    // ------------------------------------------------------------------------------------- money

    /// Ends a task for which nobody is to blame: the escrow goes back, and what was locked is free.
    function _cancel(uint256 id, Record storage record) private {
        (record.status, record.windowEnds) = (Status.Cancelled, 0);
        emit Cancelled(id);
        _refund(id, record);

        if (record.solver != address(0)) _end(record.solver, _stakeOf(record), 0);
    }

    function _refund(uint256 id, Record storage record) private {
        _credit(record.requester, id, uint256(record.maxPrice) + record.verifierFee);
    }

    /// What a task locks of its solver, from the bid on: whatever it bids.
    function _stakeOf(Record storage record) private view returns (uint128) {
        return solverStake(record.maxPrice, record.segments, record.checks);
    }

    /// Ends a lock of `stake`: takes `penalty` of it and frees the rest.
    function _end(address worker, uint256 stake, uint256 penalty) private {
        if (penalty != 0) IStakes(stakes).slash(worker, penalty);
        if (stake != penalty) IStakes(stakes).release(worker, stake - penalty);
    }

    /// Ends what a verifier was drawn for, if one was. Its units may have less than the penalty.
    function _endDuty(uint256 id, address verifier, uint256 penalty) private {
        if (verifier == address(0)) return;
        uint256 fined = IVerifiers(verifiers).done(verifier, penalty);
        if (fined != 0) emit VerifierPenalised(id, verifier, fined);
    }

    function _credit(address account, uint256 id, uint256 amount) private {
        if (amount == 0) return;
        credit[account] += amount;
        emit Credited(account, id, amount);
    }

    function _pull(uint256 amount) private {
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert WrongAmountReceived(received, amount);
    }

    function _toAmount(uint256 amount) private pure returns (uint96) {
        if (amount > type(uint96).max) revert AmountTooLarge(amount, type(uint96).max);
        return uint96(amount);
    }
}
