// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Clock, Instant} from "../lib/Clock.sol";
import {IChecker} from "./IChecker.sol";
import {Claim, Header, Node, Opening} from "./Types.sol";

/// A contract that opens disputes and acts on their verdicts.
interface ICourtClient {
    /// Told once per dispute, when it is decided, with the `matter` that it was opened with. Must not revert.
    function onVerdict(uint256 dispute, uint96 matter, bool solverGuilty) external;
}

/// The dispute game: a solver is bound to a claim, a challenger says that it does not follow from
/// itself. They alternate: the solver reveals what lies inside the interval or tree under attack,
/// the challenger descends into one part of it, until one element of one operator of one step is
/// left, which a checker recomputes. The court holds no money and knows no arithmetic.
interface ICourt {
    enum Phase {
        None,
        Steps, // an interval of more than one step, with its two state roots
        Step, // one step; the solver owes its trace root and its report
        Trace, // a subtree of the list of node outputs
        State, // a subtree of the list of next-state tensors
        Reports, // a subtree of the list of reports
        Tensor, // one node's tensor commitment, not yet opened
        Elements, // a subtree of that tensor's elements
        Leaf, // one leaf of elements, not yet shown
        Proof, // the place is fixed; anyone may prove
        Closed,
        Data // a demand: the solver owes one leaf of its last state, and nothing else
    }

    struct Dispute {
        // what every move writes, in one word of storage
        Instant since; // when the running clock was started
        Phase phase;
        bool solverToMove;
        Clock solverClock;
        Clock challengerClock;
        uint8 level; // height above the leaves of the root under attack
        uint40 index; // position of that root within its level
        uint40 size; // leaves of the whole tree under attack
        uint8 dtype; // of the tensor under attack, once opened
        Phase accused; // the list under attack where it is not the trace: State or Reports
        // the parties
        address solver;
        uint32 item; // index of the tensor under attack in its list
        uint32 nodeCount;
        uint32 stateCount;
        address challenger;
        uint96 matter; // what the client calls it
        address client;
        uint64 count; // elements of the tensor under attack, once opened
        // the interval of steps, later the step: lo is its number, S_lo and S_hi its two states
        uint64 lo;
        uint64 hi;
        bytes32 claim; // keccak256(abi.encode(Claim))
        // A new word of storage costs more than all else in a move: none is written while the claim says the
        // same, and two hold one thing after another.
        bytes32 loState; // S_lo; not written while lo is the claim's first step
        bytes32 disputed; // S_hi, also while the whole trace is under attack; up to Step not written while hi is
        // the claim's last step; then the root under attack
        bytes32 trace; // its root, from Trace on
        bytes32 revealed; // in Steps, keccak256(abi.encode(roots)) of the interior roots revealed last;
        // after Step, the list root of the reports; of a demand, the word that names the leaf
    }

    /// `clock`: seconds that each side has for the whole dispute.
    event Opened(uint256 indexed dispute, address indexed client, Claim claim, uint32 clock);
    event RootsRevealed(uint256 indexed dispute, uint64 lo, uint64 hi, bytes32[] roots);
    event StepsNarrowed(uint256 indexed dispute, uint64 lo, uint64 hi);
    event TraceRevealed(uint256 indexed dispute, uint64 step, bytes32 trace, bytes32 salt, bytes32 reports);
    event StateAccused(uint256 indexed dispute);
    event ReportsAccused(uint256 indexed dispute);
    /// `level` and `index` are those of the root that the children fold to.
    event ChildrenRevealed(uint256 indexed dispute, Phase phase, uint8 level, uint64 index, bytes32[] children);
    /// `phase` is that of the tree; `level` and `index` are those of the child, the next root.
    event Descended(uint256 indexed dispute, Phase phase, uint8 level, uint64 index, bytes32 root);
    event TensorRevealed(uint256 indexed dispute, uint32 item, uint8 dtype, uint64 count, bytes32 elements);
    event LeafRevealed(uint256 indexed dispute, uint64 index, bytes data);
    /// The element that was tried: what the solver committed to, and what it had to be.
    event ElementTried(uint256 indexed dispute, uint32 node, uint64 element, uint64 committed, uint64 recomputed);
    /// A demand was opened; `word` says for which leaf, see `demand`.
    event Demanded(uint256 indexed dispute, uint256 word);
    /// The demanded leaf: number `leaf` of tensor `tensor` of the state.
    event DataShown(uint256 indexed dispute, uint32 tensor, uint64 leaf, bytes data);
    event Decided(uint256 indexed dispute, bool solverGuilty, bytes32 reason);

