// @ts-check
// Help, wrong usage and colours of the command line.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { paintFor } from "../../pkg/cli/colour.js";
import { COMMANDS, MERGE_FLAGS } from "../../pkg/cli/commands.js";
import { commandHelp, overview } from "../../pkg/cli/help.js";
import { guarded } from "../../pkg/cli/printable.js";
import { inFlags } from "../../pkg/cli/in-flags.js";
import { duration, rounded, size } from "../../pkg/cli/text.js";
import { parse, UsageError } from "../../pkg/cli/usage.js";
import { lorafold } from "./command.mjs";

describe("help", { concurrency: 2 }, () => {
  test("of the program names every command", async () => {
    for (const words of [["--help"], ["-h"], ["help"], ["--help", "--quiet"]]) {
      const { code, stdout, stderr } = await lorafold(words);
      assert.deepEqual([code, stderr, stdout], [0, "", `${overview()}\n`]);
      for (const { name } of COMMANDS) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
      assert.match(stdout, /130 aborted/);
    }
  });

  test("of a command has each of its flags, and examples", async () => {
    for (const command of COMMANDS) {
      for (const words of [[command.name, "--help"], [command.name, "x", "-h"], ["help", command.name], [command.name, "--json", "--help"]]) {
        const { code, stdout, stderr } = await lorafold(words);
        assert.deepEqual([code, stderr, stdout], [0, "", `${commandHelp(command)}\n`]);
        for (const [flag, { short }] of Object.entries(command.flags)) assert.match(stdout, new RegExp(`^  ${short ? `-${short},` : "   "} --${flag}\\b`, "m"));
        for (const [, example] of command.examples) assert.ok(stdout.includes(`\n  lorafold ${example}\n`));
      }
    }
    const wide = COMMANDS.flatMap((command) => commandHelp(command).split("\n")).filter((line) => line.length > 100 && !line.includes("lorafold"));
    assert.deepEqual(wide, []);
  });

  test("gives examples that are right usage, and letters that stand for one flag each", () => {
    for (const { name, flags, words, examples } of COMMANDS) {
      for (const [, example] of examples) {
        const [command, ...rest] = example.replace(/ > .*/, "").split(" ");
        assert.equal(command, name);
        assert.doesNotThrow(() => parse(rest, flags, words !== undefined), example);
      }
      const letters = Object.values(flags).flatMap(({ short }) => short ?? []);
      assert.equal(new Set(letters).size, letters.length, name);
      assert.ok(!letters.includes("h") && !letters.includes("V"));
    }
  });

  test("--version prints the package's", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../pkg/package.json", import.meta.url), "utf8"));
    assert.equal((await lorafold(["--version"])).stdout, `${version}\n`);
  });
});

/** A folder that is there. */
const HERE = fileURLToPath(new URL(".", import.meta.url)).replace(/\/$/, "");

