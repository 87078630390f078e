"""Writes tests/vectors from the reference arithmetic, or checks that they still match it.

    ape run make_vectors            writes
    ape run make_vectors --check    fails, and names the files, if any differs

A vector is a line of hexadecimal words, operands first, result last (integers in decimal). The
same files are checked against the torch twin and the Solidity twin, so a change of one bit in the
definition shows as a change in a file.
"""

import json
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.exact import cases  # noqa: E402
from tests.program.reference_run import reference_run  # noqa: E402
from tests.program.test_execute import everything, plain  # noqa: E402
from worker.exact import reference as ref  # noqa: E402

FOLDER = ROOT / "tests" / "vectors"
SEED, STEP = 20260101, 7

UNARY: dict[str, Callable[[int], int]] = {
    "sqrt": ref.sqrt,
    "neg": ref.neg,
    "abs": ref.abs_,
    "relu": ref.relu,
    "exp": ref.exp,
    "log": ref.log,
    "tanh": ref.tanh,
    "erf": ref.erf,
    "sin": ref.sin,
    "cos": ref.cos,
}
BINARY: dict[str, Callable[[int, int], int]] = {
    "add": ref.add,
    "sub": ref.sub,
    "mul": ref.mul,
    "div": ref.div,
    "max": ref.maximum,
    "min": ref.minimum,
    "eq": ref.eq,
    "ne": ref.ne,
    "lt": ref.lt,
    "le": ref.le,
    "gt": ref.gt,
    "ge": ref.ge,
}

Vectors = dict[str, list[str]]


def unary() -> Vectors:
    """`a result` of each function of one f32."""
    vectors: Vectors = {}
    for name, function in UNARY.items():
        rng = random.Random(f"{SEED} {name}")
        operands = cases.SPECIALS + cases.EXP_LOG_EDGES
        operands = operands + [rng.getrandbits(32) for _ in range(150)]
        if name in ("exp", "log"):  # most bit patterns are far from where they are interesting
            operands += [rng.randrange(0x39800000, 0x42B20000) for _ in range(150)]
            operands += [rng.randrange(0xB9800000, 0xC2D00000) for _ in range(150)]
            operands += [rng.randrange(0x00800000) for _ in range(50)]
        if name == "sqrt":
            operands += cases.LEADING_BITS + [1 << k | rng.getrandbits(k) for k in range(1, 23)]
        if name in ("tanh", "erf", "sin", "cos"):
            operands += cases.TANH_ERF_EDGES + cases.SIN_COS_EDGES
            operands += [rng.randrange(0x39800000, 0x42B20000) for _ in range(150)]
            operands += [rng.randrange(0xB9800000, 0xC2B20000) for _ in range(50)]
        if name in ("sin", "cos"):  # every exponent has bits of 2 / pi of its own
            operands += [field << 23 | rng.getrandbits(23) for field in range(120, 255)]
        vectors[name] = [f"{a:08x} {function(a):08x}" for a in operands]
    return vectors


def binary() -> Vectors:
    """`a b result` of each function of two f32; comparisons give 0 or 1."""
    vectors: Vectors = {}
    for name, function in BINARY.items():
        rng = random.Random(f"{SEED} {name}")
        pairs = [(rng.choice(cases.SPECIALS), rng.choice(cases.SPECIALS)) for _ in range(400)]
        pairs += [cases.pair(rng) for _ in range(500)]
        if name in ("mul", "div"):
            pairs += cases.about_subnormals(rng, quotients=name == "div")
            pairs += [cases.PRODUCT_EDGE, cases.QUOTIENT_EDGE]
        vectors[name] = [f"{a:08x} {b:08x} {function(a, b):08x}" for a, b in pairs]
    return vectors


def convert() -> Vectors:
    """f32 to i32, i64 and bool; integers to f32."""
    rng = random.Random(f"{SEED} convert")
    floats = cases.SPECIALS + [rng.getrandbits(32) for _ in range(100)]
    floats += [rng.randrange(0x3F000000, 0x5F800000) | rng.getrandbits(1) << 31 for _ in range(200)]
    integers = {0, 1, -1, (1 << 63) - 1, -(1 << 63), (1 << 31) - 1, -(1 << 31)}
    for bits in range(1, 63):
        low = (1 << bits) >> 25
        integers |= {(1 << bits) + d for d in (-1, 0, 1, low - 1, low, low + 1)}
        integers.add(-rng.getrandbits(bits) - 1)
    return {
        "to_i32": [f"{a:08x} {ref.to_int(a, 32)}" for a in floats],
        "to_i64": [f"{a:08x} {ref.to_int(a, 64)}" for a in floats],
        "to_bool": [f"{a:08x} {ref.to_bool(a)}" for a in floats],
        "from_int": [f"{v} {ref.from_int(v):08x}" for v in sorted(integers)],
    }


