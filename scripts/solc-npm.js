#!/usr/bin/env node
// The part of solc's command line that ape uses, on top of the npm package `solc`.
//
// No network but npm's is needed for it, so it stands in where the native compiler cannot be
// downloaded. It is the same compiler, built to WebAssembly: equal input gives equal bytecode,
// several times more slowly. `--version` does not load the compiler: ape asks for it very often.
"use strict";

const fs = require("fs");
const path = require("path");

const solcFolder = path.dirname(require.resolve("solc/package.json"));
const release = require("solc/package.json").version;
const COMMITS = { "0.8.30": "73712a01" };

const USAGE = `solc-npm, the Solidity compiler of the npm package "solc" ${release}
Usage: solc-npm --version
       solc-npm --standard-json [--base-path DIR] [--include-path DIR]... [FILE] < input.json
Other options of solc are refused; --allow-paths is accepted and has no effect.`;

function fail(message) {
  process.stderr.write(`solc-npm: ${message}\n`);
  process.exit(1);
}

function parseArguments(argv) {
  const options = { mode: null, roots: [], input: null };
  for (let i = 0; i < argv.length; i++) {
    const [name, inline] = argv[i].split(/=(.*)/s, 2);
    const value = () => {
      const given = inline !== undefined ? inline : argv[++i];
      if (given === undefined) fail(`${name} needs a value`);
      return given;
    };
    switch (name) {
      case "--help":
      case "--version":
      case "--standard-json":
        options.mode = name;
        break;
      case "--base-path":
        options.roots.unshift(value());
        break;
      case "--include-path":
        options.roots.push(value());
        break;
      case "--allow-paths":
        value();
        break;
      case "-":
        break;
      default:
        if (name.startsWith("-")) fail(`option ${name} is not supported\n${USAGE}`);
        options.input = argv[i];
    }
  }
  return options;
}

function findImportsIn(roots) {
  return (unit) => {
    for (const root of roots) {
      const file = path.resolve(root, unit.replace(/^file:\/\//, ""));
      if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
    }
    return { error: `not found below ${roots.join(", ")}` };
  };
}

function compile(options) {
  const input = fs.readFileSync(options.input === null ? 0 : options.input, "utf8");
  const before = process.listeners("uncaughtException");
  const solc = require(solcFolder);
  // The Emscripten runtime installs handlers that turn every error of ours into its own abort.
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    for (const listener of process.listeners(event)) {
      if (!before.includes(listener)) process.removeListener(event, listener);
    }
  }
  const roots = [...options.roots, process.cwd()];
  const output = solc.compile(input, { import: findImportsIn(roots) });
  fs.writeSync(1, output.endsWith("\n") ? output : `${output}\n`);
}

function main() {
  const options = parseArguments(process.argv.slice(2));
  if (options.mode === "--version") {
    const commit = COMMITS[release];
    const full = commit ? `${release}+commit.${commit}.Emscripten.clang` : require(solcFolder).version();
    console.log(`solc, the solidity compiler commandline interface\nVersion: ${full}`);
  } else if (options.mode === "--standard-json") {
    compile(options);
  } else {
    console.log(USAGE);
    process.exitCode = options.mode === "--help" ? 0 : 1;
  }
}

main();
