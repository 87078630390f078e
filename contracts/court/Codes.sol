// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Numbers that stand for words in records and commitments. `worker/program/codes.py` is the twin.
library Codes {
    // dtypes; elements are little-endian
    uint8 internal constant F32 = 1;
    uint8 internal constant I32 = 2;
    uint8 internal constant I64 = 3;
    uint8 internal constant BOOL = 4;

    // kinds of node
    uint8 internal constant SOURCE = 0;
    uint8 internal constant MAP = 1;
    uint8 internal constant REDUCE = 2;
    uint8 internal constant DOT = 3;
    uint8 internal constant GATHER = 4;
    uint8 internal constant SCATTER = 5;

    // SOURCE functions
    uint8 internal constant STATE = 0; // attributes: [index in the state]
    uint8 internal constant BATCH = 1; // attributes: [data tensor, rows a step, elements a row]
    uint8 internal constant CONSTANT = 2; // attributes: [bits]; one element
    uint8 internal constant IOTA = 3; // attributes: []; element i is i (i32 or i64)
    uint8 internal constant RANDOM = 4; // attributes: []; uniform f32 in [0, 1), see Philox

    // MAP functions
    uint8 internal constant COPY = 0;
    uint8 internal constant ADD = 1;
    uint8 internal constant SUB = 2;
    uint8 internal constant MUL = 3;
    uint8 internal constant DIV = 4;
    uint8 internal constant SQRT = 5;
    uint8 internal constant NEG = 6;
    uint8 internal constant ABS = 7;
    uint8 internal constant MAXIMUM = 8;
    uint8 internal constant MINIMUM = 9;
    uint8 internal constant RELU = 10;
    uint8 internal constant EXP = 11;
    uint8 internal constant LOG = 12;
    uint8 internal constant TANH = 13;
    uint8 internal constant ERF = 14;
    uint8 internal constant SIN = 15;
    uint8 internal constant COS = 16;
    uint8 internal constant EQ = 20;
    uint8 internal constant NE = 21;
    uint8 internal constant LT = 22;
    uint8 internal constant LE = 23;
    uint8 internal constant GT = 24;
    uint8 internal constant GE = 25;
    uint8 internal constant WHERE = 30; // (condition, then, else)
    uint8 internal constant AND = 31;
    uint8 internal constant OR = 32;
    uint8 internal constant NOT = 33;
    uint8 internal constant XOR = 34;
    uint8 internal constant CONVERT = 40;
    uint8 internal constant QUANTISE = 41; // (x, exponent); attributes: [bits]

    // REDUCE functions, over the last axis of [rows, length]
    uint8 internal constant SUM = 0; // (31-bit integers [rows, length], exponents [rows])
    uint8 internal constant MAX = 1;
    uint8 internal constant ARGMAX = 2;
    uint8 internal constant EXPONENT = 3;

    // DOT: (qa [B*M, K], ea [B*M], qb [B*N, K], eb [B*N]); attributes: [B, M, N, K, bits]
    // GATHER: (x [A, V, D], index [A, L]) -> [A, L, D]; attributes: [A, V, L, D]
    // SCATTER: (31-bit integers [D, L], exponent [1], index [L]) -> [V, D]; attributes: [V, D, L]
}
