"""`lib/Merkle.sol` and `lib/Sampling.sol` against their twins."""

from __future__ import annotations

import random
from hashlib import sha256

import numpy as np
import pytest
from eth_utils import keccak
from merkletools import MerkleTools

from tests import evm
from worker.commit import Tree, fold, item_preimage, list_leaf, list_root, list_tree, report_item
from worker.commit import depth as depth_of
from worker.commit import width as width_of
from worker.jobs.sampling import permute
from worker.program.records import Header, Input, Node

SIZES = [*range(1, 20), 31, 32, 33, 63, 64, 65, 100]


@pytest.fixture(scope="module")
def harness():
    return evm.deploy("MerkleHarness")


def leaves(size: int) -> list[bytes]:
    return [sha256(i.to_bytes(4, "big")).digest() for i in range(size)]


def refuses(harness, error: str, *arguments) -> None:
    with pytest.raises(evm.Reverted) as caught:
        harness.call(*arguments)
    assert caught.value.data[:4] == harness.error(error, *[0] * 2)[:4]


# --- trees ---


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_climbs_to_the_root_that_merkletools_builds(harness, size):
    tools = MerkleTools(hash_type="sha256")
    tools.add_leaf([leaf.hex() for leaf in leaves(size)])
    tools.make_tree()
    root, tree = bytes.fromhex(tools.get_merkle_root()), Tree(leaves(size))
    assert tree.root == root
    assert harness.call("depth", size) == tree.depth
    for index, leaf in enumerate(leaves(size)):
        path = [bytes.fromhex(next(iter(p.values()))) for p in tools.get_proof(index)]
        assert path == tree.path(index)
        assert harness.call("climb", leaf, index, size, path, tree.depth) == root


def test_inner_nodes_climb_and_children_fold_within_larger_trees(harness):
    for size in SIZES:
        tree = Tree(leaves(size))
        for top in range(tree.depth + 1):
            for below in range(max(0, top - 4), top + 1):
                levels = top - below
                width = harness.call("widthAt", size, below)
                assert width == width_of(size, below) == len(tree.levels[below])
                for index in {0, len(tree.levels[top]) - 1}:
                    children = tree.children(top, index, levels)
                    assert harness.call("fold", children) == tree.node(top, index)
                    assert fold(children, levels) == tree.node(top, index)
                    last = (index << levels) + len(children) - 1
                    path = tree.path(last, below, levels)
                    climbed = harness.call("climb", children[-1], last, width, path, levels)
                    assert climbed == tree.node(top, index)


def test_neighbours_climb_together_as_the_twin_says(harness):
    """Protects rows: of all neighbours in trees of many shapes the path is exactly the twin's, and
    what stands in memory beyond a word on either side is left alone."""
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 17):
        tree, nodes = Tree(leaves(size)), leaves(size)
        for index in range(size):
            for count in range(1, size - index + 1):
                path, shown = tree.path_together(index, count), nodes[index : index + count]
                found = harness.call("climbTogether", shown, index, size, path)
                assert found == (tree.root, (bytes(32), bytes(32))), (size, index, count)
                longer = [*path, bytes(32)]
                refuses(harness, "PathLength", "climbTogether", shown, index, size, longer)
                if path:
                    refuses(harness, "PathLength", "climbTogether", shown, index, size, path[:-1])


def test_neighbours_prove_their_own_place_order_and_number_only(harness):
    """A single bit of a path, or any other place, order or number gives another root or none."""
    rng = random.Random(4)
    for size in (5, 8, 11):
        tree, nodes = Tree(leaves(size)), leaves(size)
        for _ in range(60):
            index = rng.randrange(size)
            count = rng.randint(1, size - index)
            path, shown = tree.path_together(index, count), nodes[index : index + count]
            wrong = [(shown[::-1], index, path)] if count > 1 else []
            wrong += [(shown, other, path) for other in range(size) if other != index]
            wrong += [([*shown, bytes(32)], index, path), (shown[1:], index, path)]
            for at in range(len(path)):
                bad = (int.from_bytes(path[at], "big") ^ 1 << rng.randrange(256)).to_bytes(
                    32, "big"
                )
                wrong.append((shown, index, [*path[:at], bad, *path[at + 1 :]]))
            for given, place, way in wrong:
                try:
                    found, _ = harness.call("climbTogether", given, place, size, way)
                except evm.Reverted as reverted:
                    errors = ("PathLength", 0, 0), ("NoSuchNode", 0, 0), ("NoNodes",)
                    assert reverted.data[:4] in [harness.error(*e)[:4] for e in errors]
                else:
                    assert found != tree.root


def test_neighbours_are_within_their_tree(harness):
    for count, index in ((2, 4), (1, 5), (5, 1)):
        with pytest.raises(evm.Reverted) as caught:
            harness.call("climbTogether", leaves(count), index, 5, [])
        assert caught.value.data == harness.error("NoSuchNode", index + count - 1, 5)
    with pytest.raises(evm.Reverted):
        harness.call("climbTogether", leaves(1), 2**256 - 1, 5, [])
    with pytest.raises(evm.Reverted):
        harness.call("climbTogether", [], 0, 5, [])


