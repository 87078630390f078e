// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";

import {ICourt, ICourtClient} from "./interfaces/ICourt.sol";
import {IDisputes} from "./interfaces/IDisputes.sol";
import {IMarket} from "./interfaces/IMarket.sol";
import {IStakes} from "./interfaces/IStakes.sol";
import {IVerifiers} from "./interfaces/IVerifiers.sol";
import {Claim, Job} from "./interfaces/Types.sol";

/// The queue of `IDisputes`.
///
///     Sealed ---- unsealed ----> Waiting --- its turn ---> Running --- guilty ---> Convicting
///            -- openTime over -> Lapsed                            --- not ------> Lost
///     Sealed, Waiting --- another one convicts ---> Moot
///
/// Whatever state an accusation is in, anyone can end it: `lapse` and `start` when the time has come,
/// the court's `callTime`, and `dismiss` and `punish` after a conviction. Nothing here touches the token,
/// calls anybody but our own contracts, or loops over accusations without a bound: no verdict can fail.
contract Disputes is IDisputes {
    using BitMaps for BitMaps.BitMap;
    using SafeCast for uint256;

    enum Kind {
        Open,
        Privileged,
        Further, // the drawn verifier's, after its privileged one
        Demand,
        PrivilegedDemand
    }

    /// An accusation in two slots.
    struct Entry {
        address accuser;
        uint40 filedAt;
        uint8 newest; // the last segment that was committed when it was filed
        uint8 segment;
        Standing standing;
        Kind kind;
        uint24 times; // its bond is so many times `bond`
        // slot
        bytes32 finding;
    }

    /// What there is of each task, in two slots; see `IDisputes.Queue`. 24 bits count more accusations than
    /// there is money for: the bonds of so many are 2^47 times `bond`. Where one is too many, filing reverts.
    struct Line {
        uint24 filed;
        uint24 plain;
        uint24 undecided;
        uint24 head;
        uint24 privileged;
        uint24 running;
        uint24 convicting;
        bool punished;
        uint64 dispute;
        // slot
        uint40 convictedAt;
        uint24 verifiers; // unsealed accusations of the drawn verifier's that are not lost, demands aside
    }

    uint256 private constant BPS = 10_000;
    uint32 private constant MOST_SKIPPED = 32; // decided ones that `start` moves the head past

    /// @inheritdoc IDisputes
    address public immutable market;
    /// @inheritdoc IDisputes
    address public immutable court;
    /// @inheritdoc IDisputes
    address public immutable stakes;
    /// @inheritdoc IDisputes
    uint32 public immutable openTime;
    /// @inheritdoc IDisputes
    uint16 public immutable finderBps;
    /// @inheritdoc IDisputes
    uint128 public immutable bond;

    mapping(uint256 task => Line) private _lines;
    mapping(uint256 task => mapping(uint32 number => Entry)) private _entries;
    // By task, segment and finding: the numbers of Kind.Open that have been unsealed with it and not lost. The lowest
    // is who found it: were only that one kept, a friend of the cheat's could file first and lose on purpose.
    mapping(bytes32 what => BitMaps.BitMap) private _finders;

    /// The market is there already and names this contract by the address that it gets.
    constructor(address market_, address court_, uint32 openTime_, uint16 finderBps_, uint96 bond_) {
        if (market_.code.length == 0 || IMarket(market_).disputes() != address(this)) {
            revert BadParameter("market");
        }
        if (court_.code.length == 0) revert BadParameter("court");
        IMarket.Parameters memory p = IMarket(market_).parameters();
        // An accusation must be opened through an outage in which a clock of a dispute would not run out.
        if (uint256(openTime_) * 4 < p.minClock) revert BadParameter("openTime");
        if (bond_ == 0) revert BadParameter("bond");
        // Being convicted by a friend must cost something; and of the smallest stake, whoever convicts has
        // its `bond` and those that found at least as much.
        if (finderBps_ >= BPS || p.floorStake * uint256(finderBps_) / BPS < 2 * uint256(bond_)) {
            revert BadParameter("finderBps");
        }
        // Who stands ready to verify has staked at least what an accusation costs.
        if (IVerifiers(p.verifiers).unitStake() < bond_) revert BadParameter("unitStake");
        (market, court, stakes) = (market_, court_, p.stakes);
        (openTime, finderBps, bond) = (openTime_, finderBps_, bond_);
    }

    // ------------------------------------------------------------------------------------- filing

    /// @inheritdoc IDisputes
    // The market is ours and calls nobody back.
    // slither-disable-next-line reentrancy-events
    function accuse(uint256 task, bytes32 seal) external returns (uint32 number) {
        bool privileged;
        uint128 locked;
        (number, privileged, locked) = _file(task, false, 0, seal);
        emit Accused(task, number, msg.sender, privileged, locked, seal);
        IStakes(stakes).lock(msg.sender, locked);
    }

    /// @inheritdoc IDisputes
    // As `accuse`.
    // slither-disable-next-line reentrancy-events
    function demand(uint256 task, uint32 segment, uint256 word) external returns (uint32 number) {
        bool privileged;
        uint128 locked;
        (number, privileged, locked) = _file(task, true, segment, bytes32(word));
        emit Demanded(task, number, msg.sender, privileged, locked, segment, word);
        IStakes(stakes).lock(msg.sender, locked);
    }

    // Who may file is the market's to say, before anything is written; it calls nobody back.
    // slither-disable-next-line reentrancy-benign,reentrancy-no-eth
    function _file(uint256 task, bool isDemand, uint32 segment, bytes32 finding)
        private
        returns (uint32 number, bool privileged, uint128 locked)
    {
        (address solver, address verifier, uint32 committed) = IMarket(market).hold(task);
        if (committed == 0) revert NothingCommitted(task);
        if (segment >= committed) revert NotCommitted(segment, committed);
        if (msg.sender == solver) revert OwnWork(solver);

        Line storage line = _lines[task];
        privileged = msg.sender == verifier && line.privileged == 0;
        number = line.filed++;
        ++line.undecided;
        uint256 times = 1;
        if (privileged) line.privileged = uint24(number + 1); // no truncation: `filed` is no less
        else times = ++line.plain;
        Kind kind = isDemand ? Kind.Demand : msg.sender == verifier ? Kind.Further : Kind.Open;
        if (privileged) kind = isDemand ? Kind.PrivilegedDemand : Kind.Privileged;
        _entries[task][number] = Entry({
            accuser: msg.sender,
            filedAt: uint40(block.timestamp),
            newest: uint8(committed - 1), // no truncation: a task has at most 256 segments
            segment: uint8(segment),
            standing: isDemand ? Standing.Waiting : Standing.Sealed,
            kind: kind,
            times: times.toUint24(),
            finding: finding
        });
        locked = uint128(times * bond);
    }

    /// @inheritdoc IDisputes
    function unseal(uint256 task, uint32 number, uint32 segment, bytes32 finding, bytes32 salt) external {
        Entry storage entry = _standing(task, number, Standing.Sealed);
        if (msg.sender != entry.accuser) revert NotAccuser(msg.sender, entry.accuser);
        uint64 until = _opensUntil(entry);
        if (block.timestamp > until) revert TooLate(until);
        if (segment > entry.newest) revert NotCommitted(segment, uint32(entry.newest) + 1);
        bytes32 computed = sealOf(task, segment, finding, msg.sender, salt);
        if (computed != entry.finding) revert WrongSeal(computed, entry.finding);

        entry.standing = Standing.Waiting;
        entry.segment = uint8(segment); // no truncation: at most `newest`
        entry.finding = finding;
        _show(task, number, segment, finding, entry.kind);
        emit Unsealed(task, number, segment, finding);
    }

    /// Keeps who showed what, so that `punish` need not search among all.
    function _show(uint256 task, uint32 number, uint32 segment, bytes32 finding, Kind kind) private {
        if (kind == Kind.Open) _finders[_keyOf(task, segment, finding)].set(number);
        else ++_lines[task].verifiers;
    }

    /// And no more, once it has lost.
    function _hide(uint256 task, uint32 number, Entry storage entry) private {
        Kind kind = entry.kind;
        if (kind == Kind.Open) _finders[_keyOf(task, entry.segment, entry.finding)].unset(number);
        else if (!_isDemand(kind)) --_lines[task].verifiers;
    }

    // -------------------------------------------------------------------------------------- turns

    /// @inheritdoc IDisputes
    // Market and court are ours and call nobody back; the court gives the number that the record needs.
    // slither-disable-next-line reentrancy-benign,reentrancy-no-eth,reentrancy-events
    function start(uint256 task, Job calldata job) external returns (uint256 dispute) {
        Line storage line = _lines[task];
        if (line.convicting != 0) revert AlreadyCondemned(task);
        if (line.running != 0) revert DisputeRunning(line.dispute);
        if (line.undecided == 0) revert NobodyWaits(task);
        uint32 number = _next(task, line);
        Entry storage entry = _entries[task][number];
        entry.standing = Standing.Running;
        line.running = uint24(number + 1); // no truncation: at most `filed`

        (Claim memory claim, uint32 clock) = _claim(task, job, entry);
        uint96 matter = uint96(task << 32 | number); // no truncation: a task costs a transaction
        dispute = _isDemand(entry.kind)
            ? ICourt(court).demand(claim, uint256(entry.finding), clock, matter)
            : ICourt(court).open(claim, clock, matter);
        line.dispute = uint64(dispute); // nor does this
        emit Started(task, number, dispute);
    }

    /// @inheritdoc IDisputes
    function advance(uint256 task, uint32 most) external {
        // Where the head is then is of interest to `start` alone.
        // slither-disable-next-line unused-return
        _advance(task, _lines[task], most);
    }

    /// @inheritdoc IDisputes
    function lapse(uint256 task, uint32 number) external {
        Entry storage entry = _standing(task, number, Standing.Sealed);
        Line storage line = _lines[task];
        if (line.convicting != 0) revert AlreadyCondemned(task);
        uint64 until = _opensUntil(entry);
        if (block.timestamp <= until) revert TooEarly(until);
        _end(task, number, line, entry, Standing.Lapsed);
        IStakes(stakes).slash(entry.accuser, _bondOf(entry));
    }

    /// @inheritdoc ICourtClient
    function onVerdict(uint256 dispute, uint96 matter, bool solverGuilty) external {
        if (msg.sender != court) revert NotCourt(msg.sender);
        (uint256 task, uint32 number) = (matter >> 32, uint32(matter));
        Entry storage entry = _standing(task, number, Standing.Running);
        Line storage line = _lines[task];
        if (line.dispute != dispute) revert UnknownDispute(dispute);
        line.running = 0;
        if (solverGuilty) {
            line.convicting = uint24(number + 1); // no truncation: it was filed
            line.convictedAt = uint40(block.timestamp);
            _end(task, number, line, entry, Standing.Convicting);
            IMarket(market).condemn(task, entry.segment);
            return;
        }
        _hide(task, number, entry);
        _end(task, number, line, entry, Standing.Lost);
        // The others of the parties are of no interest.
        // slither-disable-next-line unused-return
        (address solver,,) = IMarket(market).parties(task);
        IStakes(stakes).award(entry.accuser, solver, bond);
        if (entry.times > 1) IStakes(stakes).slash(entry.accuser, _bondOf(entry) - bond);
    }

    // ------------------------------------------------------------------------- after a conviction

    /// @inheritdoc IDisputes
    function dismiss(uint256 task, uint32 number) external {
        Line storage line = _lines[task];
        if (line.convicting == 0) revert NotCondemned(task);
        Entry storage entry = _known(task, number);
        Standing standing = Standing.Moot;
        if (entry.standing == Standing.Sealed) {
            uint64 until = _opensUntil(entry);
            if (block.timestamp <= until) revert TooEarly(until);
            if (until < line.convictedAt) standing = Standing.Lapsed;
        } else if (entry.standing != Standing.Waiting) {
            revert WrongStanding(entry.standing);
        }
        _end(task, number, line, entry, standing);
        if (standing == Standing.Lapsed) IStakes(stakes).slash(entry.accuser, _bondOf(entry));
        else IStakes(stakes).release(entry.accuser, _bondOf(entry));
    }

    /// @inheritdoc IDisputes
    function punish(uint256 task) external {
        Line storage line = _lines[task];
        if (line.convicting == 0) revert NotCondemned(task);
        if (line.punished) revert AlreadyPunished(task);
        uint64 until = uint64(line.convictedAt) + openTime;
        if (block.timestamp <= until) revert TooEarly(until);
        line.punished = true;

        Entry storage entry = _entries[task][line.convicting - 1];
        // Nor is the solver here: the market knows it.
        // slither-disable-next-line unused-return
        (, address verifier, uint256 stake) = IMarket(market).parties(task);
        uint256 rest = stake * finderBps / BPS - bond; // the constructor's check keeps it positive
        if (line.verifiers == 0) verifier = address(0);
        address finder = _finder(task, line.convicting, entry);
        uint256 toVerifier;
        if (verifier != address(0)) toVerifier = finder == address(0) ? rest : rest / 2;
        uint256 toFinder = finder == address(0) ? 0 : rest - toVerifier;

        IMarket.Award[] memory awards = new IMarket.Award[](3);
        awards[0] = IMarket.Award(entry.accuser, bond);
        awards[1] = IMarket.Award(verifier, toVerifier);
        awards[2] = IMarket.Award(finder, toFinder);
        emit Punished(task, entry.accuser, bond, verifier, toVerifier, finder, toFinder);
        IStakes(stakes).release(entry.accuser, _bondOf(entry));
        IMarket(market).punish(task, entry.segment, awards);
    }

    // -------------------------------------------------------------------------------------- views

    /// @inheritdoc IDisputes
    function accusation(uint256 task, uint32 number) external view returns (Accusation memory) {
        Entry storage entry = _known(task, number);
        return Accusation({
            accuser: entry.accuser,
            filedAt: entry.filedAt,
            committed: uint32(entry.newest) + 1,
            segment: entry.segment,
            standing: entry.standing,
            privileged: _isPrivileged(entry.kind),
            isDemand: _isDemand(entry.kind),
            bond: uint128(_bondOf(entry)),
            finding: entry.finding
        });
    }

    /// @inheritdoc IDisputes
    function queue(uint256 task) external view returns (Queue memory) {
        Line storage line = _lines[task];
        return Queue({
            filed: line.filed,
            plain: line.plain,
            undecided: line.undecided,
            head: line.head,
            privileged: line.privileged,
            running: line.running,
            convicting: line.convicting,
            dispute: line.dispute,
            convictedAt: line.convictedAt,
            punished: line.punished
        });
    }

    /// @inheritdoc IDisputes
    function accusationOf(uint256 dispute) external view returns (uint256 task, uint32 number) {
        ICourt.Dispute memory d = ICourt(court).dispute(dispute);
        if (d.client != address(this)) revert UnknownDispute(dispute);
        return (d.matter >> 32, uint32(d.matter));
    }

    /// @inheritdoc IDisputes
    function bondOf(uint256 task, address accuser) external view returns (uint128 amount, bool privileged) {
        // The others of the parties are of no interest.
        // slither-disable-next-line unused-return
        (, address verifier,) = IMarket(market).parties(task);
        Line storage line = _lines[task];
        privileged = accuser == verifier && line.privileged == 0;
        amount = privileged ? bond : uint128((uint256(line.plain) + 1) * bond);
    }

    /// @inheritdoc IDisputes
    function sealOf(uint256 task, uint32 segment, bytes32 finding, address accuser, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(address(this), task, segment, finding, accuser, salt));
    }

    // ------------------------------------------------------------------------------------ helpers

    /// The one whose turn it is, or a refusal.
    function _next(uint256 task, Line storage line) private returns (uint32 number) {
        mapping(uint32 => Entry) storage entries = _entries[task];
        uint24 privileged = line.privileged;
        if (privileged != 0 && entries[privileged - 1].standing == Standing.Waiting) return privileged - 1;
        number = _advance(task, line, MOST_SKIPPED);
        // Where no other is undecided, the privileged one is.
        if (number == line.filed) number = privileged - 1;
        else if (!_keepsHead(entries[number])) revert AdvanceFirst(number);
        if (entries[number].standing != Standing.Waiting) revert StillSealed(number, _opensUntil(entries[number]));
    }

    /// What the solver is bound to in an accusation's segment. `job` is anyone's word until its hash is compared.
    function _claim(uint256 task, Job calldata job, Entry storage entry)
        private
        view
        returns (Claim memory claim, uint32 clock)
    {
        bytes32 hash;
        (claim.solver, hash, clock) = IMarket(market).bound(task);
        if (keccak256(abi.encode(job)) != hash) revert WrongJob();
        uint32 segment = entry.segment;
        uint256 firstStep = uint256(segment) * job.segmentSteps;
        IMarket.Segment memory end = IMarket(market).segment(task, segment);
        claim.challenger = entry.accuser;
        claim.program = job.program;
        claim.data = job.data;
        claim.dataTensors = job.dataTensors;
        claim.rows = job.rows;
        claim.seed = job.seed;
        claim.firstStep = uint64(firstStep); // no truncation: below job.steps, as the segment exists
        claim.lastStep = uint64(Math.min(firstStep + job.segmentSteps, job.steps));
        claim.firstState = segment == 0 ? job.state : IMarket(market).segment(task, segment - 1).state;
        claim.lastState = end.state;
        claim.journal = end.journal;
    }

    function _advance(uint256 task, Line storage line, uint32 most) private returns (uint32 head) {
        (uint32 from, uint32 filed) = (line.head, line.filed);
        for (head = from; head < filed && head - from < most; ++head) {
            if (_keepsHead(_entries[task][head])) break;
        }
        if (head != from) line.head = uint24(head); // no truncation: at most `filed`
    }

    /// Besides the drawn verifier, who found what convicted. Of Kind.Open the one that convicted did: those
    /// before it in the queue are decided, and lost. Whoever filed after the drawn verifier that convicted may
    /// have read its finding, be it in a transaction that waited to be mined.
    function _finder(uint256 task, uint32 nextOfIt, Entry storage convicting) private view returns (address) {
        Kind kind = convicting.kind;
        if (kind == Kind.Open) return convicting.accuser;
        if (_isDemand(kind)) return address(0);
        // Each word is 256 accusations, whose bonds are 32,896 times `bond` in the first and more in any other: no
        // one makes this loop long.
        BitMaps.BitMap storage found = _finders[_keyOf(task, convicting.segment, convicting.finding)];
        uint256 last = nextOfIt - 1;
        for (uint256 word; word <= last >> 8; ++word) {
            uint256 bits = found._data[word];
            if (word == last >> 8) bits &= (1 << (last & 0xff)) - 1;
            if (bits != 0) return _entries[task][uint32(word << 8 | Math.log2(bits & (~bits + 1)))].accuser;
        }
        return address(0);
    }

    /// The last that becomes of an accusation; its bond is the caller's to move.
    function _end(uint256 task, uint32 number, Line storage line, Entry storage entry, Standing standing) private {
        entry.standing = standing;
        emit Ended(task, number, standing);
        if (--line.undecided == 0 && line.convicting == 0) IMarket(market).unhold(task);
    }

    function _known(uint256 task, uint32 number) private view returns (Entry storage entry) {
        entry = _entries[task][number];
        if (entry.standing == Standing.None) revert UnknownAccusation(task, number);
    }

    function _standing(uint256 task, uint32 number, Standing standing) private view returns (Entry storage entry) {
        entry = _known(task, number);
        if (entry.standing != standing) revert WrongStanding(entry.standing);
    }

    function _opensUntil(Entry storage entry) private view returns (uint64) {
        return uint64(entry.filedAt) + openTime;
    }

    function _bondOf(Entry storage entry) private view returns (uint256) {
        return uint256(entry.times) * bond;
    }

    function _keyOf(uint256 task, uint32 segment, bytes32 finding) private pure returns (bytes32) {
        return keccak256(abi.encode(task, segment, finding));
    }

    /// Undecided, and not privileged: that one has a turn of its own.
    function _keepsHead(Entry storage entry) private view returns (bool) {
        Standing standing = entry.standing;
        bool undecided = standing == Standing.Sealed || standing == Standing.Waiting || standing == Standing.Running;
        return undecided && !_isPrivileged(entry.kind);
    }

    function _isPrivileged(Kind kind) private pure returns (bool) {
        return kind == Kind.Privileged || kind == Kind.PrivilegedDemand;
    }

    function _isDemand(Kind kind) private pure returns (bool) {
        return kind == Kind.Demand || kind == Kind.PrivilegedDemand;
    }
}