/** Words, what is said of them, and what of it helps. @type {[words: string[], says: string, fix?: string][]} */
const WRONG = [
  [[], "lorafold: no command is given"],
  [["fold"], "lorafold: there is no command fold", "the commands are merge, verify, unmerge, combine, extract, serve, inspect, upload, completions"],
  [["merg"], "lorafold: there is no command merg", "did you mean merge?"],
  [["--base", "x"], "lorafold: --base comes before the command", "begin with one of merge, verify, unmerge, combine, extract, serve, inspect, upload, completions"],
  [["help", "mrge"], "lorafold: there is no command mrge", "did you mean merge?"],
  [["inspect"], "lorafold inspect: no path is given", "give folders, files or URLs"],
  [["inspect", "--fast", "x"], "lorafold inspect: there is no flag --fast"],
  [["inspect", "--out", "x"], "lorafold inspect: there is no flag --out", "it is one of lorafold merge, unmerge, combine, extract"],
  [["merge"], "lorafold merge: --base is missing", "give the base model as --base PATH"],
  [["merge", "-b", "x"], "lorafold merge: --adapter is missing", "give an adapter as --adapter PATH"],
  [["merge", "-b", "x", "-a", "y"], "lorafold merge: --out is missing", "give the folder for the merged model as --out DIR, or --dry-run for the plan alone"],
  [["merge", "--dtyp", "f16"], "lorafold merge: there is no flag --dtyp", "did you mean --dtype?"],
  [["merge", "--output=x"], "lorafold merge: there is no flag --output", "did you mean --out?"],
  [["merge", "-x"], "lorafold merge: there is no flag -x"],
  [["merge", "--base"], "lorafold merge: --base needs a value"],
  [["merge", "-b"], "lorafold merge: -b needs a value"],
  [["merge", "--base", "--adapter", "x"], "lorafold merge: --base needs a value, and --adapter comes instead", "a value that begins with a dash is given as --base=--adapter"],
  [["merge", "--force=yes"], "lorafold merge: --force takes no value"],
  [["merge", "--base", "a", "--base", "b"], "lorafold merge: --base is given twice"],
  [["merge", "--out=a", "-o", "b"], "lorafold merge: --out is given twice"],
  [["merge", "-a", "one", "two"], "lorafold merge: two belongs to no flag", "give it as --adapter two"],
  [["merge", "-b", "one", "two"], "lorafold merge: two belongs to no flag", "did you mean --adapter two?"],
  [["merge", "--normalize", "maybe"], "lorafold merge: --normalize: there is no maybe", "the values are yes, no"],
  [["merge", "--normalize", "true"], "lorafold merge: --normalize: there is no true", "the values are yes, no"],
  [["merge", "--dtype", "fp8"], "lorafold merge: --dtype: there is no fp8", "the values are keep, float32, f32, float16, f16, bfloat16, bf16"],
  [["merge", "-t", "BF16"], "lorafold merge: --dtype: there is no BF16", "did you mean bf16?"],
  [["merge", "--method", "tie"], "lorafold merge: --method: there is no tie", "did you mean ties?"],
  [["combine", "--method", "svt"], "lorafold combine: --method: there is no svt", "did you mean svd?"],
  [["unmerge", "--dry-run"], "lorafold unmerge: there is no flag --dry-run", "it is one of lorafold merge"],
  [["merge", "-b", "x", "-a", `${HERE}@abc`], `lorafold merge: --adapter ${HERE}@abc: @abc is not a weight`, "write a number behind the @, as in A@0.5"],
  [["merge", "-b", "x", "-a", `${HERE}@`], `lorafold merge: --adapter ${HERE}@: @ is not a weight`, "write a number behind the @, as in A@0.5"],
  [["merge", "-b", "x", "-a", `${HERE}@0,5`], `lorafold merge: --adapter ${HERE}@0,5: @0,5 is not a weight`, "write a number behind the @, as in A@0.5"],
  [["merge", "-b", "x", "-a", `${HERE}@1:densty=0.1`], `lorafold merge: --adapter ${HERE}@1:densty=0.1: :densty is not known`, "behind a weight there is :density, as in A@0.5:density=0.3"],
  [["serve", "-b", "x", "-a", "y", "--port", "99999"], "lorafold serve: --port: 99999 is not a port"],
  [["completions"], "lorafold completions: no shell is given", "the shells are bash, zsh, fish"],
  [["completions", "csh"], "lorafold completions: there are no completions for csh", "the shells are bash, zsh, fish"],
];

describe("wrong usage is one line, what helps, and where the help is:", { concurrency: 2 }, () => {
  for (const [words, says, fix] of WRONG) {
    test(words.join(" ") || "nothing", async () => {
      const { code, stdout, stderr } = await lorafold(words);
      const [program] = says.split(":");
      assert.equal(stderr, [says, ...(fix === undefined ? [] : [fix]), `see \`${program} --help\``, ""].join("\n"));
      assert.deepEqual([code, stdout], [2, ""]);
    });
  }

  test("for programs, too", async () => {
    const { code, stdout } = await lorafold(["merge", "--dtyp", "f16", "--json"]);
    assert.equal(code, 2);
    assert.deepEqual(JSON.parse(stdout), { error: { code: "bad-option", message: "there is no flag --dtyp", facts: { fix: "did you mean --dtype?" } } });
  });
});

