"""The contracts that come in kinds, by the names of their sources."""

# In the order of the kinds of node (contracts/court/Codes.sol).
CHECKERS = (
    "SourceChecker",
    "MapChecker",
    "ReduceChecker",
    "DotChecker",
    "GatherChecker",
    "ScatterChecker",
)
# The sources of randomness, by the kind that a deployment's parameters name.
RANDOMNESS = {
    "blockhash": "BlockhashRandomness",
    "prevrandao": "PrevrandaoRandomness",
    "drand": "DrandRandomness",
}