def test_a_path_proves_its_own_position_only(harness):
    for size in (2, 5, 7, 8, 11):
        tree = Tree(leaves(size))
        for index, leaf in enumerate(leaves(size)):
            path = tree.path(index)
            for other in range(size):
                if other == index:
                    continue
                try:
                    climbed = harness.call("climb", leaf, other, size, path, tree.depth)
                except evm.Reverted as reverted:
                    assert reverted.data[:4] == harness.error("PathLength", 0, 0)[:4]
                else:
                    assert climbed != tree.root


def test_the_length_of_a_path_is_not_the_provers_choice(harness):
    for size in (1, 2, 3, 6, 9):
        tree = Tree(leaves(size))
        for index, leaf in enumerate(leaves(size)):
            path = tree.path(index)
            longer = [*path, bytes(32)]
            refuses(harness, "PathLength", "climb", leaf, index, size, longer, tree.depth)
            if path:
                shorter = path[:-1]
                refuses(harness, "PathLength", "climb", leaf, index, size, shorter, tree.depth)
        refuses(harness, "NoSuchNode", "climb", leaf, size, size, [], tree.depth)


def test_a_forged_path_gives_another_root(harness):
    tree, rng = Tree(leaves(21)), random.Random(3)
    for _ in range(50):
        index = rng.randrange(21)
        path = tree.path(index)
        at, bit = rng.randrange(len(path)), rng.randrange(256)
        path[at] = (int.from_bytes(path[at], "big") ^ (1 << bit)).to_bytes(32, "big")
        assert harness.call("climb", leaves(21)[index], index, 21, path, 5) != tree.root


def test_an_inner_node_does_not_pass_for_a_list_leaf(harness):
    items = leaves(8)
    tree = list_tree(items)
    inner, path = tree.node(1, 1), tree.path(1, 1)
    # Neither as the leaf of a smaller tree with the same root ...
    assert harness.call("climb", inner, 1, 4, path, 2) == tree.root
    assert harness.call("listRoot", 1, inner, 4, path) != tree.root
    # ... nor by passing its preimage off as an item: an item's leaf has another length.
    for item in (*items, *tree.levels[1]):
        assert harness.call("listLeaf", 1, item) not in tree.levels[1]


def test_trees_of_zeros_are_trees_like_any_other(harness):
    """Existence is never inferred from a value's not being zero."""
    for size in (1, 2, 3, 5, 8):
        zeros = [bytes(32)] * size
        tree = Tree(zeros)
        assert harness.call("fold", zeros) == tree.root
        for index in range(size):
            path = tree.path(index)
            assert harness.call("climb", bytes(32), index, size, path, tree.depth) == tree.root


def test_no_tree_is_empty(harness):
    for call in (("fold", []), ("depth", 0), ("listRoot", 0, bytes(32), 0, [])):
        with pytest.raises(evm.Reverted):
            harness.call(*call)


def test_huge_sizes_have_depths_and_widths(harness):
    for size in (2**40, 2**40 + 1, 2**56 - 1, 2**64 - 1):
        assert harness.call("depth", size) == depth_of(size)
        for level in (0, 1, 17, 40, 63):
            assert harness.call("widthAt", size, level) == width_of(size, level)


def test_depths_change_behind_every_power_of_two(harness):
    """Each step of the search for a leading bit decides: mutants survived for want of it."""
    for k in range(255):
        for size in (1 << k, (1 << k) + 1):
            assert harness.call("depth", size) == (size - 1).bit_length(), hex(size)


# --- preimages ---


def test_leaves_and_items_hash_as_the_twin_says(harness):
    rng = random.Random(5)
    for _ in range(20):
        index, dtype, count = rng.getrandbits(64), rng.getrandbits(8), rng.getrandbits(64)
        item, owner = rng.randbytes(32), rng.randbytes(20)
        assert harness.call("listLeaf", index, item) == list_leaf(index, item)
        assert harness.call("tensorItem", dtype, count, item) == item_preimage(dtype, count, item)
        reports = rng.randbytes(32)
        given = harness.call("reportItem", "0x" + owner.hex(), index, item, reports)
        assert given == report_item(owner, index, item, reports)
    data = rng.randbytes(512)
    assert harness.call("elementLeaf", data) == sha256(b"\x01" + data).digest()


def test_list_roots_hold_every_item_at_its_index(harness):
    for size in (1, 2, 3, 7, 16):
        items = leaves(size)
        tree = list_tree(items)
        for index, item in enumerate(items):
            found = harness.call("listRoot", index, item, size, tree.path(index))
            assert found == tree.root == list_root(items)


