// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// BLS signatures on BLS12-381 with the signature in G1 and the key in G2, by the precompiles of
/// EIP-2537, whose encoding of points is used throughout: a coordinate is 64 bytes, big-endian, of
/// which the first 16 are zero. Hashing to the curve is `BLS12381G1_XMD:SHA-256_SSWU_RO_` of RFC 9380.
///
/// A precompile refuses a coordinate that is not below p and a point that is not on the curve, and the
/// pairing one that is not in the subgroup; what it refuses costs all the gas it was given.
library Bls {
    /// Bytes of a point in G1.
    uint256 internal constant G1_BYTES = 128;

    address private constant MODEXP = address(0x05);
    address private constant G1_ADD = address(0x0b);
    address private constant PAIRING = address(0x0f);
    address private constant MAP_FP_TO_G1 = address(0x10);

    /// The field's modulus.
    bytes private constant P =
        hex"000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab";
    // (p - 1) / 2, its upper 16 bytes and its lower 32
    uint256 private constant HALF_UPPER = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LOWER = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;
    /// The generator of G2, negated.
    bytes private constant MINUS_G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bcb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa"
        hex"0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed";

    /// Whether `signature`, a point of G1, is that of `message` by the key, a point of G2:
    /// e(signature, -g2) e(hash, key) = 1. The point at infinity signs nothing. False too where the chain
    /// has no such precompiles.
    /// tag: the domain separation tag, at most 255 bytes.
    function verifies(bytes memory signature, bytes32 message, bytes memory key, bytes memory tag)
        internal
        view
        returns (bool)
    {
        if (signature.length != G1_BYTES) return false;
        (bool hashed, bytes memory point) = hashToG1(message, tag);
        if (!hashed) return false;
        (bool done, bytes memory out) = _call(PAIRING, abi.encodePacked(signature, MINUS_G2, point, key), 32);
        return done && bytes32(out) == bytes32(uint256(1));
    }

    /// A message's point in G1; `done` is false where the chain cannot compute it.
    function hashToG1(bytes32 message, bytes memory tag) internal view returns (bool done, bytes memory point) {
        (bytes32 a, bytes32 b, bytes32 c, bytes32 d) = _expand(message, tag);
        bytes memory first;
        bytes memory second;
        (done, first) = _mapped(a, b);
        if (!done) return (false, first);
        (done, second) = _mapped(c, d);
        if (!done) return (false, second);
        return _call(G1_ADD, abi.encodePacked(first, second), G1_BYTES);
    }

    /// The 48 bytes that a point of G1 other than infinity is published as: x, with the highest bit set,
    /// and the third highest where y is the larger of the two that x has.
    function compressed(bytes memory point) internal pure returns (bytes memory) {
        (uint256 xUpper, uint256 xLower) = (_word(point, 0), _word(point, 32));
        (uint256 yUpper, uint256 yLower) = (_word(point, 64), _word(point, 96));
        bool larger = yUpper > HALF_UPPER || (yUpper == HALF_UPPER && yLower > HALF_LOWER);
        uint256 upper = xUpper | 1 << 127 | (larger ? 1 << 125 : 0);
        return abi.encodePacked(uint128(upper), xLower); // no truncation: x is below 2^381
    }

    /// expand_message_xmd with SHA-256, to 128 bytes.
    function _expand(bytes32 message, bytes memory tag)
        private
        pure
        returns (bytes32 a, bytes32 b, bytes32 c, bytes32 d)
    {
        bytes memory suffix = abi.encodePacked(tag, uint8(tag.length));
        bytes32 start = sha256(abi.encodePacked(bytes32(0), bytes32(0), message, uint16(128), uint8(0), suffix));
        a = sha256(abi.encodePacked(start, uint8(1), suffix));
        b = sha256(abi.encodePacked(start ^ a, uint8(2), suffix));
        c = sha256(abi.encodePacked(start ^ b, uint8(3), suffix));
        d = sha256(abi.encodePacked(start ^ c, uint8(4), suffix));
    }

    /// The point of the number whose 64 bytes these are, modulo p.
    function _mapped(bytes32 upper, bytes32 lower) private view returns (bool done, bytes memory out) {
        // the number to the power of one
        bytes memory power = abi.encodePacked(uint256(64), uint256(1), uint256(64), upper, lower, uint8(1), P);
        (done, out) = _call(MODEXP, power, 64);
        if (done) (done, out) = _call(MAP_FP_TO_G1, out, G1_BYTES);
    }

    /// A precompile's answer; not `done` where it refuses, or answers with another length, as an address
    /// without a precompile does.
    function _call(address to, bytes memory input, uint256 length) private view returns (bool done, bytes memory out) {
        (done, out) = to.staticcall(input);
        done = done && out.length == length;
    }

    function _word(bytes memory data, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), offset))
        }
    }
}
