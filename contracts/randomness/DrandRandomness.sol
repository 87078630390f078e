// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IRandomness} from "../interfaces/IRandomness.sol";
import {Bls} from "../lib/Bls.sol";

/// A round of drand's quicknet as a word: SHA-256 of the network's signature of the round's number, as
/// drand itself defines its randomness. A draw uses the first round that is published more than `delay`
/// seconds after the time of the block in which it is armed.
///
/// **Bias.** None: a round has one signature, so whoever makes it can choose nothing. That holds while
/// fewer than drand's threshold of members work together; that many could know rounds early, and could
/// not choose them either. `delay` has to cover how far a block's time may lie behind the true one, and
/// how long it takes until the arming is final.
///
/// The signature is checked here, so it does not matter where it comes from, and a round can be had for
/// as long as anybody has kept it. The network's constants are those of its chain's information, scheme
/// bls-unchained-g1-rfc9380 (https://api.drand.sh/52db9ba7.../info).
contract DrandRandomness is IRandomness {
    /// A draw must not be decided by a round that may be known.
    error DelayTooShort(uint32 delay, uint32 least);
    /// The chain has not the precompiles of EIP-2537, or they do not verify a round that drand published.
    error NoBls();

    /// The name of the network, by which its servers know it.
    bytes32 public constant CHAIN = 0x52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971;
    /// Unix time of round 1.
    uint256 public constant GENESIS = 1692803367;
    /// Seconds between two rounds.
    uint256 public constant PERIOD = 3;

    bytes private constant TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    /// The network's public key, 83cf0f28..., as a point.
    bytes private constant KEY = hex"000000000000000000000000000000000d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
        hex"0000000000000000000000000000000003cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
        hex"000000000000000000000000000000000e5db2b6bfbb01c867749cadffca88b36c24f3012ba09fc4d3022c5c37dce0f977d3adb5d183c7477c442b1f04515273"
        hex"0000000000000000000000000000000001a714f2edb74119a2f2b0d5a7c75ba902d163700a61bc224ededd8e63aef7be1aaf8e93d7a9718b047ccddb3eb5d68b";

    /// The signature of round 1000, as it was published.
    bytes private constant PUBLISHED = hex"00000000000000000000000000000000144679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"
        hex"0000000000000000000000000000000011f92e4521ef54f047b64b85fa98db2d46f0f44add1f60b93f8a0dbddd63b34f238657c2d93aed18b90bddd60a01b6d2";

    /// Seconds from the arming of a draw after which its round is published, at the least.
    uint32 public immutable delay;

    mapping(uint256 id => bytes32) private _kept;

    constructor(uint32 delay_) {
        if (delay_ == 0) revert DelayTooShort(delay_, 1);
        delay = delay_;
        if (!_signed(1000, PUBLISHED)) revert NoBls();
    }

    /// @inheritdoc IRandomness
    function kind() external pure returns (bytes32) {
        return "drand";
    }

    /// @inheritdoc IRandomness
    function next() external view returns (uint256) {
        uint256 after_ = block.timestamp + delay;
        return after_ < GENESIS ? 1 : (after_ - GENESIS) / PERIOD + 2;
    }

    /// When a round is published, as unix time.
    function timeOf(uint256 round) public pure returns (uint256) {
        return GENESIS + round * PERIOD - PERIOD;
    }

    /// @inheritdoc IRandomness
    function word(uint256 id) external view returns (bytes32 found) {
        found = _kept[id];
        if (found != 0) return found;
        if (id > type(uint64).max || block.timestamp < timeOf(id)) revert NotYet(id);
        revert NotKept(id);
    }

    /// @inheritdoc IRandomness
    /// @param proof The round's signature as a point of EIP-2537: x and y of 64 bytes each.
    function keep(uint256 id, bytes calldata proof) external {
        if (_kept[id] != 0) revert AlreadyKept(id);
        if (!_signed(id, proof)) revert WrongProof(id);
        bytes32 found = sha256(Bls.compressed(proof));
        if (found == 0) revert ZeroWord(id);
        _kept[id] = found;
        emit Kept(id, found);
    }

    function _signed(uint256 round, bytes memory signature) private view returns (bool) {
        if (round > type(uint64).max) return false;
        return Bls.verifies(signature, sha256(abi.encodePacked(uint64(round))), KEY, TAG);
    }
}
