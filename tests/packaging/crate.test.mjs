// @ts-check
// The crate as it is published: what is in its tarball, and that it passes its own tests there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scratch } from "../js/scratch.mjs";
import { root } from "../setup/tools.mjs";

/** What may be at the top of the tarball. */
const TOP = [
  ".cargo_vcs_info.json", "ARCHITECTURE.md", "CHANGELOG.md", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig", "LICENSE", "README.md", "benches",
  "docs", "examples", "src", "tests",
];

/** Bytes that the tarball may have. */
const LIMIT = 1_000_000;

/** Of its own: in the checkout's, cargo would replace what it has built of the checkout. And compiled as fast as can be, for what runs there is quick. */
const target = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "packaged");

const env = { ...process.env, CARGO_TARGET_DIR: target, CARGO_INCREMENTAL: "0", CARGO_PROFILE_DEV_DEBUG: "0", CARGO_PROFILE_DEV_OPT_LEVEL: "0" };

/** @param {string[]} args @param {string} cwd */
const cargo = (args, cwd) => execFileSync("cargo", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], env });

test("the crate's tarball builds and passes its tests", async (t) => {
  cargo(["package", "--allow-dirty", "--no-verify"], root);
  const [, version] = /^version = "(.+)"$/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8")) ?? [];
  const tarball = join(target, "package", `lorafold-${version}.crate`);
  assert.ok(statSync(tarball).size < LIMIT, `${statSync(tarball).size} bytes`);
  const folder = await scratch(t);
  const names = execFileSync("tar", ["-xvzf", tarball, "-C", folder], { encoding: "utf8" }).trim().split("\n");
  const unexpected = names.filter((name) => !TOP.includes(name.split("/")[1] ?? ""));
  assert.deepEqual(unexpected, []);
  const crate = join(folder, `lorafold-${version}`);
  // All are checked, with the fixtures they include; most need not run twice.
  cargo(["check", "--all-targets"], crate);
  const quick = ["example::", "native::", "ranges::", "rooms::"];
  const printed = cargo(["test", "--test", "suite", "--", ...quick], crate);
  assert.match(printed, /^test result: ok\./m);
  for (const name of quick) assert.match(printed, new RegExp(`^test ${name}\\w+ \\.\\.\\. ok$`, "m"), name);
});
