// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Codes} from "./court/Codes.sol";
import {IChecker} from "./interfaces/IChecker.sol";
import {ICourt, ICourtClient} from "./interfaces/ICourt.sol";
import {Claim, Context, Header, Node, Opening} from "./interfaces/Types.sol";
import {Clock, Clocks, Instant} from "./lib/Clock.sol";
import {Elements} from "./lib/Elements.sol";
import {Merkle} from "./lib/Merkle.sol";
import {Records} from "./lib/Records.sol";

/// Phases and the moves between them (S: the solver moves, C: the challenger does):
///
///   Steps --S revealRoots, C descendSteps--> Steps ... until the interval has one step --> Step
///   Step  --S revealTrace, with what lies under its root--> Trace
///   Trace --C descend, S revealChildren--> Trace ... until a leaf --> Tensor
///         --C accuseState or accuseReports, at the trace's root--> State or Reports
///   State, Reports --S revealChildren, C descend--> the same ... until a leaf --> Proof
///   Tensor --S revealTensor, with what lies under its root--> Elements (Leaf, if it has one leaf only)
///   Elements --C descend, S revealChildren--> Elements ... until a leaf --> Leaf
///   Leaf  --S revealLeaf--> Proof
///   Proof --anyone: a proof--> Closed, the solver is guilty
///
///   Data  --S showData--> Closed, the solver is not guilty
///
/// A proof of a tensor's shape is open to all earlier, as soon as it is opened. Whoever is to move and has no
/// time left has lost, as soon as anyone calls time.
///
/// What the solver reveals goes to the log; storage keeps only the root under attack, as a revealed
/// array is checked by folding it to that root, and a child by climbing to it. Of the claim it keeps the
/// hash, and no word before a move makes it another one: who needs the claim brings it.
contract Court is ICourt {
    /// @inheritdoc ICourt
    uint8 public immutable arityBits;

    IChecker private immutable _sourceChecker;
    IChecker private immutable _mapChecker;
    IChecker private immutable _reduceChecker;
    IChecker private immutable _dotChecker;
    IChecker private immutable _gatherChecker;
    IChecker private immutable _scatterChecker;

    mapping(uint256 id => Dispute) private _disputes;
    uint256 private _count;

    /// @param checkers by kind of node: source, map, reduce, dot, gather, scatter
    constructor(uint8 arityBits_, IChecker[6] memory checkers) {
        if (arityBits_ == 0 || arityBits_ > 8) revert BadParameters();
        arityBits = arityBits_;
        _sourceChecker = checkers[0];
        _mapChecker = checkers[1];
        _reduceChecker = checkers[2];
        _dotChecker = checkers[3];
        _gatherChecker = checkers[4];
        _scatterChecker = checkers[5];
    }

    // --- opening and closing ---

    /// @inheritdoc ICourt
    function open(Claim calldata claim, uint32 clock, uint96 matter) external returns (uint256 id) {
        // Equal states are no empty claim: a step of inference changes no state, only its reports.
        if (claim.lastStep <= claim.firstStep) revert EmptyClaim();
        return _open(claim, clock, matter, claim.lastStep - claim.firstStep == 1 ? Phase.Step : Phase.Steps);
    }

    /// @inheritdoc ICourt
    function demand(Claim calldata claim, uint256 word, uint32 clock, uint96 matter) external returns (uint256 id) {
        id = _open(claim, clock, matter, Phase.Data);
        _disputes[id].revealed = bytes32(word);
        emit Demanded(id, word);
    }

    function _open(Claim calldata claim, uint32 clock, uint96 matter, Phase phase) private returns (uint256 id) {
        if (clock == 0) revert NoClock();
        id = _count++;
        Dispute storage d = _disputes[id];
        d.since = Clocks.current();
        d.phase = phase;
        d.solverToMove = true;
        d.solverClock = Clocks.create(clock);
        d.challengerClock = Clocks.create(clock);
        d.solver = claim.solver;
        d.challenger = claim.challenger;
        d.matter = matter;
        d.client = msg.sender;
        d.lo = claim.firstStep;
        d.hi = claim.lastStep;
        d.claim = _hashOf(claim);
        emit Opened(id, msg.sender, claim, clock);
    }

    /// @inheritdoc ICourt
    function callTime(uint256 id) external {
        Dispute storage d = _running(id);
        bool solverToMove = d.solverToMove;
        Clock moving = solverToMove ? d.solverClock : d.challengerClock;
        if (moving.overrun(d.since) == 0) revert ClockStillRunning(moving.remaining(d.since));
        _decide(id, d, solverToMove, "time");
    }

    // --- the solver's moves ---

    /// @inheritdoc ICourt
    function revealRoots(uint256 id, bytes32[] calldata roots) external {
        Dispute storage d = _solverMoves(id, Phase.Steps);
        (uint64 lo, uint64 hi) = (d.lo, d.hi);
        uint256 interior = _parts(lo, hi) - 1;
        if (roots.length != interior) revert WrongCount(roots.length, interior);
        d.revealed = keccak256(abi.encode(roots));
        d.solverToMove = false;
        emit RootsRevealed(id, lo, hi, roots);
    }

    /// @inheritdoc ICourt
    function revealTrace(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        bytes32 trace,
        bytes32 salt,
        bytes32 reports,
        bytes32[] calldata path,
        bytes32[] calldata children
    ) external {
        Dispute storage d = _solverMoves(id, Phase.Step);
        _checkProgram(d, claim, header);
        if (header.reportCount == 0) _expect(reports, 0); // there is no list to accuse
        uint64 step = d.lo;
        _checkJournal(claim, step, Merkle.reportItem(claim.solver, step, salt, reports), path);

        d.phase = Phase.Trace;
        if (d.hi == claim.lastStep) d.disputed = claim.lastState;
        d.trace = trace;
        d.revealed = reports;
        d.nodeCount = header.nodeCount;
        d.stateCount = header.stateCount;
        _attack(d, header.nodeCount);
        emit TraceRevealed(id, step, trace, salt, reports);
        _show(id, d, Phase.Trace, children);
    }

    /// @inheritdoc ICourt
    function revealChildren(uint256 id, bytes32[] calldata children) external {
        Phase phase = _treeOf(id);
        _show(id, _solverMoves(id, phase), phase, children);
    }

    /// @inheritdoc ICourt
    function revealTensor(uint256 id, uint8 dtype, uint64 count, bytes32 elements, bytes32[] calldata children)
        external
    {
        Dispute storage d = _solverMoves(id, Phase.Tensor);
        uint32 item = d.item;
        _expect(Merkle.listLeaf(item, Merkle.tensorItem(dtype, count, elements)), d.disputed);
        // No program has such a tensor, and it has no leaves to descend to: its solver is stuck here.
        if (!Records.isType(dtype) || count == 0 || count > Records.MAX_COUNT) revert NotTheShape(dtype, count);
        d.dtype = dtype;
        d.count = count;
        d.disputed = elements;
        _attack(d, Elements.leavesOf(dtype, count));
        emit TensorRevealed(id, item, dtype, count, elements);
        if (d.level == 0) {
            d.phase = Phase.Leaf;
            if (children.length != 0) revert WrongCount(children.length, 0);
        } else {
            d.phase = Phase.Elements;
            _show(id, d, Phase.Elements, children);
        }
    }

    /// @inheritdoc ICourt
    function revealLeaf(uint256 id, bytes calldata data) external {
        Dispute storage d = _solverMoves(id, Phase.Leaf);
        _checkLeaf(d, data);
        d.phase = Phase.Proof;
        d.solverToMove = false;
        emit LeafRevealed(id, d.index, data);
    }

    /// @inheritdoc ICourt
    function showData(uint256 id, Claim calldata claim, Header calldata header, Opening calldata opening) external {
        Dispute storage d = _solverMoves(id, Phase.Data);
        _checkProgram(d, claim, header);
        uint256 tensors = header.stateCount; // not zero in any program that a worker accepts
        (uint256 word, uint64 count) = (uint256(d.revealed), opening.count);
        if (!Records.isType(opening.dtype) || count == 0) revert NotTheShape(opening.dtype, count);
        uint64 tensor = uint64(word % tensors);
        Elements.checkItem(opening, opening.dtype, count, claim.lastState, tensor, uint64(tensors));
        uint256 leaf = word / tensors % Elements.leavesOf(opening.dtype, count);
        // Reverts unless the leaf is proven; its element is of no interest.
        // slither-disable-next-line unused-return
        Elements.one(opening, uint64(leaf * Elements.perLeaf(opening.dtype))); // less than `count`
        emit DataShown(id, uint32(tensor), uint64(leaf), opening.leaves);
        _decide(id, d, false, "data");
    }

    // --- the challenger's moves ---

    /// @inheritdoc ICourt
    function descendSteps(uint256 id, bytes32[] calldata roots, uint256 part) external {
        Dispute storage d = _challengerMoves(id, Phase.Steps);
        _expect(keccak256(abi.encode(roots)), d.revealed);
        (uint64 lo, uint64 hi) = (d.lo, d.hi);
        uint256 parts = _parts(lo, hi);
        if (part >= parts) revert NoSuchPart(part, parts);
        if (part != 0) d.loState = roots[part - 1];
        if (part != parts - 1) d.disputed = roots[part];
        // Points of an interval lie within it: 64 bits hold them, and the product with a part number.
        uint256 length = hi - lo;
        (lo, hi) = (uint64(lo + length * part / parts), uint64(lo + length * (part + 1) / parts));
        d.lo = lo;
        d.hi = hi;
        if (hi - lo == 1) d.phase = Phase.Step;
        d.solverToMove = true;
        emit StepsNarrowed(id, lo, hi);
    }

    /// @inheritdoc ICourt
    function descend(uint256 id, uint256 child, bytes32 root, bytes32[] calldata path) external {
        Phase phase = _treeOf(id);
        Dispute storage d = _challengerMoves(id, phase);
        (uint256 below, uint256 first, uint256 count) = _children(d);
        if (child >= count) revert NoSuchPart(child, count);
        uint256 index = first + child;
        uint256 width = Merkle.widthAt(d.size, below);
        _expect(Merkle.climb(root, index, width, path, d.level - below), _root(d, phase));
        d.disputed = root;
        d.level = uint8(below);
        d.index = uint40(index); // less than the tree's size
        if (below == 0) {
            _reachLeaf(d, phase, index);
        } else {
            d.solverToMove = true;
        }
        emit Descended(id, phase, uint8(below), uint64(index), root);
    }

    /// @inheritdoc ICourt
    function accuseState(uint256 id) external {
        Dispute storage d = _challengerMoves(id, Phase.Trace);
        _accuse(d, Phase.State, d.stateCount); // `disputed` is S_hi still
        emit StateAccused(id);
    }

    /// @inheritdoc ICourt
    function accuseReports(uint256 id, Claim calldata claim, Header calldata header) external {
        Dispute storage d = _challengerMoves(id, Phase.Trace);
        _checkProgram(d, claim, header);
        if (header.reportCount == 0) revert NoSuchPart(0, 0);
        _accuse(d, Phase.Reports, header.reportCount);
        d.disputed = d.revealed;
        emit ReportsAccused(id);
    }

    // --- proofs ---

    /// @inheritdoc ICourt
    function proveElement(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        Node calldata node,
        bytes32[] calldata nodePath,
        bytes calldata data,
        uint256 position,
        Opening[] calldata openings
    ) external {
        Dispute storage d = _placeProven(id, false);
        bytes memory record = _checkRecord(d, claim, header, node, nodePath);
        if (!_hasShape(d, node)) revert NotTheShape(node.dtype, Records.countOf(node.shape));
        _tryElement(id, claim, node.kind, record, data, position, openings);
        _decide(id, d, true, "element");
    }

    /// @inheritdoc ICourt
    function proveShape(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        Node calldata node,
        bytes32[] calldata nodePath
    ) external {
        Phase phase = _running(id).phase;
        if (phase != Phase.Elements && phase != Phase.Proof) revert WrongPhase(phase);
        Dispute storage d = _proof(id);
        if (d.accused != Phase.None) revert WrongPhase(phase);
        bytes memory record = _checkRecord(d, claim, header, node, nodePath);
        // Reverts for a malformed record; the count is compared below.
        // slither-disable-next-line unused-return
        checker(node.kind).check(d.item, record);
        if (_hasShape(d, node)) revert NotTheShape(node.dtype, d.count);
        _decide(id, d, true, "shape");
    }

    /// @inheritdoc ICourt
    function provePadding(uint256 id, bytes calldata data, uint256 position) external {
        Dispute storage d = _placeProven(id, false);
        (uint64 element, uint64 committed) = _committed(d, data, position);
        if (element < d.count || committed == 0) revert NotPadding(element, d.count);
        _decide(id, d, true, "padding");
    }

    /// @inheritdoc ICourt
    function proveOutput(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        uint32 node,
        bytes32[] calldata outputPath,
        bytes32 item,
        bytes32[] calldata tracePath
    ) external {
        Dispute storage d = _placeProven(id, true);
        _checkProgram(d, claim, header);
        uint32 tensor = d.item;
        bool ofState = d.accused == Phase.State;
        _checkOutput(header, ofState ? tensor : uint64(header.stateCount) + tensor, node, outputPath);
        _checkTraced(d, node, item, tracePath);
        if (Merkle.listLeaf(tensor, item) == d.disputed) revert CommitmentFollows(item);
        _decide(id, d, true, ofState ? bytes32("state") : bytes32("report"));
    }

    // --- views ---

    /// @inheritdoc ICourt
    function dispute(uint256 id) external view returns (Dispute memory) {
        return _disputes[id];
    }

    /// @inheritdoc ICourt
    function disputes() external view returns (uint256 count) {
        return _count;
    }

    /// @inheritdoc ICourt
    function checker(uint8 kind) public view returns (IChecker) {
        if (kind == 0) return _sourceChecker;
        if (kind == 1) return _mapChecker;
        if (kind == 2) return _reduceChecker;
        if (kind == 3) return _dotChecker;
        if (kind == 4) return _gatherChecker;
        if (kind == 5) return _scatterChecker;
        revert UnknownKind(kind);
    }

    // --- whose turn it is ---

    function _running(uint256 id) private view returns (Dispute storage d) {
        d = _disputes[id];
        Phase phase = d.phase;
        if (phase == Phase.None) revert UnknownDispute(id);
        if (phase == Phase.Closed) revert WrongPhase(phase);
    }

    /// A move of the solver: charges its clock and starts the one of whoever is next.
    function _solverMoves(uint256 id, Phase phase) private returns (Dispute storage d) {
        d = _inPhase(id, phase);
        if (!d.solverToMove || msg.sender != d.solver) revert NotYourMove(msg.sender);
        Clock moving = d.solverClock;
        _checkTime(moving, d.since);
        d.solverClock = moving.charge(d.since);
        d.since = Clocks.current();
    }

    /// A move of the challenger, likewise.
    function _challengerMoves(uint256 id, Phase phase) private returns (Dispute storage d) {
        d = _inPhase(id, phase);
        if (d.solverToMove || msg.sender != d.challenger) revert NotYourMove(msg.sender);
        Clock moving = d.challengerClock;
        _checkTime(moving, d.since);
        d.challengerClock = moving.charge(d.since);
        d.since = Clocks.current();
    }

    /// A proof ends the dispute, so no clock is charged; but out of time is out of time.
    function _proof(uint256 id) private view returns (Dispute storage d) {
        d = _running(id);
        if (d.solverToMove) revert NotYourMove(msg.sender);
        _checkTime(d.challengerClock, d.since);
    }

    /// A proof at the place that the descent ended at: in a list of outputs, or in the trace.
    function _placeProven(uint256 id, bool ofOutput) private view returns (Dispute storage d) {
        _inPhase(id, Phase.Proof);
        d = _proof(id);
        if ((d.accused != Phase.None) != ofOutput) revert WrongPhase(Phase.Proof);
    }

    function _inPhase(uint256 id, Phase expected) private view returns (Dispute storage d) {
        d = _running(id);
        if (d.phase != expected) revert WrongPhase(d.phase);
    }

    /// The phase, if it is one in which a tree is under attack.
    function _treeOf(uint256 id) private view returns (Phase phase) {
        phase = _running(id).phase;
        bool isList = phase == Phase.Trace || phase == Phase.State || phase == Phase.Reports;
        if (!isList && phase != Phase.Elements) revert WrongPhase(phase);
    }

    function _checkTime(Clock moving, Instant since) private view {
        uint256 over = moving.overrun(since);
        if (over != 0) revert ClockRunOut(over);
    }

    // --- where the attack stands ---

    /// Parts that an interval is divided into.
    function _parts(uint64 lo, uint64 hi) private view returns (uint256) {
        uint256 length = hi - lo;
        uint256 most = uint256(1) << arityBits;
        return length < most ? length : most;
    }

    /// Puts a whole tree under attack.
    function _attack(Dispute storage d, uint256 size) private {
        d.level = Merkle.depth(size);
        d.index = 0;
        d.size = uint40(size); // the leaves of at most MAX_COUNT elements, or a 32-bit count
    }

    /// Whether the whole tree is under attack: only its root is as high as it.
    function _isWhole(Dispute storage d) private view returns (bool) {
        return d.level == Merkle.depth(d.size);
    }

    /// The root under attack. While that is the whole trace, S_hi is kept: it may be accused yet.
    function _root(Dispute storage d, Phase phase) private view returns (bytes32) {
        return phase == Phase.Trace && _isWhole(d) ? d.trace : d.disputed;
    }

    /// Level of the children of the root under attack, position of the first, and their number.
    function _children(Dispute storage d) private view returns (uint256 below, uint256 first, uint256 count) {
        uint256 level = d.level;
        uint256 levels = level < arityBits ? level : arityBits;
        below = level - levels;
        first = uint256(d.index) << levels;
        // At least one: a node has a descendant at its subtree's left edge on every level.
        count = Merkle.widthAt(d.size, below) - first;
        uint256 most = uint256(1) << levels;
        if (count > most) count = most;
    }

    /// The solver shows what lies under the root under attack.
    function _show(uint256 id, Dispute storage d, Phase phase, bytes32[] calldata children) private {
        (,, uint256 count) = _children(d);
        if (children.length != count) revert WrongCount(children.length, count);
        _expect(Merkle.fold(children), _root(d, phase));
        d.solverToMove = false;
        emit ChildrenRevealed(id, phase, d.level, d.index, children);
    }

    /// A leaf of the tree has been reached. A list's leaf names the tensor under attack.
    function _reachLeaf(Dispute storage d, Phase phase, uint256 index) private {
        if (phase == Phase.Elements) {
            d.phase = Phase.Leaf;
            d.solverToMove = true;
            return;
        }
        d.item = uint32(index); // lists have a 32-bit size
        bool isTrace = phase == Phase.Trace;
        d.phase = isTrace ? Phase.Tensor : Phase.Proof;
        d.solverToMove = isTrace;
    }

    /// Puts a list of outputs under attack instead of the trace.
    function _accuse(Dispute storage d, Phase list, uint256 size) private {
        if (!_isWhole(d)) revert AlreadyDescended();
        d.accused = list;
        d.phase = list;
        _attack(d, size);
        if (d.level == 0) {
            _reachLeaf(d, list, 0);
        } else {
            d.solverToMove = true;
        }
    }

    // --- what is bound to what ---

    function _expect(bytes32 computed, bytes32 expected) private pure {
        if (computed != expected) revert DoesNotHash(computed, expected);
    }

    /// keccak256(abi.encode(claim)): the struct is static, so calldata holds its encoding.
    function _hashOf(Claim calldata claim) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            calldatacopy(at, claim, 0x180)
            hash := keccak256(at, 0x180)
        }
    }

    /// That this is the claim which the dispute is about, and the header of its program.
    function _checkProgram(Dispute storage d, Claim calldata claim, Header calldata header) private view {
        if (_hashOf(claim) != d.claim) revert WrongClaim();
        if (Merkle.headerRoot(header) != claim.program) revert WrongProgram();
    }

    /// That `item` is what the claim's journal holds of a step.
    function _checkJournal(Claim calldata claim, uint64 step, bytes32 item, bytes32[] calldata path) private view {
        uint64 first = claim.firstStep;
        _expect(Merkle.listRoot(step - first, item, claim.lastStep - first, path), claim.journal);
    }

    /// That `node` is the record of the node under attack; gives its encoding.
    function _checkRecord(
        Dispute storage d,
        Claim calldata claim,
        Header calldata header,
        Node calldata node,
        bytes32[] calldata path
    ) private view returns (bytes memory record) {
        _checkProgram(d, claim, header);
        record = Records.encodingOf(node);
        _expect(Merkle.listRoot(d.item, Merkle.nodeItem(record), header.nodeCount, path), header.nodes);
    }

    /// That output number `output` of the program is `node`.
    function _checkOutput(Header calldata header, uint64 output, uint32 node, bytes32[] calldata path) private view {
        uint64 outputs = uint64(header.stateCount) + header.reportCount;
        _expect(Merkle.listRoot(output, bytes32(uint256(node)), outputs, path), header.outputs);
    }

    /// That `item` is the trace's item of `node`.
    function _checkTraced(Dispute storage d, uint32 node, bytes32 item, bytes32[] calldata path) private view {
        _expect(Merkle.listRoot(node, item, d.nodeCount, path), d.trace);
    }

    function _checkLeaf(Dispute storage d, bytes calldata data) private view {
        if (data.length != Elements.LEAF_BYTES) revert WrongCount(data.length, Elements.LEAF_BYTES);
        _expect(Merkle.elementLeaf(data), d.disputed);
    }

    function _hasShape(Dispute storage d, Node calldata node) private view returns (bool) {
        return node.dtype == d.dtype && Records.countOf(node.shape) == d.count;
    }

    /// Number and bits of the element at `position` of the leaf under attack.
    function _committed(Dispute storage d, bytes calldata data, uint256 position)
        private
        view
        returns (uint64 element, uint64 bits)
    {
        _checkLeaf(d, data);
        uint8 dtype = d.dtype;
        uint256 each = Elements.perLeaf(dtype);
        if (position >= each) revert NoSuchPart(position, each);
        bits = Elements.raw(data, dtype, position);
        element = uint64(uint256(d.index) * each + position);
    }

    /// Reverts if the element is what its operands give.
    function _tryElement(
        uint256 id,
        Claim calldata claim,
        uint8 kind,
        bytes memory record,
        bytes calldata data,
        uint256 position,
        Opening[] calldata openings
    ) private {
        Dispute storage d = _disputes[id];
        (uint64 element, uint64 committed) = _committed(d, data, position);
        if (element >= d.count) revert NoSuchPart(element, d.count);
        Context memory context = _context(d, claim, kind);
        uint64 value = checker(kind).recompute(context, d.item, record, element, openings);
        if (value == committed) revert ElementFollows(value);
        emit ElementTried(id, d.item, element, committed, value);
    }

    /// What a node of this kind may be recomputed from: a source from all but the trace, any other from
    /// nothing else.
    function _context(Dispute storage d, Claim calldata claim, uint8 kind)
        private
        view
        returns (Context memory context)
    {
        if (kind != Codes.SOURCE) {
            context.trace = d.trace;
            context.nodeCount = d.nodeCount;
            return context;
        }
        uint64 step = d.lo;
        context.state = step == claim.firstStep ? claim.firstState : d.loState;
        context.stateCount = d.stateCount;
        context.data = claim.data;
        context.dataTensors = claim.dataTensors;
        context.rows = claim.rows;
        context.seed = claim.seed;
        context.step = step;
    }

    /// The client is told last. Its failure is not caught: a caller who chose the gas such that the
    /// client runs out of it would otherwise close the dispute without a verdict.
    function _decide(uint256 id, Dispute storage d, bool solverGuilty, bytes32 reason) private {
        d.phase = Phase.Closed;
        emit Decided(id, solverGuilty, reason);
        ICourtClient(d.client).onVerdict(id, d.matter, solverGuilty);
    }
}