def test_records_and_headers_hash_as_the_twin_says(harness):
    inputs = (Input(3, 1, (4, 5), (0, 1, -7, 2**40, 0, -(2**40)), 0x7FC00000), Input(0, 4, ()))
    for node in (
        Node(1, 8, 1, (2, 3), inputs, (2**64 - 1, 0)),
        Node(0, 2, 3, (), (), (5,)),
        Node(255, 255, 255, (2**32 - 1,) * 9),
    ):
        assert harness.call("nodeItem", node.to_abi()) == node.item
        behind = b"\xff" + bytes(31)
        assert harness.call("encodingOf", node.to_abi()) == (node.encoded, behind)
    # the same record in other bytes, a bit above the width of its kind or of its shape's only size
    sound = harness.encode("nodeItem", Node(1, 8, 1, (2,)).to_abi())
    for word in (1, 7 + 1):
        dirty = bytearray(sound)
        dirty[4 + 32 * word] ^= 1
        found = harness.evm.message_call(evm.CALLER, harness.address, calldata=bytes(dirty))
        assert bytes(found) != Node(1, 8, 1, (2,)).item
    header = Header(b"\x01" * 32, 2**32 - 1, b"\x02" * 32, 3, 4)
    assert harness.call("headerRoot", header.to_abi()) == header.root


MISPLACED = keccak(text="MalformedRecord(bytes32)")[:4] + b"encoding".ljust(32, b"\0")


def test_a_record_has_one_encoding(harness):
    """Protects the hash of a record: the same record with its arrays anywhere but where
    `abi.encode` puts them, behind a gap, in another order or upon each other, is refused."""
    inputs = (Input(3, 1, (4, 5), (0, 1, 2, 3), 7), Input(2, 4, ()), Input(1, 2, (6,), (5, 4)))
    node = Node(1, 8, 1, (2, 3), inputs, (9, 8))
    call = harness.encode("nodeItem", node.to_abi())
    assert call[36:] == node.encoded[32:]
    words = [call[i : i + 32] for i in range(4, len(call), 32)]
    # the struct stands at word 1; of its six words three are distances, as are the inputs' first
    first = 1 + int.from_bytes(words[5], "big") // 32 + 1
    offsets = {4: 1, 5: 1, 6: 1} | {first + i: first for i in range(3)}
    for i in range(3):
        at = first + int.from_bytes(words[first + i], "big") // 32
        offsets |= {at + 2: at, at + 3: at}
    assert len(offsets) == 12
    for place in offsets:
        # every array behind it a word further, and every other distance as it was
        for change in (-32, 32, 1 << 255):
            value = (int.from_bytes(words[place], "big") + change) % (1 << 256)
            moved = [*words[:place], value.to_bytes(32, "big"), *words[place + 1 :], bytes(64)]
            assert refused(harness, call[:4] + b"".join(moved)) == MISPLACED
    # decodes to the same record: the shape moved behind all the rest
    elsewhere = [*words, *words[7:10]]
    elsewhere[4] = (32 * (len(words) - 1)).to_bytes(32, "big")
    assert refused(harness, call[:4] + b"".join(elsewhere)) == MISPLACED


def refused(harness, call):
    with pytest.raises(RuntimeError) as error:
        harness.evm.message_call(evm.CALLER, harness.address, calldata=call, gas=10**7)
    return evm._revert_data(error.value)


# --- sampling ---


def definition(seed: int, epoch: int, position: int, rows: int) -> int:
    """`permute` as docs/protocol.md words it."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x85EBCA6B & 0xFFFFFFFF
        x ^= x >> 13
        x = x * 0xC2B2AE35 & 0xFFFFFFFF
        return x ^ x >> 16

    w = max(1, -(-(rows - 1).bit_length() // 2))
    mask = 2**w - 1
    digest = sha256(seed.to_bytes(8, "big") + epoch.to_bytes(8, "big")).digest()
    keys = [int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(6)]
    x = position
    while True:
        left, right = x >> w, x & mask
        for key in keys:
            left, right = right, left ^ (mix(right ^ key) & mask)
        x = left << w | right
        if x < rows:
            return x


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 1000])
def test_an_epoch_is_a_permutation_of_all_rows(harness, rows):
    images = harness.call("permuteMany", 9, 4, 0, rows, rows)
    assert sorted(images) == list(range(rows))
    assert list(images) == [definition(9, 4, i, rows) for i in range(rows)]
    positions = np.arange(rows, dtype=np.uint64)
    assert list(images) == permute(9, 4, positions, rows).tolist()


def test_epochs_and_seeds_give_other_orders(harness):
    orders = {
        tuple(harness.call("permuteMany", seed, epoch, 0, 100, 100))
        for seed in (0, 1, 2**64 - 1)
        for epoch in (0, 1, 2**64 - 1)
    }
    assert len(orders) == 9


@pytest.mark.parametrize("rows", [2**32, 2**32 - 1, 2**31 + 1, 10**9])
def test_the_largest_data_sets_are_sampled_like_the_definition(harness, rows):
    rng = random.Random(rows)
    for position in [0, rows - 1, *(rng.randrange(rows) for _ in range(20))]:
        seed, epoch = rng.getrandbits(64), rng.getrandbits(64)
        image = harness.call("permute", seed, epoch, position, rows)
        assert image == definition(seed, epoch, position, rows)
