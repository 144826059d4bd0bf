// @ts-check
// The kernel's tests under Miri, which checks every access of memory for undefined behaviour: the scalar and the SSE2 paths, at small sizes.
// No stage of `npm test`, as it takes minutes: node tests/setup/miri.mjs. It needs nightly Rust with the components miri and rust-src; without them this says so and succeeds.
import { spawnSync } from "node:child_process";
import { root } from "./tools.mjs";

/** @param {string[]} args @param {"ignore" | "inherit"} stdio */
function miri(args, stdio) {
  const env = { ...process.env, MIRIFLAGS: "-Zmiri-strict-provenance" };
  return spawnSync("cargo", ["+nightly", "miri", ...args], { cwd: root, stdio, env }).status;
}

if (miri(["--version"], "ignore") === 0) {
  process.exitCode = miri(["test", "--lib", "kernel::"], "inherit") ?? 1;
} else {
  console.log("skipped: no Miri here (rustup toolchain install nightly --component miri,rust-src)");
}
