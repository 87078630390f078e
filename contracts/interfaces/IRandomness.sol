// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Where a draw's randomness comes from: a row of words, each under a number that is known long before
/// the word is.
///
/// A client arms a draw by reading `next` and keeping that number with the draw; from then on nothing
/// can change which word decides it. It draws, any number of blocks later, with `word` of that number,
/// and mixes in its own address and the draw's, as many draws share a word. The word of a number is the
/// same whoever asks, whenever, and whether it was kept before or not.
///
/// **No word is lost.** Whoever dislikes one could otherwise wait until it is, and have another. So
/// there is no arming anew: where a source cannot tell a word by itself (`NotKept`), anyone can give it
/// the proof with `keep`, at any later time, out of what the whole world holds. A source may still end:
/// a network of signers stops, a fork changes what a header is. A client that holds money gives a draw
/// a last time, far later than a keeper needs, and a way out after it that pays nobody who could have
/// called `keep` and did not.
interface IRandomness {
    /// The word is kept from now on, and asking for it is cheap.
    event Kept(uint256 indexed id, bytes32 word);

    /// The word does not exist yet.
    error NotYet(uint256 id);
    /// The word exists, and has to be brought: `keep` it.
    error NotKept(uint256 id);
    error AlreadyKept(uint256 id);
    /// The proof is none of this word.
    error WrongProof(uint256 id);
    /// A source that answers zero is broken, and no draw follows it.
    error ZeroWord(uint256 id);

    /// The number of the word that decides what is armed in this block: the first that nobody can know
    /// before the arming is final, by the delay that the source was deployed with. It never falls from
    /// block to block, and stays below 2^40 for as long as anyone lives.
    function next() external view returns (uint256 id);

    /// The word, never zero. Reverts with `NotYet` or `NotKept` while it cannot be told.
    function word(uint256 id) external view returns (bytes32);

    /// Makes `word` tell the word for good. Anyone may call; what `proof` is, each source says.
    function keep(uint256 id, bytes calldata proof) external;

    /// What kind of source this is, so that a keeper knows which proof to bring.
    function kind() external view returns (bytes32);
}