def rows() -> Vectors:
    """Exponents, quantised elements and the roundings after a sum."""
    rng = random.Random(f"{SEED} rows")
    exponents = [-96, -95, -30, -1, 0, 1, 2, 30, 127, 128, ref.NONFINITE]
    precisions = [2, 3, 8, 14, 24, 25, 26, 31]
    vectors: Vectors = {name: [] for name in ("exponent", "quantise", "dot_finish", "sum_finish")}
    for a in cases.SPECIALS:
        vectors["exponent"].append(f"{a:08x} {ref.exponent([a])}")
        row = [rng.getrandbits(32) & 0xBFFFFFFF for _ in range(3)] + [a]
        vectors["exponent"].append(" ".join(f"{v:08x}" for v in row) + f" {ref.exponent(row)}")
        for _ in range(6):
            e, bits = rng.choice(exponents), rng.choice(precisions)
            vectors["quantise"].append(f"{a:08x} {e} {bits} {ref.quantise(a, e, bits)}")
    for _ in range(800):
        e, bits = rng.randrange(-96, 129), rng.choice(precisions)
        field = min(max(e + 127 - rng.randrange(bits + 2), 0), 254)
        a = rng.getrandbits(1) << 31 | field << 23 | rng.getrandbits(23)
        if rng.random() < 0.3:
            a &= 0xFFFF0000  # ties
        vectors["quantise"].append(f"{a:08x} {e} {bits} {ref.quantise(a, e, bits)}")
    for _ in range(800):
        total = rng.getrandbits(rng.randrange(1, 63)) * rng.choice((1, -1))
        if rng.random() < 0.2:  # ties and what is just beside them
            total = (rng.getrandbits(25) << rng.randrange(37)) + rng.randrange(-1, 2)
        total = rng.choice((total, total, total, 0, 1, -1))
        ea, eb = (rng.choice([*exponents, rng.randrange(-96, 129)]) for _ in range(2))
        bits = rng.choice(precisions)
        r = ref.dot_finish(total, ea, eb, bits)
        vectors["dot_finish"].append(f"{total} {ea} {eb} {bits} {r:08x}")
        vectors["sum_finish"].append(f"{total} {ea} {ref.sum_finish(total, ea):08x}")
    return vectors


def uniform() -> Vectors:
    """`seed step node element result` of random numbers."""
    rng = random.Random(f"{SEED} uniform")
    edges = [(0, 0, 0, 0), ((1 << 64) - 1, (1 << 64) - 1, (1 << 32) - 1, (1 << 40) - 1)]
    edges += [(1 << 32, 7, 3, 1 << 34), (1, (1 << 32) + 7, 3, (1 << 34) - 1), (1, 7, 3, 5)]
    places = edges + [
        (rng.getrandbits(64), rng.getrandbits(64), rng.getrandbits(20), rng.randrange(64))
        for _ in range(100)
    ]
    return {"uniform": [" ".join(map(str, p)) + f" {ref.uniform(*p):08x}" for p in places]}


def checkers() -> Vectors:
    """Every element of every node of a program that holds each kind and function, one line a node;
    and the program's root, which says what its records are."""
    program, state = everything()
    values = reference_run(program.nodes, [plain(t) for t in state], [], SEED, STEP)
    vectors = {"root": [program.root.hex()]}
    for n, (node, elements) in enumerate(zip(program.nodes, values, strict=True)):
        vectors[f"{n} {node.name}"] = [" ".join(f"{e:x}" for e in elements)]
    return vectors


def contents() -> Iterable[tuple[Path, str]]:
    """Each vector file with what it should hold."""
    for make in (unary, binary, convert, rows, uniform, checkers):
        text = json.dumps(make(), indent=0) + "\n"
        yield FOLDER / f"{make.__name__}.json", text


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a file differs.")
def cli(check: bool) -> None:
    """Write the arithmetic's test vectors, or check them."""
    stale = []
    for path, text in contents():
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.relative_to(ROOT).as_posix())
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if check and stale:
        raise click.ClickException(f"differ from the reference: {', '.join(stale)}")
    click.echo(f"{'all match' if not stale else 'written: ' + ', '.join(stale)}")


if __name__ == "__main__":
    cli()
