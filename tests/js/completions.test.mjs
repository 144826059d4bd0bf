// @ts-check
// `lorafold completions`: the scripts as the shells themselves read them.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { COMMANDS, MERGE_FLAGS, SHELLS } from "../../pkg/cli/commands.js";
import { lorafold } from "./command.mjs";
import { scratch } from "./scratch.mjs";

/** @type {Record<string, string>} */
const scripts = {};
before(async () => {
  for (const shell of SHELLS) scripts[shell] = (await lorafold(["completions", shell])).stdout;
});

/** @param {string} shell */
const missing = (shell) => (spawnSync(shell, ["-c", "exit 0"]).status === 0 ? false : `there is no ${shell} here`);

test("every script has every command, flag and letter", () => {
  for (const [shell, script] of Object.entries(scripts)) {
    for (const { name, flags } of COMMANDS) {
      assert.ok(script.includes(name), `${shell}: ${name}`);
      for (const [flag, { short }] of Object.entries(flags)) {
        const spelt = shell === "fish" ? [`-l ${flag} `, ...(short ? [`-s ${short} `] : [])] : [`--${flag}`, ...(short ? [`-${short}`] : [])];
        for (const word of spelt) assert.ok(script.includes(word), `${shell}: ${name} ${word}`);
      }
    }
  }
});

