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
///     Open ---- nobody eligible ---> Cancelled   escrow to the requester
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
        address solver;
        uint96 verifierFee;
        // slot
        address verifier;
        uint96 price;
        // slot: what changes with every act
        Status status;
        bool attested;
        bool held;
        uint8 bids;
        uint16 segments;
        uint16 committed;
        uint16 checks;
        uint24 clock;
        uint40 bidUntil;
        uint40 commitUntil;
        uint40 windowEnds;
        uint32 drawWord;
        // slot
        bytes32 job;
        // slot: which units the draw looks at, and from when its time runs
        uint48 armedBlock;
        uint40 armedAt;
        // slot: left empty where all segments are, as in every task of one segment
        uint256 checked;
    }

    struct Offer {
        address worker;
        uint96 price;
    }

    uint256 private constant BPS = 10_000;
    uint256 private constant MOST_SEGMENTS = 256; // one bit each in `checked`
    uint256 private constant MOST_BIDS = 32; // `close` reads them all
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
    // Written through a reference, in `_place`.
    // slither-disable-next-line uninitialized-state
    mapping(uint256 task => Offer[MOST_BIDS]) private _offers; // in the order of time
    mapping(uint256 task => mapping(uint256 index => Segment)) private _segments;

    constructor(Parameters memory p) {
        if (p.token == address(0) || IStakes(p.stakes).token() != p.token) {
            revert BadParameter("token");
        }
        if (p.randomness.code.length == 0) revert BadParameter("randomness");
        if (p.disputes == address(0)) revert BadParameter("disputes");
        if (p.minBidTime == 0) revert BadParameter("minBidTime");
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
        (_minBidTime, _minCommitTime) = (p.minBidTime, p.minCommitTime);
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
        record.job = keccak256(abi.encode(job));
        emit Posted(id, msg.sender, job, terms);

        _pull(uint256(terms.maxPrice) + terms.verifierFee);
    }

    /// @inheritdoc IMarket
    // The requester may bid too: it could do so under another name, and a check would only pretend.
    function bid(uint256 id, uint128 price) external nonReentrant {
        Record storage record = _inStatus(id, Status.Open);
        if (block.timestamp > record.bidUntil) revert BiddingClosed(record.bidUntil);
        if (price == 0) revert ZeroPrice();
        if (price > record.maxPrice) revert PriceTooHigh(price, record.maxPrice);
        _checkStake(msg.sender, solverStake(price, record.segments, record.checks));

        _place(id, record, Offer(msg.sender, uint96(price))); // no truncation: price <= maxPrice
        emit BidPlaced(id, msg.sender, price);
    }

    /// @inheritdoc IMarket
    function close(uint256 id) external nonReentrant {
        Record storage record = _inStatus(id, Status.Open);
        (uint256 bidUntil, uint256 commitUntil) = (record.bidUntil, record.commitUntil);
        if (block.timestamp <= bidUntil) revert BiddingOpen(uint64(bidUntil));

        bool found;
        Offer memory best;
        if (block.timestamp <= commitUntil) (found, best) = _cheapest(id, record);
        if (!found) {
            record.status = Status.Cancelled;
            emit Cancelled(id);
            _credit(record.requester, id, uint256(record.maxPrice) + record.verifierFee);
            return;
        }

        uint256 until = block.timestamp + (commitUntil - bidUntil);
        uint128 stake = solverStake(best.price, record.segments, record.checks);
        record.status = Status.Assigned;
        record.solver = best.worker;
        record.price = best.price;
        record.commitUntil = uint40(until); // no truncation: `_checkTerms` keeps both parts small
        emit Assigned(id, best.worker, best.price, stake, uint64(until));

        IStakes(stakes).lock(best.worker, stake);
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

        record.status = Status.Cancelled;
        emit Cancelled(id);
        _credit(record.requester, id, uint256(record.maxPrice) + record.verifierFee);

        _end(record.solver, solverStake(record.price, record.segments, record.checks), 0);
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
        uint256 stake = solverStake(record.price, record.segments, record.checks);
        uint256 awarded;
        for (uint256 i; i < awards.length; ++i) {
            awarded += awards[i].amount;
        }
        uint256 burned = stake - awarded;
        emit Punished(id, solver, awarded, burned);
        _credit(record.requester, id, uint256(record.maxPrice) + record.verifierFee);

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

        _end(solver, solverStake(uint128(price), record.segments, record.checks), 0);
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
        uint256 stake = solverStake(record.price, record.segments, record.checks);
        // No more than it would have earned: of many segments with few checks the stake is many times that.
        // And nobody receives it: or a task that cannot be done in time would be a trap that pays.
        uint256 penalty = Math.min(stake * _latePenaltyBps / BPS, record.price);

        record.status = Status.Expired;
        emit Expired(id, solver, penalty);
        _credit(record.requester, id, uint256(record.maxPrice) + record.verifierFee);

        _end(solver, stake, penalty);
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
            result.solverStake = solverStake(result.price, result.segments, result.checks);
        }
        result.bidUntil = record.bidUntil;
        result.commitUntil = _commitUntil(record);
        result.windowEnds = record.windowEnds;
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
    function bids(uint256 id) external view returns (Bid[] memory result) {
        result = new Bid[](_known(id).bids);
        for (uint256 i; i < result.length; ++i) {
            Offer memory offer = _offers[id][i];
            result[i] = Bid(offer.worker, offer.price);
        }
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
        if (solver != address(0)) stake = solverStake(record.price, record.segments, record.checks);
    }

    /// @inheritdoc IMarket
    // Rounded up: a stake is never below what the formula says.
    function solverStake(uint128 price, uint32 count, uint32 checks) public view returns (uint128) {
        uint256 stake = Math.ceilDiv(uint256(price) * _marginBps * count, BPS * uint256(checks)); // below 2^192
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
        (p.minBidTime, p.minCommitTime) = (_minBidTime, _minCommitTime);
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
        uint256 latest = block.timestamp + LONGEST;
        if (terms.bidUntil < bidFrom || terms.commitUntil < commitFrom || terms.commitUntil > latest) {
            revert BadDeadlines(terms.bidUntil, terms.commitUntil, uint64(bidFrom), uint64(commitFrom));
        }
    }

    /// `needed` is never zero, so this refuses whoever has not approved the market.
    function _checkStake(address worker, uint256 needed) private view {
        uint256 has = IStakes(stakes).available(worker, address(this));
        if (has >= needed) return;
        if (!IStakes(stakes).isLocker(worker, address(this))) revert NotALocker(worker);
        revert NotEnoughStake(worker, has, needed);
    }

    function _checkDisputes() private view {
        if (msg.sender != disputes) revert NotDisputes(msg.sender);
    }

    // ----------------------------------------------------------------------------------- bidding

    function _place(uint256 id, Record storage record, Offer memory offer) private {
        Offer[MOST_BIDS] storage offers = _offers[id];
        uint256 count = record.bids;
        // The place to give up, if any: the worker's own bid, else the latest of the dearest.
        uint256 out = count;
        uint256 dearest;
        uint256 dearestPrice;
        for (uint256 i; i < count; ++i) {
            Offer memory other = offers[i];
            if (other.worker == offer.worker) {
                if (offer.price >= other.price) revert AlreadyBid(offer.worker);
                out = i;
                break;
            }
            if (other.price >= dearestPrice) (dearest, dearestPrice) = (i, other.price);
        }
        if (out == MOST_BIDS) {
            if (offer.price >= dearestPrice) revert TooManyBids(MOST_BIDS, uint128(dearestPrice));
            out = dearest;
        }
        if (out == count) {
            record.bids = uint8(++count); // no truncation: at most MOST_BIDS
        } else {
            // Those behind move up, so that the order stays that of time.
            for (uint256 i = out + 1; i < count; ++i) {
                offers[i - 1] = offers[i];
            }
        }
        offers[count - 1] = offer;
    }

    function _cheapest(uint256 id, Record storage record) private view returns (bool found, Offer memory best) {
        uint256 count = record.bids;
        (uint32 segments, uint32 checks) = (record.segments, record.checks);
        Offer[] memory offers = new Offer[](count);
        for (uint256 i; i < count; ++i) {
            offers[i] = _offers[id][i];
        }
        // Each round takes the cheapest left, or finds it unable and leaves it out.
        for (uint256 round; round < count; ++round) {
            uint256 index = count;
            for (uint256 i; i < count; ++i) {
                if (offers[i].worker == address(0)) continue; // left out; no bid comes from address zero
                if (index == count || offers[i].price < offers[index].price) index = i;
            }
            best = offers[index];
            uint256 needed = solverStake(best.price, segments, checks);
            if (IStakes(stakes).available(best.worker, address(this)) >= needed) {
                return (true, best);
            }
            offers[index] = Offer(address(0), 0);
        }
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
