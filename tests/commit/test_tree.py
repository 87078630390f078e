"""Trees: those of the merkletools package, and paths that prove one position only."""

from __future__ import annotations

from hashlib import sha256

import pytest
from merkletools import MerkleTools

from worker.commit import (
    Tree,
    climb,
    climb_together,
    depth,
    fold,
    list_leaf,
    list_root,
    list_tree,
    width,
)

SIZES = [*range(1, 71), 127, 128, 129, 1000, 4097]


def leaves(size: int) -> list[bytes]:
    return [sha256(i.to_bytes(4, "big")).digest() for i in range(size)]


@pytest.mark.parametrize("size", SIZES)
def test_our_tree_is_that_of_merkletools(size):
    """Protects every commitment: our builder for large trees and the package give one root."""
    tools = MerkleTools(hash_type="sha256")
    tools.add_leaf([leaf.hex() for leaf in leaves(size)])
    tools.make_tree()
    tree = Tree(leaves(size))
    assert tree.root.hex() == tools.get_merkle_root()
    assert tree.depth == depth(size) == len(tree.levels) - 1
    assert [width(size, level) for level in range(tree.depth + 1)] == [len(n) for n in tree.levels]
    step = max(1, size // 50)
    for index in range(0, size, step):
        path = [bytes.fromhex(next(iter(p.values()))) for p in tools.get_proof(index)]
        assert tree.path(index) == path
        assert climb(leaves(size)[index], index, size, 0, path, tree.depth) == tree.root


@pytest.mark.parametrize("size", [*range(1, 36), 63, 64, 65])
def test_every_node_climbs_to_and_folds_into_every_ancestor(size):
    """Protects a dispute's descent: from any level to any other, whatever the tree's shape."""
    tree = Tree(leaves(size))
    for top in range(tree.depth + 1):
        for level in range(top + 1):
            levels = top - level
            for index in range(len(tree.levels[top])):
                children = tree.children(top, index, levels)
                assert fold(children, levels) == tree.node(top, index)
                for k, child in enumerate(children):
                    at = (index << levels) + k
                    path = tree.path(at, level, levels)
                    assert climb(child, at, size, level, path, levels) == tree.node(top, index)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 8, 11, 17, 21])
def test_all_neighbours_climb_together_by_their_path_alone(size):
    """Protects rows that lie in several leaves: a path has no node that the leaves themselves give,
    and its length is the one that place, number and size determine."""
    tree, nodes = Tree(leaves(size)), leaves(size)
    for index in range(size):
        assert tree.path_together(index, 1) == tree.path(index)
        for count in range(1, size - index + 1):
            path = tree.path_together(index, count)
            shown = nodes[index : index + count]
            assert climb_together(shown, index, size, path) == tree.root
            above = {n for level in tree.levels[1:] for n in level}
            assert not set(path) & set(shown) and len(path) <= 2 * tree.depth
            assert (count == size) == (not path), "all leaves give the root without a path"
            assert len(set(path) - above) <= 2, "more than two of the path are leaves"
            with pytest.raises(ValueError, match="1 nodes too long"):
                climb_together(shown, index, size, [*path, bytes(32)])
            if path:
                with pytest.raises(ValueError, match="too short"):
                    climb_together(shown, index, size, path[:-1])


def test_neighbours_prove_their_own_place_order_and_number_only():
    """Protects rows: what leads from some leaves to the root leads there from no others."""
    for size in (5, 8, 11):
        tree, nodes = Tree(leaves(size)), leaves(size)
        for index in range(size):
            for count in range(1, size - index + 1):
                path, shown = tree.path_together(index, count), nodes[index : index + count]
                for place in range(size):
                    for wrong in (shown, shown[::-1], shown[:-1], [*shown, bytes(32)]):
                        if (wrong, place) == (shown, index) or not wrong:
                            continue
                        try:
                            assert climb_together(wrong, place, size, path) != tree.root
                        except ValueError as error:
                            assert "the path" in str(error) or "outside level 0" in str(error)