describe("bash", { skip: missing("bash") }, () => {
  /** What bash offers for the last of these words. @param {string[]} words */
  const offered = (...words) => {
    const script = `${scripts.bash}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lorafold; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["-u", "-c", script, "bash", ...words], { encoding: "utf8" }).split("\n").filter(Boolean);
  };

  test("offers commands, flags and values", () => {
    assert.deepEqual(offered("lorafold", "m"), ["merge"]);
    assert.ok(COMMANDS.every(({ name }) => offered("lorafold", "").includes(name)));
    assert.deepEqual(offered("lorafold", "merge", "--max"), ["--max-shard-size"]);
    assert.deepEqual(offered("lorafold", "merge", "-b", "x", "--dr"), ["--dry-run"]);
    for (const flag of Object.keys(MERGE_FLAGS)) assert.ok(offered("lorafold", "merge", "--").includes(`--${flag}`), flag);
    assert.deepEqual(offered("lorafold", "merge", "--dtype", "f"), ["float32", "float16"]);
    assert.deepEqual(offered("lorafold", "merge", "-t", "bf"), ["bfloat16"]);
    assert.deepEqual(offered("lorafold", "merge", "--tied", "="), ["auto", "share", "untie"]);
    assert.deepEqual(offered("lorafold", "merge", "--tied", "=", "u"), ["untie"]);
    assert.deepEqual(offered("lorafold", "inspect", "--te"), ["--tensors"]);
    assert.deepEqual(offered("lorafold", "completions", "z"), ["zsh"]);
    assert.deepEqual(offered("lorafold", "help", "se"), ["serve"]);
  });

  test("leaves paths to the shell, which goes on with files", () => {
    for (const words of [["merge", "--base", "x"], ["merge", "-a", ""], ["merge", "--report", "r"], ["inspect", "x"]]) assert.deepEqual(offered("lorafold", ...words), []);
    assert.match(scripts.bash ?? "", /^complete -o bashdefault -o default -F _lorafold lorafold$/m);
  });
});

/** Shells that may not be there, and how each reads a script without running its commands. @type {[string, string[]][]} */
const READERS = [["bash", ["-n"]], ["zsh", ["-n"]], ["fish", ["--no-execute"]]];
for (const [shell, flags] of READERS) {
  test(`${shell} reads its script`, { skip: missing(shell) }, async (t) => {
    const file = join(await scratch(t), "script");
    writeFileSync(file, scripts[shell] ?? "");
    const { status, stderr } = spawnSync(shell, [...flags, file], { encoding: "utf8" });
    assert.deepEqual([status, stderr], [0, ""]);
  });
}

describe("zsh", { skip: missing("zsh") || (spawnSync("zsh", ["-f", "-c", "zmodload zsh/zpty"]).status === 0 ? false : "this zsh has no zsh/zpty") }, () => {
  /** What zsh offers for the last word of a line, in a folder with `file.txt` and the folder `merge`. @param {import("node:test").TestContext} t */
  const shell = async (t) => {
    const folder = await scratch(t);
    mkdirSync(join(folder, "here", "merge"), { recursive: true });
    writeFileSync(join(folder, "here", "file.txt"), "");
    mkdirSync(join(folder, "functions"));
    writeFileSync(join(folder, "functions", "_lorafold"), scripts.zsh ?? "");
    /** @param {string} line @param {"sourced" | "loaded"} [how] */
    return (line, how = "sourced") => {
      const args = ["-f", fileURLToPath(new URL("offered.zsh", import.meta.url)), join(folder, "functions"), how, line];
      const { stdout, stderr, status } = spawnSync("zsh", args, { cwd: join(folder, "here"), encoding: "utf8" });
      assert.deepEqual([status, stderr], [0, ""]);
      return stdout.split(/\r?\n/).filter((word) => word.trim() !== "").sort();
    };
  };

  test("offers commands, flags and values", async (t) => {
    const offered = await shell(t);
    for (const how of /** @type {const} */ (["sourced", "loaded"])) assert.deepEqual(offered("lorafold mer", how), ["merge"], how);
    assert.deepEqual(offered("lorafold "), [...COMMANDS.map(({ name }) => name), "help"].sort());
    assert.deepEqual(offered("lorafold --v"), ["--version"]);
    assert.deepEqual(offered("lorafold merge -b x --dr"), ["--dry-run"]);
    assert.ok(offered("lorafold merge --base x -").every((word) => word !== "--base" && word !== "-b"));
    const flags = offered("lorafold merge -");
    for (const flag of Object.keys(MERGE_FLAGS)) assert.ok(flags.includes(`--${flag}`), flag);
    assert.deepEqual(offered("lorafold merge --tied u"), ["untie"]);
    assert.deepEqual(offered("lorafold merge --tied=u"), ["untie"]);
    assert.deepEqual(offered("lorafold merge -t bf"), ["bfloat16"]);
    assert.deepEqual(offered("lorafold completions f"), ["fish"]);
    assert.deepEqual(offered("lorafold help se"), ["serve"]);
  });

  test("offers files and folders where paths are meant", async (t) => {
    const offered = await shell(t);
    for (const line of ["merge --base ", "merge -a x -a ", "merge --base=", "inspect ", "inspect x "]) assert.deepEqual(offered(`lorafold ${line}`), ["file.txt", "merge"], line);
    assert.deepEqual([...new Set(offered("lorafold merge --out "))], ["merge"]);
    assert.deepEqual(offered("lorafold merge --seed "), []);
  });
});

test("fish offers flags and values", { skip: missing("fish") }, async (t) => {
  const folder = await scratch(t);
  const file = join(folder, "script.fish");
  writeFileSync(file, scripts.fish ?? "");
  mkdirSync(join(folder, "here", "merge"), { recursive: true });
  /** @param {string} line */
  const offered = (line) => execFileSync("fish", ["--no-config", "-c", `source ${file}; complete -C ${JSON.stringify(line)}`], { encoding: "utf8", cwd: join(folder, "here") }).split("\n").map((row) => row.split("\t")[0]).filter(Boolean);
  assert.deepEqual(offered("lorafold mer"), ["merge"]);
  assert.deepEqual(offered("lorafold --v"), ["--version"]);
  assert.deepEqual(offered("lorafold merge --dr"), ["--dry-run"]);
  assert.deepEqual(offered("lorafold merge --tied u"), ["untie"]);
  assert.deepEqual(offered("lorafold merge -t bf"), ["bfloat16"]);
  assert.deepEqual(offered("lorafold merge --base m"), ["merge/"]);
  assert.deepEqual(offered("lorafold inspect m"), ["merge/"]);
  assert.deepEqual(offered("lorafold merge x"), []);
  // The first word is the command, whatever folders are called.
  assert.deepEqual(offered("lorafold inspect merge --dr"), []);
  assert.deepEqual(offered("lorafold merge --base verify --merged"), []);
  assert.deepEqual(offered("lorafold help merge --"), []);
});
