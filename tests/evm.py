"""A native EVM for heavy contract tests: compile by name, deploy, call.

`ape`'s own test chain checks what users see; this one runs a million operations in seconds.

    harness = evm.deploy("ArithmeticHarness")
    harness.call("fromScaled", 3, -1)

The bytecode is what `ape compile` left, if that is newer than every source, and else comes from the
compiler that `ape-config.yaml` names, with the settings it names, through the npm package `solc`;
the result is cached by the hash of the sources.
"""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyrevm
import rlp
import yaml
from eth_abi import decode, encode
from eth_utils import function_signature_to_4byte_selector, keccak, to_checksum_address

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
CACHE = ROOT / ".cache" / "evm"
CALLER = "0x00000000000000000000000000000000000a55a1"
GAS = 1 << 62

# Compiles a standard-JSON input, whose sources may import any file below the working directory or
# a mapped folder.
_COMPILE = """
const fs = require("fs");
const solc = require("solc");
const find = (path) => fs.existsSync(path)
  ? { contents: fs.readFileSync(path, "utf8") } : { error: "not found" };
process.stdout.write(solc.compile(fs.readFileSync(0, "utf8"), { import: find }));
"""


class Reverted(Exception):
    """A call reverted; `data` are the bytes that came back, a custom error as a rule."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"reverted with 0x{data.hex()}")
        self.data = data


@dataclass(frozen=True)
class Artifact:
    """A compiled contract."""

    abi: list[dict[str, Any]]
    bytecode: bytes
    """The creation code."""


@dataclass(frozen=True)
class Contract:
    """A deployed contract. Calls keep their effects."""

    evm: pyrevm.EVM
    address: str
    abi: list[dict[str, Any]]

    def call(self, name: str, *arguments: Any, caller: str = CALLER) -> Any:
        """The function's result (a tuple if it returns several), or `Reverted`."""
        data = self.encode(name, *arguments)
        entry = self._function(name)
        try:
            raw = self.evm.message_call(caller=caller, to=self.address, calldata=data, gas=GAS)
        except RuntimeError as error:
            raise Reverted(_revert_data(error)) from None
        values = decode(_types(entry["outputs"]), bytes(raw))
        return values[0] if len(values) == 1 else values

    def encode(self, name: str, *arguments: Any) -> bytes:
        """The calldata of a call."""
        entry = self._function(name)
        return _selector(entry) + encode(_types(entry["inputs"]), arguments)

    def _function(self, name: str) -> dict[str, Any]:
        return next(e for e in self.abi if e["type"] == "function" and e["name"] == name)

    def error(self, name: str, *arguments: Any) -> bytes:
        """The revert data of the custom error `name`."""
        entry = next(e for e in self.abi if e["type"] == "error" and e["name"] == name)
        return _selector(entry) + encode(_types(entry["inputs"]), arguments)


def deploy(
    name: str, *arguments: Any, evm: pyrevm.EVM | None = None, caller: str = CALLER
) -> Contract:
    """Deploy the contract `name` with its constructor's `arguments`, on a new chain by default."""
    artifact = load(name)
    constructor = next((e for e in artifact.abi if e["type"] == "constructor"), None)
    inputs = _types(constructor["inputs"]) if constructor else []
    evm = evm or pyrevm.EVM(gas_limit=GAS, spec_id="CANCUN")
    evm.set_block_env(pyrevm.BlockEnv(gas_limit=GAS))
    address = evm.deploy(caller, artifact.bytecode + encode(inputs, arguments), gas=GAS)
    return Contract(evm, address, artifact.abi)


def address_after(evm: pyrevm.EVM, deployments: int) -> str:
    """Where the contract will be that `deploy` makes after so many others."""
    return address_of_creation(CALLER, (evm.basic(CALLER).nonce or 0) + deployments)


def address_of_creation(account: str, nonce: int) -> str:
    """Where the contract is that the account creates with its transaction of this nonce."""
    return to_checksum_address(keccak(rlp.encode([bytes.fromhex(account[2:]), nonce]))[12:])


@cache
def load(name: str) -> Artifact:
    """The compiled contract `name`; KeyError if no source below `contracts/` defines it."""
    return _from_ape(name) or _from_solc(name)


def _from_ape(name: str) -> Artifact | None:
    manifest = ROOT / ".build" / "__local__.json"
    if not manifest.exists():
        return None
    built = manifest.stat().st_mtime
    if any(path.stat().st_mtime > built for path in CONTRACTS.rglob("*.sol")):
        return None
    contract = json.loads(manifest.read_text())["contractTypes"].get(name)
    if contract is None:
        return None
    code = contract["deploymentBytecode"]["bytecode"]
    return Artifact(contract["abi"], bytes.fromhex(code.removeprefix("0x")))


def _from_solc(name: str) -> Artifact:
    path = next((p for p in CONTRACTS.rglob("*.sol") if p.stem == name), None)
    if path is None:
        raise KeyError(f"no contracts/**/{name}.sol")
    config = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["solidity"]
    sources = {p.relative_to(ROOT).as_posix(): p.read_text() for p in CONTRACTS.rglob("*.sol")}
    key = hashlib.sha256(json.dumps([name, config, sorted(sources.items())]).encode()).hexdigest()
    cached = CACHE / f"{name}-{key[:16]}.json"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        compiled = _compile(path.relative_to(ROOT).as_posix(), config)[name]
        cached.write_text(json.dumps(compiled))
    compiled = json.loads(cached.read_text())
    return Artifact(compiled["abi"], bytes.fromhex(compiled["evm"]["bytecode"]["object"]))


def _compile(source: str, config: dict[str, Any]) -> dict[str, Any]:
    """The contracts of one source file, with the files that it imports."""
    request = {
        "language": "Solidity",
        "sources": {source: {"content": (ROOT / source).read_text()}},
        "settings": {
            "optimizer": {"enabled": True, "runs": config.get("optimization_runs", 200)},
            "evmVersion": config["evm_version"],
            "viaIR": config.get("via_ir", False),
            "remappings": config.get("import_remapping", []),
            "outputSelection": {source: {"*": ["abi", "evm.bytecode.object"]}},
        },
    }
    done = subprocess.run(
        ["node", "-e", _COMPILE],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    output = json.loads(done.stdout[done.stdout.index("{") :])
    errors = [e for e in output.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise RuntimeError("\n".join(e["formattedMessage"] for e in errors))
    contracts: dict[str, Any] = output["contracts"][source]
    return contracts


def _types(parameters: list[dict[str, Any]]) -> list[str]:
    def one(parameter: dict[str, Any]) -> str:
        kind: str = parameter["type"]
        if kind.startswith("tuple"):
            return f"({','.join(_types(parameter['components']))}){kind[5:]}"
        return kind

    return [one(parameter) for parameter in parameters]


def _selector(entry: dict[str, Any]) -> bytes:
    signature = f"{entry['name']}({','.join(_types(entry['inputs']))})"
    return bytes(function_signature_to_4byte_selector(signature))


def _revert_data(error: RuntimeError) -> bytes:
    """pyrevm puts the bytes into the message: `Revert { gas_used: .., output: 0x.. }`."""
    text = str(error)
    if "0x" not in text:
        return b""
    digits = text[text.index("0x") + 2 :]
    end = next((i for i, c in enumerate(digits) if c not in "0123456789abcdef"), len(digits))
    return bytes.fromhex(digits[:end])