describe("words", () => {
  /** @param {string[]} words */
  const values = (...words) => parse(words, MERGE_FLAGS).values;

  test("may be joined to their flags, or be letters", () => {
    const wanted = { base: "x", out: "y", force: true, quiet: true };
    assert.deepEqual({ ...values("--base", "x", "--out=y", "--force", "--quiet") }, wanted);
    assert.deepEqual({ ...values("-b", "x", "-oy", "-fq") }, wanted);
    assert.deepEqual({ ...values("-b=x", "-o=y", "-f", "-q") }, wanted);
  });

  test("that are negative numbers are values", () => {
    assert.equal(values("--workers", "-1").workers, "-1");
    assert.throws(() => values("--workers", "-one"), UsageError);
  });

  test("are no names of every object's", () => {
    for (const name of ["__proto__", "constructor", "toString"]) assert.throws(() => values(`--${name}=x`), { message: `there is no flag --${name}` });
  });
});

test("what errors call options of the API are flags on the command line", () => {
  const flags = MERGE_FLAGS;
  /** @type {[field: string | undefined, message: string, said: string][]} */
  const said = [
    ["maxShardSize", "maxShardSize: 0 is not a number of bytes", "--max-shard-size: 0 is not a number of bytes"],
    ["density", "option density: above 1", "--density: above 1"],
    ["density", "adapter style: option density: method ties needs it; give density, such as 0.5", "adapter style: --density: method ties needs it; give --density 0.5"],
    ["output", "output: /tmp/x is not empty; force replaces the model in it", "--out: /tmp/x is not empty; --force replaces the model in it"],
    ["adapters[1].weight", "adapters[1].weight: Infinity is not a finite number", "--adapter: Infinity is not a finite number"],
    ["adapters[0].only", "adapters[0].only: it matches nothing", "--adapter-only: it matches nothing"],
    [undefined, "merge where it was trained, or allow it: --allow-unmerged, allowUnmerged: true", "merge where it was trained, or allow it: --allow-unmerged"],
    [undefined, "or allow such values (allowNonfinite)", "or allow such values (--allow-nonfinite)"],
    [undefined, "with the option residualBase; or convert it", "with --residual-base; or convert it"],
    [undefined, "/tmp/maxShardSize/x is no folder, nor \"hashBase\"", "/tmp/maxShardSize/x is no folder, nor \"hashBase\""],
    ["rank", "rank: 0 is no rank, as ofEverybody", "rank: 0 is no rank, as ofEverybody"],
  ];
  for (const [field, message, wanted] of said) assert.equal(inFlags(message, field === undefined ? {} : { field }, flags), wanted);
});

test("colours are for terminals, and for those who want them", () => {
  assert.equal(guarded(paintFor({ isTTY: true }, {})("red", "x")), "\x1b[31mx\x1b[39m");
  assert.equal(guarded(paintFor({ isTTY: true }, { NO_COLOR: "" })("red", "x")), "\x1b[31mx\x1b[39m");
  for (const [isTTY, env] of /** @type {[boolean, Record<string, string>][]} */ ([[false, {}], [true, { NO_COLOR: "1" }], [true, { TERM: "dumb" }]])) assert.equal(paintFor({ isTTY }, env)("red", "x"), "x");
});

test("on a terminal what is wrong is coloured, unless NO_COLOR says otherwise", async () => {
  const terminal = `data:text/javascript,process.stderr.isTTY = true`;
  const env = { ...process.env, NODE_OPTIONS: `--import=${JSON.stringify(terminal)}`, TERM: "xterm", NO_COLOR: "" };
  assert.ok((await lorafold(["merge"], { env })).stderr.startsWith("lorafold merge: \x1b[31m--base is missing\x1b[39m\n"));
  assert.ok((await lorafold(["merge"], { env: { ...env, NO_COLOR: "1" } })).stderr.startsWith("lorafold merge: --base is missing\n"));
});

test("numbers are rounded for people", () => {
  assert.deepEqual([4 / 3, 2, 0.1 + 0.2, 12345.678].map(rounded), ["1.333", "2", "0.3", "12350"]);
  assert.deepEqual([0.0123, 1.484, 59.6, 61, 3661].map(duration), ["0.01 s", "1.48 s", "60 s", "1 min 1 s", "1 h 1 min"]);
  assert.deepEqual([0, 999, 2.2e9].map(size), ["0 B", "999 B", "2.20 GB"]);
});
