#!/usr/bin/env bash
# Pins Python's packages in requirements.txt and npm's in package-lock.json. Run by `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.in
{
    echo "# Made by \`make lock\` from requirements.in: change that file, not this one."
    echo "# torch is named without its build, so that pip may take the one for this machine."
    # A CUDA build brings packages of its own, which a lock made beside a CPU build lacks: leave
    # them to torch, which pins them.
    "$folder/venv/bin/pip" freeze --all | grep -viE '^(pip|wheel|triton|nvidia-.*|cuda-.*)==' |
        sed -E 's/^(torch==[^+]*)\+.*/\1/' | LC_ALL=C sort -f
} >"$folder/requirements.txt"
mv "$folder/requirements.txt" requirements.txt

# Made in an empty folder, for beside node_modules npm leaves out the binaries of other systems.
cp package.json .npmrc "$folder"
(cd "$folder" && npm install --package-lock-only --loglevel=error)
# A registry may lack some of those binaries. `npm ci` refuses a lock without them even where they
# are not wanted, so name them; they then have no hash until a fuller registry makes the lock.
node - "$folder/package-lock.json" <<'JAVASCRIPT'
const fs = require("fs");
const file = process.argv[2];
const lock = JSON.parse(fs.readFileSync(file, "utf8"));
const root = lock.packages[""];
const packages = { ...lock.packages };
for (const entry of Object.values(lock.packages)) {
  if (entry === root) continue;
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const [, os, cpu] = /-(\w+)-(\w+)$/.exec(name);
    packages[`node_modules/${name}`] ??= {
      version,
      cpu: [cpu === "amd64" ? "x64" : cpu],
      license: entry.license,
      optional: true,
      os: [os],
    };
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1)));
fs.writeFileSync(file, JSON.stringify(lock, null, 2) + "\n");
JAVASCRIPT
mv "$folder/package-lock.json" package-lock.json
