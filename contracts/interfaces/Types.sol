// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Words that more than one contract speaks. `docs/protocol.md` explains each commitment.

/// What is to be computed. Only its hash is stored: whoever needs it brings it along.
/// Step `t` maps state `S_t` to `S_{t+1}` by the program; `S_0` is `state`.
struct Job {
    bytes32 program; // hash of the program's `Header`
    bytes32 state; // list root of the first state's tensors
    bytes32 data; // list root of the data set's tensors
    uint32 dataTensors; // how many tensors the data set has
    uint64 rows; // rows of the data set: the first axis of each of its tensors
    uint64 seed; // of the sampling permutation
    uint64 steps;
    uint64 segmentSteps; // steps in each segment; the last one may have fewer
}

/// What a solver is bound to in one segment, as a dispute sees it.
struct Claim {
    address solver;
    address challenger;
    bytes32 program;
    bytes32 data;
    uint32 dataTensors;
    uint64 rows;
    uint64 seed;
    uint64 firstStep; // the segment's steps are firstStep .. lastStep - 1
    uint64 lastStep;
    bytes32 firstState; // S_firstStep
    bytes32 lastState; // S_lastStep
    bytes32 journal; // list root of the segment's reports, one leaf a step
}

/// Head of a program; `sha256(0x04 | abi.encode(header))` is the program's root.
struct Header {
    bytes32 nodes; // list root of the node records
    uint32 nodeCount;
    bytes32 outputs; // list root: which node is the i-th next state, and after them the reports
    uint32 stateCount;
    uint32 reportCount;
}

/// One operator of a program. `sha256(abi.encode(node))` is its item in `Header.nodes`.
struct Node {
    uint8 kind; // Codes.SOURCE ..
    uint8 fn; // meaning depends on `kind`
    uint8 dtype; // of the output
    uint32[] shape; // of the output, row-major
    Input[] inputs;
    uint64[] attributes; // meaning depends on `kind` and `fn`
}

/// One operand: an earlier node's tensor, looked at under a shape and through an affine index map.
struct Input {
    uint32 node; // less than the reading node's own index
    uint8 dtype;
    uint32[] shape; // the operand's elements seen under this shape, row-major
    // For each operand axis: an offset, then a stride per output axis. Empty where the kind fixes
    // the access (all but MAP). Coordinates outside `shape` read `fill`.
    int64[] map;
    uint64 fill; // bits of an element
}

/// Elements of one committed tensor, proven to be at their place in a list of tensors.
struct Opening {
    uint8 dtype;
    uint64 count;
    bytes32 elements; // root of the element tree
    bytes32[] path; // of the tensor's item in its list
    bytes leaves; // the neighbouring leaves that hold the elements read, whole
    bytes32[] leavesPath; // of these leaves together, in the element tree
}

/// Everything an element of step `step` may be recomputed from.
struct Context {
    bytes32 trace; // list root of the step's node outputs
    uint32 nodeCount;
    bytes32 state; // S_step
    uint32 stateCount;
    bytes32 data;
    uint32 dataTensors;
    uint64 rows;
    uint64 seed;
    uint64 step;
}