@pytest.mark.parametrize("size", [2, 3, 5, 6, 7, 8, 11, 17])
def test_a_path_proves_its_own_position_only(size):
    """Protects the position: a leaf's path at another index gives another root, or has no place."""
    tree = Tree(leaves(size))
    for index, leaf in enumerate(leaves(size)):
        path = tree.path(index)
        for other in range(size):
            if other != index:
                try:
                    assert climb(leaf, other, size, 0, path, tree.depth) != tree.root
                except ValueError as error:
                    assert "the path" in str(error)


def test_a_path_with_any_wrong_bit_gives_another_root():
    """Protects against forged siblings."""
    tree = Tree(leaves(13))
    for index, leaf in enumerate(leaves(13)):
        for at, sibling in enumerate(path := tree.path(index)):
            for bit in (0, 100, 255):
                bad = (int.from_bytes(sibling, "big") ^ 1 << bit).to_bytes(32, "big")
                forged = [*path[:at], bad, *path[at + 1 :]]
                assert climb(leaf, index, 13, 0, forged, tree.depth) != tree.root


@pytest.mark.parametrize("size", [1, 2, 3, 6, 9, 16])
def test_the_length_of_a_path_is_not_the_provers_choice(size):
    """Protects against shorter and longer trees with the same root."""
    tree = Tree(leaves(size))
    for index, leaf in enumerate(leaves(size)):
        path = tree.path(index)
        with pytest.raises(ValueError, match="1 nodes too long"):
            climb(leaf, index, size, 0, [*path, bytes(32)], tree.depth)
        if path:
            with pytest.raises(ValueError, match="too short"):
                climb(leaf, index, size, 0, path[:-1], tree.depth)
    with pytest.raises(ValueError, match="outside level 0"):
        climb(bytes(32), size, size, 0, [], tree.depth)


def test_a_negative_index_is_no_place():
    """Protects paths from Python's way of counting from the end."""
    tree = Tree(leaves(5))
    for call in (
        lambda: climb(leaves(5)[4], -1, 5, 0, tree.path(4), tree.depth),
        lambda: tree.path(-1),
        lambda: tree.path(5),
        lambda: tree.path_together(-1, 2),
        lambda: tree.path_together(3, 3),
        lambda: climb_together(leaves(5)[3:5], 4, 5, []),
        lambda: tree.node(0, -1),
        lambda: tree.children(1, -1, 1),
    ):
        with pytest.raises(ValueError, match="outside level"):
            call()


def test_nothing_lies_below_the_leaves_or_above_the_root():
    """Protects the bounds of a tree: asking for what is not there is an error, not a guess."""
    tree = Tree(leaves(6))
    with pytest.raises(ValueError, match="no nodes 2 levels below level 1"):
        tree.children(1, 0, 2)
    with pytest.raises(ValueError, match="outside level"):
        tree.children(1, 3, 1)
    with pytest.raises(ValueError, match="expected one"):
        fold(leaves(3), 1)
    with pytest.raises(ValueError, match="no leaves"):
        climb_together([], 0, 6, [])
    for empty in (lambda: Tree([]), lambda: depth(0), lambda: list_tree([])):
        with pytest.raises(ValueError, match="at least one"):
            empty()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33])
def test_a_list_is_a_tree_of_leaves_that_hold_their_index(size):
    """Protects lists: the same items in another order are another list."""
    items = leaves(size)
    tree = list_tree(items)
    assert tree.levels == Tree([list_leaf(i, item) for i, item in enumerate(items)]).levels
    assert (tree.size, tree.depth, tree.root) == (size, depth(size), list_root(items))
    if size > 1:
        assert list_root(items[::-1]) != tree.root
        assert list_root(items[:-1]) != tree.root


def test_a_trees_zeros_are_hashed_like_anything_else():
    """Protects existence: it is never inferred from a value's not being zero."""
    assert len({Tree([bytes(32)] * n).root for n in range(1, 20)}) == 19
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        list_leaf(0, bytes(31))
