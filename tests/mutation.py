"""Does a test notice? Changes one constant, comparison or operator of the court at a time.

python -m tests.mutation [--every N] [--only NAME]

Each mutant is compiled and put before fast tests on a native EVM: of the arithmetic the vectors,
the specials and some random operands; of a checker its two files of tests, of the trees theirs, and
of the court and its clocks their games, of the accusations the rules that they play by, of the draw
what stands in the books of who offered what; of the market only the functions that draw.
Those that are likeliest to notice come first. The optimizer is left out, which changes nothing but
the gas and takes longer than all the rest, and so is a test about gas. A mutant that passes is a
survivor, and is printed. None is wanted: a survivor is a missing test, or changes no result, which
EQUIVALENT then says.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import pytest
import yaml

from scripts._contracts import CHECKERS
from tests import evm
from tests.exact import cases, helpers
from tests.exact.test_solidity import by_hardware
from worker import exact
from worker.exact import reference

ARITHMETIC = ("Float32", "ExpLog", "Tanh", "Erf", "SinCos", "Quantised")
TABLED = ("ExpLog", "Tanh", "Erf", "SinCos")
RECORDS = ("Records", "Elements", "Merkle")
COURT = ("Court", "Clock")
COURTS = ("demands", "moves", "verdicts")  # what its files of tests are about
ACCUSATIONS = ("deploy", "filing", "queue", "finders")  # likewise, of Disputes
MARKET = ("bid", "draw", "settle", "commit")  # likewise, of the market
# Functions of the market that are changed: those of bids, of the draw and of what they bring.
CHANGED = (
    *("bid", "withdrawBid", "cancel", "close", "expire", "solverStake"),
    *("_checkBidding", "_cancel", "_refund", "_stakeOf"),
    *("draw", "lapse", "_arm", "_drawUntil", "_checked", "_end", "_endDuty"),
)
# nor of bytes
NOT_OF_GAS = "not (gas or dispute_costs or dot_costs or scatter_costs or size_limit)"
SWAPS = {
    "lt(": "gt(", "gt(": "lt(", "add(": "sub(", "sub(": "add(", "shl(": "shr(", "shr(": "shl(",
    "and(": "or(", "or(": "and(", "eq(": "lt(", "iszero(": "not(",
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ", " != ": " == ",
    " && ": " || ", " || ": " && ", " + ": " - ", " - ": " + ", " << ": " >> ", " >> ": " << ",
    " & ": " | ", " | ": " & ", " % ": " / ", " / ": " % ",
}  # fmt: skip
TOKEN = re.compile(
    r"(?<![\w.])(?:0x[0-9a-fA-F]+|\d+)(?![\w.])|"
    + "|".join((r"\b" if key[0].isalpha() else "") + re.escape(key) for key in SWAPS)
)
# Mutants that change no result, by a part of the changed line that only they have, with the reason;
# before the line stands its function's name and a colon.
# Each has survived once; they are not tried again.
PARITY = "one place of a subnormal more, its exponent one less: of the pair the same root is taken"
PACKED = "one place off at a power of two, or at all ones: the carry of the packing makes up for it"
SPARE = "beside a row there are words to spare"
EQUIVALENT = {
    "Float32": {
        "for {} 2 {}": "a loop that a break ends",
        "gt(x, 0x7f7ffffe)": "no x has the field 254 there",
        "and(a, 0x80000001), 0x7f800000)": "an infinity's last bit is clear",
        "gt(r, 0x1000000)": "2^24 is 2^24 with the unit doubled too",
        **{f"lt({of})": PACKED for of in (
            "m, 0x4000000000001", "m, 0x3ffffffffffff", "m, 0x2000000000001", "m, 0x1ffffffffffff",
            "p, 0x800000000001", "p, 0x7fffffffffff", "p, 0x8000000001", "p, 0x80000001",
            "v, 0x20000000001", "v, 0x200000001",
        )},
        "iszero(and(w, 0x8000001))": "at a tie, where alone it matters, the last bit is clear",
        "iszero(and(w, 0x1000001))": "at a tie, where alone it matters, the last bit is clear",
        "gt(r, 0x7f7fffff)": "infinity is made infinity",
        "lt(m, 0x1000000000001)": "at 2^48 both ways give the same",
        "lt(m, 0x0ffffffffffff)": "a cancelled m is a multiple of 2^25",
        "gt(m, 1)": "a cancelled m is a multiple of 2^25",
        "shr(e, 0x4000000000001)": "only its leading bit counts",
        "lt(v, 0x1ffffffffff)": "m, a multiple of 2^25, and one bit more do not make it",
        "lt(v, 0x1ffffffff)": "m, a multiple of 2^25, and one bit more do not make it",
        "gt(e, 0x7e800001)": "e is in place: it has no bit so low",
        "slt(e, 1)": "0 has been answered",
        "shl(y, 0x800000)": "the shift is by none or by all",
        "shl(x, 0x800000)": "the shift is by none or by all",
        "lt(p, 0x7fffffff)": "a prime: no p is that",
        "add(shl(d, q), 0x1000000000001)": "no quotient is so near a tie",
        "add(shl(d, q), 0x0ffffffffffff)": "no quotient is so near a tie",
        "add(x, 0x8a000001)": "the shift cuts it off",
        "lt(add(x, y), 0x7f7fffff)": "x and y are in place: they have no bit so low",
        "gt(x, 1)": "x is in place: it has no bit so low",
        "gt(y, 1)": "y is in place: it has no bit so low",
        "lt(a, 0x8001)": PARITY,
        "lt(a, 0x81)": PARITY,
        **{f"48889{n}": "a start as near" for n in (410, 412)},
        **{f"1151475{n}": "a start as near" for n in (3, 5)},
        "_key(a) <= _key(b) ? b": "of equals either",
        "_key(b) <= _key(a) ? b": "of equals either",
        "a < 0x7fffffff ?": "NaNs have been answered",
        "0x7ffffffe < INFINITY": "the last bit says nothing about the exponent",
        "gt(a, 0x7ffffffe)": "a NaN has no place in the order",
        **{f", {edge}))": PACKED for edge in (
            "0x100000000000000000000000000000000", "0xfffffffffffffffffffffffffffffffe",
            "0x10000000000000000", "0xfffffffffffffffe", "0x100000000", "0xfffffffe",
        )},
        "sub(1, 149)": "sets -149 to -149",
        "sub(0, 148)": "sets -149 to -149",
        "gt(s, 33)": "there is room for 32 more",
        "gt(s, 31)": "there is enough left to round",
        "e > 64": "as far beyond the limit",
        "e >= 65": "as far beyond the limit",
        "e >= 63": "as far beyond the limit",
        "(e > 0)": "a shift by none",
        "(e >= 1)": "a shift by none",
        "m >= limit": "the limit is made the limit",
    },
    "ExpLog": {
        "x | 0x7fffffff < 0x32800000": "the sequence gives 1 there too",
        "<= 0x32800000": "the sequence gives 1 there too",
        "< 0x32800001": "the sequence gives 1 there too",
        "< 0x327fffff": "the sequence gives 1 there too",
        "x & 0x7ffffffe < 0x32800000": "the last bit says nothing about the magnitude",
        "x <= 0x80000000": "-0 has been answered",
        "x < 0x80000001": "-0 has been answered",
        "x >= EXP_HIGH": "the sequence gives infinity there too",
        "x >= EXP_LOW": "the sequence gives zero there too",
        "minusLow = 0x80000001": "so small a number vanishes beside the others",
        "x <= 0x00800000": "the least normal may be scaled too",
        "x < 0x00800001": "the least normal may be scaled too",
        "x < 0x007fffff": "the greatest subnormal read as a normal number is as good as right",
        "halfSquare = 1": "is always set",
        "slt(v, 1)": "v is not 0 there",
        **{f"lt(m, {edge})": PACKED for edge in ("0x80001", "0x4001", "0x201", "0x11")},
    },
    "SinCos": {
        "a >= QUARTER_PI": "at the limit both ways give the same",
        "(2 << 96) - 1": "whole turns more",
        "(1 << 97) - 1": "whole turns more",
        "(1 << 96) - 2": "every f32 was tried: not one result depends on the bit",
        "(1 << 62) - 2": "every f32 was tried: not one result depends on the bit",
        "r >> 30 == 0": "no r is as great as 2",
    },
    "Tanh": {"a <= TANH_SMALL": "at the limit both formulas give the same"},
    "Erf": {"a >= ERF_END": "the end is made the end"},
    "Quantised": {
        "x &= 0x7ffffffe": "the last bit says nothing about the exponent",
        "x >= accumulator": "of equals either",
        "e <= MIN_EXPONENT ? MIN": "the least is made the least",
        "s <= -31": "the shift exceeds the limit",
        "s < -30": "the shift exceeds the limit",
        "s < -32": "the shift exceeds the limit",
        "(m == 1 ?": "zero has the least unit: it is never shifted so far up",
        "? 1 : limit": "zero has the least unit: it is never shifted so far up",
        "s > 25": "so little is rounded to 0",
        "m >= limit": "the limit is made the limit",
    },
    "MapChecker": {
        "a >= b ? a : b": "of equals either",
        "a <= b ? a : b": "of equals either",
    },
    "Records": {
        ": (false, 1)": "the place of what is outside is not read",
        "record := mload(0x41)": "further up in memory that nothing uses",
        "mstore(0x3f, add(record": "memory goes on further up",
        "add(record, add(end, 0x41))": "a byte to spare",
    },
    "Elements": {
        "sub(mload(0x40), 0x20)": SPARE,
        "add(mload(0x40), 0x1f)": SPARE,
        "add(mload(0x40), 0x21)": SPARE,
        **{f"add(end, {edge})": SPARE for edge in ("0x1f", "0x21", "0x3f", "0x41")},
        "1), to, 0x21)": "the precompile returns 32 bytes",
        "length - i < 9": "all eight are kept as they are",
        "length - i <= 8": "all eight are kept as they are",
        "shr(3, sub(257, drop))": "an eighth, cut off, is the same",
        "i <= length": "no element is left, and nothing is added",
        "lt(lane, 257)": "a word ends at 256",
        "lt(lane, 255)": "the last lane begins at 224",
        "greatestMagnitude: for (uint256 i = 0; i < length; i += 7)": "one is looked at twice",
        "i += 31 >> shift": "one is looked at twice",
        "i += 33 >> shift": "a quarter or an eighth, cut off, is the same",
        "shr(shift, 33)": "a quarter or an eighth, cut off, is the same",
        "greatestMagnitude: uint256 best = 1": "the exponents of 0 and 1 are the same",
        "and(shr(lane, x), 0x7ffffffe)": "the last bit says nothing about the exponent",
        "revert(1, 0)": "without gas any end is the same",
        "revert(0, 1)": "without gas any end is the same",
    },
    "Court": {
        "length <= most": "of equals either",
        "level <= arityBits": "of equals either",
        "count >= most": "the limit is made the limit",
        "mload(0x41)": "further up in memory that nothing uses",
        "claim, 0x181": "more is copied than is read",
    },
    "Disputes": {
        "Award[](4)": "one more award of nothing to nobody",
        **dict.fromkeys(
            ("nextOfIt - 0", "(2 << (last"), "the one that convicted is not open, and so no finder"
        ),
        **{f"entry.times {of}": "burns nothing, for more gas" for of in (">= 1", "> 0")},
    },
    "Market": {
        "new address[](3)": "address zero has no place",
    },
    "Verifiers": {
        "uint256 step = 2": "of a search: for other gas",
        "high >= step": "of equals the difference is 0",
        "step *= 3": "of a search: for other gas",
        "step *= 1": "of a search: for more gas, which `test_draw_gas.py` holds",
        "count <= before": "an offer of as many is refused, and a fine leaves fewer",
    },
    "Clock": {
        "elapsed >= left": "of equals the difference is 0",
        "left >= elapsed": "of equals the difference is 0",
    },
    "Merkle": {
        "hashed := or(": "without gas any end is the same",
        "revert(1, 0)": "without gas any end is the same",
        "revert(0, 1)": "without gas any end is the same",
        "if or(count, 1)": "what lies behind the last node is not read",
        "mload(0x41)": "further up in memory that nothing uses",
        ", 0x21))": "the precompile returns 32 bytes",
        "nodes.offset, shl(6, count)": "more is copied than is read",
        "header, 0xa1": "more is copied than is read",
    },
}  # fmt: skip
# Functions, or a checker and tests of it, that are likeliest to notice.
NEAREST = {"ExpLog": ("exp", "log"), "SinCos": ("sin", "cos")}
NEAREST_OF_ELEMENTS = {
    "canonical": ("Map", "strangers"),
    "none": ("Map", "not_read"),
    "row": ("Reduce", "reductions or leaves"),
    "at": ("Gather", "gathers"),
    "swap32": ("Reduce", "sums"),
    "lanes": ("Reduce", "sums"),
    "sum": ("Reduce", "sums"),
    "sumWhere": ("Scatter", "scatter"),
    "dot": ("Dot", "dots"),
    "greatestMagnitude": ("Reduce", "reductions"),
    "greatest": ("Reduce", "reductions or greatest"),
}
_STEPS = "roots or narrow or part_of"
_TREES = "children or child_is or uneven or descended_like"
_ELEMENTS = "wrong_element or wrong_step or padding"
NEAREST_OF_COURT = {
    "open": "claim or open or equal",
    "_open": "open_starts or kept",
    "callTime": "silent",
    "revealRoots": _STEPS,
    "descendSteps": _STEPS,
    "_parts": _STEPS,
    "revealTrace": "the_trace_comes or nothing_is_reported",
    "revealChildren": _TREES,
    "descend": _TREES,
    "_treeOf": "out_of_phase",
    "_children": _TREES,
    "_reachLeaf": _TREES,
    "revealTensor": "tensor_opens or tensor_that",
    "revealLeaf": "leaf_is_shown",
    "showData": "test_court_demands",
    "demand": "test_court_demands",
    "accuseReports": "reported or accused",
    "_accuse": "accused",
    "proveShape": "shape",
    "provePadding": "padding or no_element",
    "proveOutput": "did_not_produce or no_state_of or no_report_of",
    "checker": "made_with",
    "_isWhole": "accused",
    "_root": "accused or children",
    "_checkOutput": "no_report_of",
    "_committed": _ELEMENTS,
    "_tryElement": _ELEMENTS,
    "_context": _ELEMENTS,
    "overrun": "silent or last_second",
    "remaining": "silent or last_second",
}
# Compiles a source a line, with one file replaced; loading the compiler takes longer than its work.
_COMPILE = """
const fs = require("fs");
const solc = require("solc");
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { request, path, content } = JSON.parse(line);
  const find = (name) => name === path ? { contents: content } : fs.existsSync(name)
    ? { contents: fs.readFileSync(name, "utf8") } : { error: "not found" };
  process.stdout.write("\\n=" + solc.compile(JSON.stringify(request), { import: find }) + "\\n");
});
"""


@dataclass(frozen=True)
class Mutant:
    """One change in one file."""

    path: str
    line: int
    was: str
    now: str
    content: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.was.strip()} -> {self.now.strip()}   {self.text}"

    @property
    def text(self) -> str:
        """The changed line."""
        return self.content.splitlines()[self.line - 1].strip()

    @property
    def function(self) -> str:
        """The name of the function that is changed; none before the first."""
        above = "\n".join(self.content.splitlines()[: self.line])
        return ["", *re.findall(r"^ +function (\w+)", above, re.M)][-1]

    @property
    def changes_nothing(self) -> bool:
        """Whether EQUIVALENT says why no test can notice it."""
        line = f"{self.function}: {self.text}"
        return any(part in line for part in EQUIVALENT.get(Path(self.path).stem, ()))


def mutants(path: str) -> Iterator[Mutant]:
    """All changes of a file, comments, imports and types left alone."""
    text = (evm.ROOT / path).read_text()
    start = text.index("{", re.search(r"^(?:abstract )?(?:library|contract) ", text, re.M).start())  # type: ignore[union-attr]
    at = 0
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        code = line.split("//")[0]
        # `test_the_constants_are_those_of_the_table` compares these one by one, and
        # `test_the_tables_by_which_a_leading_bit_is_found` those that are private to Float32
        tabled = " internal constant " in code and Path(path).stem in TABLED
        tabled |= " private constant " in code and Path(path).stem == "Float32"
        skipped = (
            tabled
            or code.strip().startswith(("error", "using", "import", "function"))
            or at < start
        )
        for token in () if skipped else TOKEN.finditer(code):
            was = token.group()
            changed = [SWAPS[was]] if was in SWAPS else _neighbours(was)
            for now in changed:
                i = at + token.start()
                yield Mutant(path, number, was, now, text[:i] + now + text[i + len(was) :])
        at += len(line)


def _neighbours(number: str) -> list[str]:
    """A constant one more, and one less where that is no negative number."""
    value = int(number, 0)
    width = len(number) - 2
    shown = [value + 1, value - 1] if value else [1]
    return [f"0x{v:0{width}x}" if number.startswith("0x") else str(v) for v in shown]


def compiled(contract: str, mutant: Mutant | None) -> evm.Artifact | None:
    """The contract with a mutant in it; None where that is no Solidity."""
    path = next(p for p in evm.CONTRACTS.rglob("*.sol") if p.stem == contract)
    source = path.relative_to(evm.ROOT).as_posix()
    config = yaml.safe_load((evm.ROOT / "ape-config.yaml").read_text())["solidity"]
    replaced = mutant is not None and mutant.path == source
    content = mutant.content if replaced and mutant else path.read_text()
    request = {
        "language": "Solidity",
        "sources": {source: {"content": content}},
        "settings": {
            "optimizer": {"enabled": False},
            "evmVersion": config["evm_version"],
            "remappings": config["import_remapping"],
            "outputSelection": {source: {contract: ["abi", "evm.bytecode.object"]}},
        },
    }
    given = {
        "request": request,
        "path": mutant.path if mutant else "",
        "content": mutant.content if mutant else "",
    }
    to, back = _compiler().stdin, _compiler().stdout
    assert to is not None and back is not None
    to.write(json.dumps(given) + "\n")
    to.flush()
    answer = next((line for line in back if line.startswith("=")), None)
    if answer is None:
        raise RuntimeError("the compiler has ended; is node_modules there? `make setup`")
    output = json.loads(answer[1:])
    if any(e["severity"] == "error" for e in output.get("errors", [])):
        return None
    found = output["contracts"][source][contract]
    return evm.Artifact(found["abi"], bytes.fromhex(found["evm"]["bytecode"]["object"]))


@cache
def _compiler() -> subprocess.Popen[str]:
    """One process for all mutants; it ends with this one, at the end of its input."""
    return subprocess.Popen(
        ["node", "-e", _COMPILE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=evm.ROOT,
    )


@cache
def questions() -> list[tuple[str, bool, np.ndarray, np.ndarray, np.ndarray]]:
    """Operands of every scalar function and what is right, by the hardware and the torch twin."""
    rng = np.random.default_rng(0)
    a, b = helpers.random_pairs(rng, 20_000)
    special = [x.ravel() for x in np.meshgrid(*[np.array(cases.SPECIALS, np.uint32)] * 2)]
    edges = np.array(cases.SUM_EDGES, np.uint32).T
    found = []
    for name in helpers.BINARY:
        columns = zip(*helpers.vectors("binary", name), strict=True)
        v, w, _ = (np.array([int(x, 16) for x in c], np.uint32) for c in columns)
        ones = np.array(cases.LEADING_BITS, np.uint32)
        one, less = np.full_like(ones, 0x3F800000), 0xBF800000 - ones
        # subnormals at every edge of a search for their leading bit, beside numbers of all sizes
        tiny, near = (
            x.ravel() for x in np.meshgrid(ones, np.array(cases.BESIDE_SUBNORMALS, np.uint32))
        )
        least = helpers.pairs_about_the_least(rng, 5_000, quotients=name == "div")
        left = np.concatenate([a, special[0], v, one, edges[0], tiny, near, least[0]])
        right = np.concatenate([b, special[1], w, less, edges[1], near, tiny, least[1]])
        found.append((name, True, left, right, by_hardware(name, left, right)))
    near_edges = cases.EXP_LOG_EDGES + cases.TANH_ERF_EDGES + cases.SIN_COS_EDGES + cases.BELOW_ONE
    for name in helpers.UNARY:
        v = np.array([int(x, 16) for x, _ in helpers.vectors("unary", name)], np.uint32)
        near = rng.integers(0x32000000, 0x42D80000, 4_000, dtype=np.uint32)
        ones = np.array(cases.LEADING_BITS, np.uint32)
        x = np.concatenate(
            [ones, a[:4_000], near, near | 0x80000000, np.array(near_edges, np.uint32), v]
        )
        right = helpers.patterns(exact.FLOAT[name](helpers.tensor(x)))
        found.append((name, False, x, x, right))
    return found


def arithmetic_is_right(artifact: evm.Artifact, first: Sequence[str] = ()) -> bool:
    """Every scalar function and every rounding of a row, as the reference has it; `first` first."""
    with patch.object(evm, "load", lambda name: artifact):
        harness = evm.deploy("ArithmeticHarness")
    for e, bits in ((-97, 14), (129, 14), (0, 1), (0, 32)):
        with contextlib.suppress(evm.Reverted):
            harness.call("quantise", 0x3F800000, e, bits)
            return False
    try:
        for name, two, a, b, expected in sorted(questions(), key=lambda q: q[0] not in first):
            ask = helpers.binary_on_evm if two else helpers.unary_on_evm
            got = ask(harness, name, a, b) if two else ask(harness, name, a)  # type: ignore[call-arg]
            if (got != expected).any():
                return False
        for k in range(1, 255):
            for v in ((1 << k) - 1, 1 << k):
                if harness.call("fromScaled", v, -k - 120) != reference.from_scaled(v, -k - 120):
                    return False
            # a tie, and just above it by the last of the bits that are cut off
            for v in (0x1000001 << k, (0x1000001 << k) + 1):
                if k < 230 and harness.call("fromScaled", v, -k) != reference.from_scaled(v, -k):
                    return False
            for e in cases.SUBNORMAL_EXPONENTS:
                for v in ((1 << k) - 1, 1 << k, (1 << k) + 1):
                    if harness.call("fromScaled", v, e - k) != reference.from_scaled(v, e - k):
                        return False
        for x, e, bits in itertools.product(cases.LEAST, (-96, -95), (29, 30, 31)):
            if harness.call("quantise", x, e, bits) != reference.quantise(x, e, bits):
                return False
        for v, r in helpers.vectors("convert", "from_int"):
            if harness.call("fromInt", int(v)) != int(r, 16):
                return False
        for a, r in helpers.vectors("convert", "to_i32"):
            if harness.call("convert", int(a, 16))[0] != int(r):
                return False
        for a, r in helpers.vectors("convert", "to_i64"):
            if harness.call("convert", int(a, 16))[1] != int(r):
                return False
        for *row, e in helpers.vectors("rows", "exponent"):
            if harness.call("exponent", b"".join(bytes.fromhex(x) for x in row)) != int(e):
                return False
        for x, e, bits, q in helpers.vectors("rows", "quantise"):
            if harness.call("quantise", int(x, 16), int(e), int(bits)) != int(q):
                return False
        for total, ea, eb, bits, r in helpers.vectors("rows", "dot_finish"):
            if harness.call("dotFinish", int(total), int(ea), int(eb), int(bits)) != int(r, 16):
                return False
            right = reference.sum_finish(int(total), int(ea))
            if harness.call("sumFinish", int(total), int(ea)) != right:
                return False
    except evm.Reverted:
        return False
    return True


def passes(
    tests: Sequence[str],
    mutant: Mutant,
    concerned: Sequence[str],
    only: str = "",
    plugin: str | None = None,
) -> bool:
    """Whether these tests pass, with a mutant in these contracts.

    Each is compiled when a test first deploys it, and the first test that fails is the last. only:
    which tests, as pytest's -k has it; that there is none such passes too. plugin: whose fixtures
    they have, and their folder's; without one, none but their own.
    """
    honest = evm.load

    @cache
    def load(name: str) -> evm.Artifact:
        if name not in concerned:
            return honest(name)
        changed = compiled(name, mutant)
        assert changed is not None, "no Solidity"
        return changed

    # imported anew: a parameter that is an iterator would be used up by the first run
    stems = {Path(path).stem for path in tests}
    for name in [name for name in sys.modules if name.rpartition(".")[2] in stems]:
        del sys.modules[name]
    quiet = io.StringIO()
    with (
        patch.object(evm, "load", load),
        patch.object(evm, "GAS", 1 << 28),  # a mutant may go round for ever
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
    ):
        arguments = ["-x", "-q", "-p", "no:ape_test", "-p", "no:cacheprovider", "--no-header"]
        arguments += ["-p", plugin] if plugin else ["--noconftest"]
        wanted = f"{NOT_OF_GAS} and ({only})" if only else NOT_OF_GAS
        code = pytest.main([*arguments, "-k", wanted, *tests])
    return code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def survives(mutant: Mutant) -> bool:
    """Whether no test notices. What does not compile is noticed."""
    name = Path(mutant.path).stem
    if name in ARITHMETIC:
        artifact = compiled("ArithmeticHarness", mutant)
        return artifact is not None and arithmetic_is_right(artifact, NEAREST.get(name, ()))
    if name in COURT:
        tests = [f"tests/contracts/test_court_{what}.py" for what in COURTS]
        near = NEAREST_OF_COURT.get(mutant.function, "out_of_phase or wrong_element")
        return all(
            passes(tests, mutant, ["Court"], only, plugin="tests.native") for only in (near, "")
        )
    if name == "Disputes":
        tests = [f"tests/contracts/test_disputes_{what}.py" for what in ACCUSATIONS]
        return passes(tests, mutant, [name])
    if name == "Verifiers":
        tests = ["tests/contracts/test_verifiers.py", "tests/contracts/test_draw_acts.py"]
        return all(passes([test], mutant, [name]) for test in tests)
    if name == "Market":
        tests = [f"tests/contracts/test_market_{what}.py" for what in MARKET]
        return passes(tests, mutant, [name], plugin="tests.native")
    concerned = [name] if name.endswith("Checker") else CHECKERS
    tests = ["tests/contracts/test_checkers_values.py", "tests/contracts/test_checkers_refusals.py"]
    if name in ("Merkle", "Records"):  # of the records, how they are copied from calldata
        concerned.append("MerkleHarness")
        tests.insert(0, "tests/contracts/test_merkle.py")
    # most mutants end here
    for kind, only in _nearest(mutant):
        if not passes(tests, mutant, [f"{kind}Checker"], only):
            return False
    return passes(tests, mutant, concerned)


def _nearest(mutant: Mutant) -> list[tuple[str, str]]:
    """Checkers with tests of theirs that are likeliest to notice."""
    name = Path(mutant.path).stem
    function = mutant.function
    if name == "MapChecker":
        records = function.startswith("_check") or function in ("_arity", "_takesIntegers")
        return [("Map", "malformed or sound or unknown" if records else "test_checkers_values")]
    if name.endswith("Checker"):
        return [(name.removesuffix("Checker"), name.removesuffix("Checker").lower())]
    if name == "Elements":
        return [NEAREST_OF_ELEMENTS.get(function, ("Map", "copy or opening"))]
    if name == "Records" and function != "encodingOf":
        return [("Map", "malformed"), ("Map", "index_maps or copy")]
    return []


@click.command()
@click.option("--every", default=1, help="Only each N-th mutant.")
@click.option("--only", default="", help="What the file's name must contain.")
def main(every: int, only: str) -> None:
    """Print the mutants that survive; exit with 1 where there are any."""
    paths = [f"contracts/lib/{name}.sol" for name in (*ARITHMETIC, *RECORDS, "Clock")]
    paths += [f"contracts/court/{kind}.sol" for kind in CHECKERS]
    paths += [f"contracts/{name}.sol" for name in ("Court", "Disputes", "Verifiers", "Market")]
    tried, equivalent, survivors = 0, 0, []
    for path in (p for p in paths if only in p):
        if not survives(Mutant(path, 1, "", "", (evm.ROOT / path).read_text())):
            raise click.ClickException(f"the tests of {path} fail as it is")
        found = list(mutants(path))
        if Path(path).stem == "Market":
            found = [mutant for mutant in found if mutant.function in CHANGED]
        for mutant in found[every // 2 :: every]:
            if mutant.changes_nothing:
                equivalent += 1
                continue
            tried += 1
            if survives(mutant):
                survivors.append(mutant)
                click.echo(f"survived: {mutant}")
    click.echo(f"{len(survivors)} of {tried} mutants survived; {equivalent} change nothing")
    raise SystemExit(bool(survivors))


if __name__ == "__main__":
    main()