    error UnknownDispute(uint256 dispute);
    error WrongPhase(Phase phase);
    error NotYourMove(address mover);
    error ClockRunOut(uint256 secondsOver);
    error ClockStillRunning(uint256 secondsLeft);
    error EmptyClaim();
    error WrongCount(uint256 given, uint256 expected);
    error DoesNotHash(bytes32 computed, bytes32 expected);
    error NoSuchPart(uint256 part, uint256 parts);
    error WrongClaim();
    error WrongProgram();
    error AlreadyDescended();
    error NotTheShape(uint8 dtype, uint64 count);
    error ElementFollows(uint64 value);
    error CommitmentFollows(bytes32 item);
    error NotPadding(uint64 element, uint64 count);
    error UnknownKind(uint8 kind);
    error BadParameters();
    error NoClock();

    /// Opens a dispute in which each side has `clock` seconds; the caller is its client, which is told `matter`
    /// with the verdict. The solver is to move. Disputes are numbered from 0. Whoever needs the claim later brings it.
    function open(Claim calldata claim, uint32 clock, uint96 matter) external returns (uint256 id);

    /// Opens a demand for data: the solver is to show one leaf of the claim's last state in time, and
    /// wins by it. Of the state's `n` tensors it is number `word % n`; of that one's `m` leaves number
    /// `word / n % m`. The challenger draws `word`: a solver cannot know before which leaves it must keep.
    function demand(Claim calldata claim, uint256 word, uint32 clock, uint96 matter) external returns (uint256 id);

    // The solver's moves.
    /// Steps: the state roots at the interior points of the interval, `interior(lo, hi)` of them.
    function revealRoots(uint256 id, bytes32[] calldata roots) external;
    /// Step: the trace root of the step and the opening of the journal's leaf for it. `reports` is the list
    /// root of the step's reports, 0 where the program has none. `children` are those of the trace root, as in
    /// `revealChildren` (of a single leaf: itself, so that the challenger always has its choice between the
    /// trace, the next state and the reports).
    function revealTrace(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        bytes32 trace,
        bytes32 salt,
        bytes32 reports,
        bytes32[] calldata path,
        bytes32[] calldata children
    ) external;
    /// Trace, State, Reports, Elements: the descendants of the root under attack, `arityBits` levels below it
    /// (or the leaves, where they are nearer).
    function revealChildren(uint256 id, bytes32[] calldata children) external;
    /// Tensor: the preimage of the tensor's commitment; `children` are those of the elements' root. Of a single
    /// leaf there are none: the solver stays to move, and shows it next. A tensor has at least one element.
    function revealTensor(uint256 id, uint8 dtype, uint64 count, bytes32 elements, bytes32[] calldata children) external;
    /// Leaf: its 512 bytes.
    function revealLeaf(uint256 id, bytes calldata data) external;

    /// Data: the demanded leaf, whole, under the claim's last state. It ends the demand.
    function showData(uint256 id, Claim calldata claim, Header calldata header, Opening calldata opening) external;

    // The challenger's moves.
    /// Steps: into part `part` of the interval that `roots` divides.
    function descendSteps(uint256 id, bytes32[] calldata roots, uint256 part) external;
    /// Trace, State, Elements: into the revealed child number `child`, `root`; `path` leads from it to
    /// the root under attack.
    function descend(uint256 id, uint256 child, bytes32 root, bytes32[] calldata path) external;
    /// Trace, before any descent: the trace is right, the next state is not what it produced. Its list
    /// is under attack next; where it has one leaf only, that is the place to prove.
    function accuseState(uint256 id) external;
    /// Likewise: the trace is right, the reports that the solver opened are not what it produced.
    function accuseReports(uint256 id, Claim calldata claim, Header calldata header) external;

    // Proofs: by anyone, while the challenger is to move and has time left. Each convicts the solver or
    // reverts.
    /// Proof: element `position` of the leaf under attack, of which `data` are the bytes, is not what
    /// the node's operands give.
    function proveElement(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        Node calldata node,
        bytes32[] calldata nodePath,
        bytes calldata data,
        uint256 position,
        Opening[] calldata openings
    ) external;
    /// Elements, Proof: the opened tensor has another dtype or element count than its node's record
    /// says.
    function proveShape(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        Node calldata node,
        bytes32[] calldata nodePath
    ) external;
    /// Proof: behind its tensor's last element, the leaf under attack is not zero where its element
    /// number `position` would be.
    function provePadding(uint256 id, bytes calldata data, uint256 position) external;
    /// Proof: the next state's tensor, or the report, under attack is not the trace's output for it. `node`
    /// is the output's node, `item` the trace's item of that node.
    function proveOutput(
        uint256 id,
        Claim calldata claim,
        Header calldata header,
        uint32 node,
        bytes32[] calldata outputPath,
        bytes32 item,
        bytes32[] calldata tracePath
    ) external;

    /// Whoever is to move and has no time left loses. Anyone may call.
    function callTime(uint256 id) external;

    function dispute(uint256 id) external view returns (Dispute memory);
    function disputes() external view returns (uint256 count);
    /// Log2 of the fan-out: of intervals (2^arityBits parts) and of trees.
    function arityBits() external view returns (uint8);
    /// Who recomputes elements of this kind of node.
    function checker(uint8 kind) external view returns (IChecker);
}
