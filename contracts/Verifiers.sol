// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IStakes} from "./interfaces/IStakes.sol";
import {IVerifiers} from "./interfaces/IVerifiers.sol";

/// The units of `IVerifiers`, in a tree of sums: each node has eight children, a leaf is a verifier's
/// place, and a node's value is its children's sums side by side, with its history by block.
///
///     value of a node = sum of child 7 | .. | sum of child 1 | sum of child 0, each of SUM_BITS
///     node i of level l has the nodes 8 i .. 8 i + 7 of level l - 1 below it; of level 0, those places
///
/// The tree grows at its root when all places are taken. Of a block before that, the root above knows
/// nothing, and its first child was the root.
contract Verifiers is IVerifiers {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;

    /// One slot.
    struct Verifier {
        uint32 place; // from 1; zero has never offered anything
        uint32 units;
        uint32 duties;
        uint40 lowered; // when its units last became fewer
    }

    /// One slot.
    struct Tree {
        uint32 places;
        uint8 height; // in levels
        uint32 units;
    }

    uint256 private constant CHILDREN = 8;
    uint256 private constant CHILD_BITS = 3;
    uint256 private constant SUM_BITS = 26; // eight sums fill a checkpoint's 208 bits
    uint256 private constant MOST_UNITS = (1 << SUM_BITS) - 1;

    /// @inheritdoc IVerifiers
    address public immutable market;
    /// @inheritdoc IVerifiers
    address public immutable stakes;
    /// @inheritdoc IVerifiers
    uint96 public immutable unitStake;
    /// @inheritdoc IVerifiers
    uint32 public immutable drawTime;

    Tree private _tree;
    mapping(address account => Verifier) private _verifiers;
    mapping(uint256 place => address) private _owners; // from 0
    mapping(uint256 level => mapping(uint256 node => Checkpoints.Trace208)) private _nodes;

    /// The market is to come, at the address that is named.
    constructor(address market_, address stakes_, uint96 unitStake_, uint32 drawTime_) {
        if (market_ == address(0)) revert BadParameter("market");
        if (stakes_.code.length == 0) revert BadParameter("stakes");
        if (unitStake_ == 0) revert BadParameter("unitStake");
        if (drawTime_ == 0) revert BadParameter("drawTime");
        (market, stakes, unitStake, drawTime) = (market_, stakes_, unitStake_, drawTime_);
    }

    modifier onlyMarket() {
        if (msg.sender != market) revert NotMarket(msg.sender);
        _;
    }

    // ------------------------------------------------------------------------------------ offering

    /// @inheritdoc IVerifiers
    // `stakes` is ours, and calls back nobody when it locks.
    function offer(uint256 count) external {
        Verifier storage verifier = _verifiers[msg.sender];
        uint256 before = verifier.units;
        if (count == before) revert AlreadyOffered(msg.sender, count);
        uint256 total = _tree.units - before + count;
        if (total > MOST_UNITS) revert TooManyUnits(total, MOST_UNITS);
        if (verifier.place == 0) verifier.place = _newPlace(msg.sender);
        _set(msg.sender, verifier, count);

        uint256 needed = count * unitStake;
        uint256 locked = IStakes(stakes).locked(msg.sender, address(this));
        if (needed > locked) IStakes(stakes).lock(msg.sender, needed - locked);
    }

    /// @inheritdoc IVerifiers
    function release(address account) external {
        uint256 busy = _verifiers[account].duties;
        if (busy != 0) revert OnDuty(account, busy);
        (uint256 amount, uint64 until) = releasable(account);
        if (amount == 0) revert NothingToRelease(account);
        if (block.timestamp <= until) revert StillDrawable(account, until);

        IStakes(stakes).release(account, amount);
    }

    // ---------------------------------------------------------------------------------- the market

    /// @inheritdoc IVerifiers
    function draw(uint256 armedBlock, uint256 armedAt, bytes32 word, address[] calldata excluded)
        external
        onlyMarket
        returns (address drawn)
    {
        uint256 until = armedAt + drawTime;
        if (block.timestamp > until) revert DrawOver(until.toUint64());
        drawn = pick(armedBlock, word, excluded);
        if (drawn != address(0)) ++_verifiers[drawn].duties;
    }

    /// @inheritdoc IVerifiers
    function done(address account, uint256 fine) external onlyMarket returns (uint256 fined) {
        Verifier storage verifier = _verifiers[account];
        --verifier.duties;
        if (fine == 0) return 0;
        uint256 locked = IStakes(stakes).locked(account, address(this));
        fined = Math.min(fine, locked);
        uint256 left = (locked - fined) / unitStake;
        if (left < verifier.units) _set(account, verifier, left);

        if (fined != 0) IStakes(stakes).slash(account, fined);
    }

    // --------------------------------------------------------------------------------------- views

    /// @inheritdoc IVerifiers
    // Excluded units are taken out on the way down, so that one descent finds somebody or nobody.
    function pick(uint256 armedBlock, bytes32 word, address[] calldata excluded) public view returns (address drawn) {
        uint256 block_ = armedBlock - 1;
        (uint256[] memory out, uint256[] memory outUnits, uint256 all) = _out(block_, excluded);

        uint256 level = _tree.height;
        uint256 value;
        while (value == 0) {
            if (level == 0) return address(0);
            value = _at(--level, 0, block_);
        }
        uint256 left = _sum(value) - all;
        if (left == 0) return address(0);

        uint256 point = uint256(word) % left;
        uint256 node;
        while (true) {
            node *= CHILDREN;
            while (true) {
                uint256 weight = value & MOST_UNITS;
                for (uint256 i; i < out.length; ++i) {
                    if (out[i] >> CHILD_BITS * level == node) weight -= outUnits[i];
                }
                if (point < weight) break;
                point -= weight;
                value >>= SUM_BITS;
                ++node;
            }
            if (level == 0) return _owners[node];
            value = _at(--level, node, block_);
        }
    }

    /// @inheritdoc IVerifiers
    function releasable(address account) public view returns (uint256 amount, uint64 until) {
        Verifier storage verifier = _verifiers[account];
        amount = IStakes(stakes).locked(account, address(this)) - uint256(verifier.units) * unitStake;
        until = uint64(verifier.lowered) + drawTime;
    }

    /// @inheritdoc IVerifiers
    function unitsOf(address account) external view returns (uint256) {
        return _verifiers[account].units;
    }

    /// @inheritdoc IVerifiers
    function units() external view returns (uint256) {
        return _tree.units;
    }

    /// @inheritdoc IVerifiers
    function duties(address account) external view returns (uint256) {
        return _verifiers[account].duties;
    }

    /// @inheritdoc IVerifiers
    function places() external view returns (uint256) {
        return _tree.places;
    }

    // ------------------------------------------------------------------------------------ the tree

    function _newPlace(address account) private returns (uint32) {
        uint256 place = _tree.places;
        uint256 height = _tree.height;
        if (place == 1 << CHILD_BITS * height) {
            // The old root is the first child of the new one; of the first root there is none. Its sum is
            // at most MOST_UNITS.
            if (height != 0) _push(height, 0, _tree.units);
            _tree.height = uint8(height + 1); // no truncation: at most 11, as places have 32 bits
        } else if (height == 0) {
            _tree.height = 1;
        }
        _owners[place] = account;
        _tree.places = (place + 1).toUint32();
        return uint32(place + 1); // no truncation: just checked
    }

    /// No truncation here: the sum of all units is at most MOST_UNITS.
    function _set(address account, Verifier storage verifier, uint256 count) private {
        uint256 before = verifier.units;
        uint256 place = verifier.place - 1;
        if (count < before) verifier.lowered = uint40(block.timestamp);
        verifier.units = uint32(count);
        _tree.units = uint32(_tree.units - before + count);
        uint256 height = _tree.height;
        for (uint256 level; level < height; ++level) {
            uint256 shift = place % CHILDREN * SUM_BITS;
            place /= CHILDREN;
            uint256 value = _nodes[level][place].latest();
            _push(level, place, value - (before << shift) + (count << shift));
        }
        emit Offered(account, count);
    }

    function _push(uint256 level, uint256 node, uint256 value) private {
        // No truncation: eight sums, each of at most SUM_BITS. What was there before is known.
        // slither-disable-next-line unused-return
        _nodes[level][node].push(block.number.toUint48(), uint208(value));
    }

    /// A node's value at the end of a block. Searched from the end of its history in steps that double: mostly
    /// nothing has changed since, and then the last entry is all that is read.
    function _at(uint256 level, uint256 node, uint256 block_) private view returns (uint256 value) {
        Checkpoints.Trace208 storage history = _nodes[level][node];
        uint256 high = history.length(); // from here on it is later
        uint256 low = high; // from the first step on not later, or looked at next
        for (uint256 step = 1; low != 0; step *= 2) {
            low = high > step ? high - step : 0;
            (bool later, uint256 found) = _entry(history, low, block_);
            if (!later) {
                value = found;
                break;
            }
            high = low;
        }
        while (high > low + 1) {
            uint256 middle = (low + high) / 2;
            (bool later, uint256 found) = _entry(history, middle, block_);
            if (later) high = middle;
            else (low, value) = (middle, found);
        }
    }

    function _entry(Checkpoints.Trace208 storage history, uint256 index, uint256 block_)
        private
        view
        returns (bool later, uint256 value)
    {
        // No truncation: a history has an entry a block at most.
        Checkpoints.Checkpoint208 memory entry = history.at(uint32(index));
        return (entry._key > block_, entry._value);
    }

    function _sum(uint256 value) private pure returns (uint256 sum) {
        for (; value != 0; value >>= SUM_BITS) {
            sum += value & MOST_UNITS;
        }
    }

    /// The places that take no part, what they had at the end of a block, and all of it. Who is named twice
    /// is taken out once.
    function _out(uint256 block_, address[] calldata excluded)
        private
        view
        returns (uint256[] memory out, uint256[] memory outUnits, uint256 all)
    {
        out = new uint256[](excluded.length);
        outUnits = new uint256[](excluded.length);
        for (uint256 i; i < excluded.length; ++i) {
            uint256 place = _verifiers[excluded[i]].place;
            if (place == 0) continue;
            bool again;
            for (uint256 j; j < i; ++j) {
                if (excluded[j] == excluded[i]) again = true;
            }
            if (again) continue;
            out[i] = --place;
            uint256 value = _at(0, place / CHILDREN, block_);
            outUnits[i] = value >> place % CHILDREN * SUM_BITS & MOST_UNITS;
            all += outUnits[i];
        }
    }
}
