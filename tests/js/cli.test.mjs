// @ts-check
// The words of the command line: what they mean, what is printed and where.
import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { rename, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { PLAN_FLAGS } from "../../pkg/cli/commands.js";
import { planOptions } from "../../pkg/cli/plan-flags.js";
import { parse } from "../../pkg/cli/usage.js";
import { lorafold, start } from "./command.mjs";
import { fixture, mergeArguments } from "./fixture.mjs";
import { readModel, readSafetensors } from "./safetensors-file.mjs";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { CONFIGS, Q, tinyModel, V } from "./tiny-model.mjs";

/** @param {import("node:test").TestContext} t */
async function tiny(t) {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  return {
    folder,
    base: await writeFolder(join(folder, "base"), base),
    adapter: await writeFolder(join(folder, "adapter"), adapter),
    out: join(folder, "out"),
  };
}

describe("--adapter", { concurrency: 2 }, () => {
  /** @param {string[]} words */
  const adapters = (...words) => planOptions(parse(["-b", "base", ...words], PLAN_FLAGS)).adapters;
  /** @param {string} adapter */
  const meant = (adapter) => adapters("--adapter", adapter)[0];

  for (const [text, source, weight] of /** @type {[string, string, number?][]} */ ([
    ["hf://org/name@20240101", "hf://org/name@20240101"],
    ["hf://org/name@7e12345", "hf://org/name@7e12345"],
    ["hf://org/name@v1.0", "hf://org/name@v1.0"],
    ["hf://org/name@nan", "hf://org/name@nan"],
    ["hf://org/name@1.0", "hf://org/name", 1],
    ["hf://org/name@-.25", "hf://org/name", -0.25],
    ["hf://org/name@20240101@0.5", "hf://org/name@20240101", 0.5],
    ["hf://org/name@1.0@2e-1", "hf://org/name@1.0", 0.2],
    ["hf://org/name@main@next", "hf://org/name@main@next"],
    ["https://host/a@2", "https://host/a", 2],
    ["nowhere@2", "nowhere", 2],
  ])) test(`${text} is ${source} ${weight === undefined ? "without a weight" : `with weight ${weight}`}`, () => assert.deepEqual(meant(text), weight === undefined ? { source } : { source, weight }));

  test("a path that ends like a weight is one", async (t) => {
    const { adapter } = await tiny(t);
    const path = `${adapter}@0.5`;
    await writeFolder(path, {});
    assert.throws(() => meant(path), { message: /both .*@0\.5@1 means the first/ });
    assert.deepEqual(meant(`${path}@1`), { source: path, weight: 1 });
    await rename(adapter, `${adapter}-gone`);
    assert.deepEqual(meant(path), { source: path });
    assert.deepEqual(meant(`${path}@2`), { source: path, weight: 2 });
  });
});

describe("--alpha", { concurrency: 2 }, () => {
  /** @param {string[]} words */
  const adapters = (...words) => planOptions(parse(["-b", "base", ...words], PLAN_FLAGS)).adapters;

  test("is of the adapter before it", () => {
    assert.deepEqual(adapters("-a", "one", "--alpha", "8", "-a", "two@0.5", "-a", "three", "--alpha=-1.5"), [
      { source: "one", alpha: 8 }, { source: "two", weight: 0.5 }, { source: "three", alpha: -1.5 },
    ]);
    assert.throws(() => adapters("--alpha", "8", "-a", "one"), { message: /adapter before it/ });
    assert.throws(() => adapters("-a", "one", "--alpha", "8", "--alpha", "9"), { message: /given twice/ });
    assert.throws(() => adapters("-a", "one", "--alpha", "much"), { message: /--alpha: much is not a number/ });
  });

  test("replaces that of the configuration, and stands in for one that is not there", async (t) => {
    const { base, adapter } = await tiny(t);
    const scale = async (/** @type {string} */ source) => {
      const { code, stdout, stderr } = await lorafold(["merge", "-b", base, "-a", source, "--alpha", "16", "--dry-run", "--json"]);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout).adapters[0].scales[0].scale;
    };
    assert.equal(await scale(adapter), 16 / CONFIGS.adapter.r);
    await rename(join(adapter, "adapter_config.json"), join(adapter, "gone"));
    const without = await lorafold(["merge", "-b", base, "-a", join(adapter, "adapter_model.safetensors"), "--dry-run"]);
    assert.match(without.stderr, /or its alpha/);
    await rename(join(adapter, "adapter_model.safetensors"), join(adapter, "lora.safetensors"));
    assert.equal(await scale(join(adapter, "lora.safetensors")), 16 / CONFIGS.adapter.r);
  });
});

describe("lorafold merge", { concurrency: 2 }, () => {
  test("tells adapters of the same name apart", async (t) => {
    const { folder, base, adapter } = await tiny(t);
    const broken = tinyModel().adapter;
    broken["adapter_config.json"] = Buffer.from(JSON.stringify({ ...CONFIGS.adapter, use_qalora: true }));
    const other = await writeFolder(join(folder, "run2", "adapter"), broken);
    const { code, stderr } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--adapter", other, "--dry-run"]);
    assert.equal(code, 1);
    assert.match(stderr, /adapter adapter \(2\): adapter_config\.json: use_qalora/);
  });

  test("says which folders of the base it does not copy", async (t) => {
    const { base, adapter } = await tiny(t);
    await writeFolder(join(base, "1_Pooling"), { "config.json": "{}" });
    await writeFolder(join(base, ".cache"), { "lock": "" });
    const { stdout } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--dry-run"]);
    assert.match(stdout, /^warning \[left-behind\]: not copied to the output: 1_Pooling\/$/m);
  });

  test("says in a few lines what it did", async (t) => {
    const { base, adapter, out } = await tiny(t);
    const { code, stdout, stderr } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out]);
    assert.equal(code, 0);
    assert.match(stdout, /^merged 2 tensors of 4 into .*out \([\d.]+ k?B in [\d.]+ s, [\d.]+ [kMG]?B\/s\)$/m);
    assert.match(stdout, /^next: lorafold inspect .*out$/m);
    assert.equal(stderr, "", "a short merge says nothing of its progress where there is no terminal");
  });

  for (const [config, says] of /** @type {[object, string][]} */ ([
    [{ architectures: ["LlamaForCausalLM"] }, "from transformers import LlamaForCausalLM; LlamaForCausalLM.from_pretrained(OUT)"],
    [{ architectures: ["OwnModel"], auto_map: { AutoConfig: "own.Config", AutoModelForCausalLM: "own.OwnModel" } }, "from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained(OUT, trust_remote_code=True)"],
    [{ _class_name: "UNet2DConditionModel" }, "from diffusers import UNet2DConditionModel; UNet2DConditionModel.from_pretrained(OUT)"],
    [{ architectures: ["x'; rm -rf /"] }, ""],
  ])) test(`says how a model with ${JSON.stringify(config)} is loaded`, async (t) => {
    const { base, adapter, out } = await tiny(t);
    await writeFolder(base, { "config.json": JSON.stringify({ ...CONFIGS.base, ...config }) });
    const { stdout, stderr } = await lorafold(["merge", "-b", base, "-a", adapter, "-o", out]);
    const [, next] = /^next: (.*)$/m.exec(stdout) ?? assert.fail(stderr);
    assert.equal(next, says === "" ? `lorafold inspect ${out}` : `python3 -c '${says.replace("OUT", JSON.stringify(out))}'`);
  });

  test("--dry-run shows the plan and writes nothing", async (t) => {
    const { folder, base, adapter, out } = await tiny(t);
    const before = await snapshot(folder);
    for (const more of [[], ["--out", out]]) {
      const { code, stdout } = await lorafold(["merge", "--base", base, "--adapter", `${adapter}@0.5`, "--dry-run", ...more]);
      assert.equal(code, 0);
      assert.match(stdout, /base base: 4 tensors, 2 to merge/);
      assert.match(stdout, /adapter adapter × 0.5: 2 of 2 modules/);
      assert.match(stdout, /scale 2 \(alpha\/r = 4\/2\) on 2 tensors/);
      assert.match(stdout, /model\.safetensors/);
    }
    assert.deepEqual(await snapshot(folder), before);
  });

  test("--dry-run sees what a merge would refuse", async (t) => {
    const { base, adapter, out } = await tiny(t);
    await writeFolder(out, { "notes.txt": "mine" });
    const words = ["merge", "--base", base, "--adapter", adapter, "--out", out, "--dry-run"];
    for (const [more, says, exit] of /** @type {[string[], RegExp, number][]} */ ([[[], /is not empty; --force replaces/, 1], [["--force", "--workers", "1.5"], /--workers: 1\.5/, 2]])) {
      const { code, stderr } = await lorafold([...words, ...more]);
      assert.equal(code, exit);
      assert.match(stderr, says);
    }
    assert.equal((await lorafold([...words, "--force"])).code, 0);
    await writeFolder(join(out, "config.json"), {});
    assert.match((await lorafold([...words, "--force"])).stderr, /config\.json is a folder/);
  });

  test("--dry-run --json prints the plan, and sees what a merge would", async (t) => {
    const { base, adapter, out } = await tiny(t);
    const words = ["merge", "--base", base, "--adapter", adapter];
    const planned = JSON.parse((await lorafold([...words, "--dry-run", "--json"])).stdout);
    const merged = JSON.parse((await lorafold([...words, "--out", out, "--json"])).stdout);
    for (const tensor of merged.tensors) {
      // What only a merge can know.
      for (const known of ["statistics", "signal"]) assert.equal(known in tensor, tensor.action === "merge");
      delete tensor.statistics;
      delete tensor.signal;
    }
    assert.equal(merged.signal.sampled, 1);
    delete merged.signal;
    assert.deepEqual(merged, planned);
    const wrong = await lorafold([...words, "--only", "nothing", "--dry-run", "--json"]);
    assert.equal(wrong.code, 1);
    assert.equal(JSON.parse(wrong.stdout).error.code, "bad-option");
  });

  test("--json prints one document and nothing else, --report the same into a file", async (t) => {
    const { folder, base, adapter, out } = await tiny(t);
    const file = join(folder, "report.json");
    const { code, stdout, stderr } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, "--json", "--report", file]);
    assert.equal(code, 0);
    assert.equal(stderr, "");
    assert.deepEqual(JSON.parse(stdout), JSON.parse(readFileSync(file, "utf8")));
    assert.equal(JSON.parse(stdout).recipe.adapters.length, 1);
  });

  test("--json tells of wrong usage too", async () => {
    const { code, stdout } = await lorafold(["merge", "--json"]);
    assert.equal(code, 2);
    const { error } = JSON.parse(stdout);
    assert.equal(error.code, "bad-option");
    assert.match(error.message, /--base/);
  });

  test("--json tells of a mistake of lorafold's own too", async (t) => {
    const { base, adapter } = await tiny(t);
    const broken = "data:text/javascript,WebAssembly.compile = async () => { throw new TypeError('of lorafold') }";
    const env = { ...process.env, NODE_OPTIONS: `--import=${JSON.stringify(broken)}` };
    const { code, stdout, stderr } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--dry-run", "--json"], { env });
    assert.equal(code, 1);
    assert.deepEqual(JSON.parse(stdout), { error: { code: "internal", message: "of lorafold" } });
    assert.match(stderr, /TypeError: of lorafold/);
  });

  for (const [words, merged] of /** @type {[string[], string[]][]} */ ([
    [["--only", "q_proj"], [Q]],
    [["--skip", "q_proj"], [V]],
    [["--only", "layers\\.0", "--skip", "v_proj"], [Q]],
    [["--only", "^model.*(q|v)_proj.weight$"], [Q, V]],
  ])) {
    test(words.join(" "), async (t) => {
      const { base, adapter, out } = await tiny(t);
      const { code, stdout } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, "--json", ...words]);
      assert.equal(code, 0);
      const changed = [...readModel(out)].filter(([name, { bytes }]) => !bytes.equals(readModel(base).get(name)?.bytes ?? Buffer.alloc(0)));
      assert.deepEqual(changed.map(([name]) => name).sort(), merged.map((module) => `${module}.weight`).sort());
      assert.equal(JSON.parse(stdout).merged, merged.length);
      const recipe = JSON.parse(readSafetensors(join(out, "model.safetensors")).metadata?.["lorafold.recipe"] ?? "");
      assert.equal(recipe.only, words[0] === "--only" ? words[1] : undefined);
    });
  }

  for (const [suffix, weight] of /** @type {[string, number][]} */ ([
    ["", 1], ["@0.5", 0.5], ["@-0.7", -0.7], ["@+2", 2], ["@1e-3", 1e-3], ["@.25", 0.25], ["@3.", 3], ["@0", 0],
  ])) {
    test(`--adapter A${suffix}`, async (t) => {
      const { base, adapter } = await tiny(t);
      const { code, stdout, stderr } = await lorafold(["merge", "--base", base, "--adapter", `${adapter}${suffix}`, "--dry-run", "--json"]);
      assert.equal(code, 0, stderr);
      const report = JSON.parse(stdout);
      assert.equal(report.adapters[0].weight, weight);
      assert.equal(report.merged, weight === 0 ? 0 : 2);
    });
  }

  test("paths with an @ of their own", async (t) => {
    const { folder, base, adapter } = await tiny(t);
    for (const [name, weight] of /** @type {[string, string][]} */ ([["lora@v2", ""], ["lora@v2", "@0.5"], ["lora@2", "@1"], ["me@home@3.1", "@-1"]])) {
      const there = join(folder, name);
      await symlink(adapter, there);
      const { code, stdout, stderr } = await lorafold(["merge", "--base", base, "--adapter", there + weight, "--dry-run", "--json"]);
      assert.equal(code, 0, stderr);
      assert.deepEqual([JSON.parse(stdout).adapters[0].name, JSON.parse(stdout).adapters[0].weight], [name, weight ? Number(weight.slice(1)) : 1]);
      await rename(there, `${there}.done`);
    }
  });

  test("relative paths, and names that need care", async (t) => {
    const { folder, base, adapter } = await tiny(t);
    const name = "späße & 100% $HOME";
    await rename(base, join(folder, name));
    const { code, stderr } = await lorafold(["merge", "--base", name, "--adapter", `./${basename(adapter)}`, "--out", "./a b/ü"], { cwd: folder });
    assert.equal(code, 0, stderr);
    assert.equal(readModel(join(folder, "a b", "ü")).size, 4);
  });

  test("--out is a folder, whatever its name means to the API", async (t) => {
    const { folder, base, adapter } = await tiny(t);
    for (const name of ["blob", "opfs"]) {
      const { code, stderr } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", name], { cwd: folder });
      assert.equal(code, 0, stderr);
      assert.equal(readModel(join(folder, name)).size, 4);
    }
  });

  test("files instead of folders", async (t) => {
    const { folder, base, adapter, out } = await tiny(t);
    const words = ["merge", "--base", join(base, "model.safetensors"), "--adapter", join(adapter, "adapter_model.safetensors"), "--out", out];
    const { code, stderr } = await lorafold(words);
    assert.equal(code, 0, stderr);
    assert.deepEqual(Object.keys(await snapshot(out)), ["model.safetensors"]);
    assert.equal((await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", join(folder, "all")])).code, 0);
    assert.deepEqual(readFileSync(join(out, "model.safetensors")), readFileSync(join(folder, "all", "model.safetensors")));
  });

  test("an adapter file of any name brings the configuration beside it, a base's file does not", async (t) => {
    const { base, adapter, out } = await tiny(t);
    await rename(join(adapter, "adapter_model.safetensors"), join(adapter, "lora.safetensors"));
    await writeFolder(base, { "adapter_config.json": "{}" });
    const { code, stdout, stderr } = await lorafold(["merge", "--base", join(base, "model.safetensors"), "--adapter", join(adapter, "lora.safetensors"), "--out", out, "--json"]);
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).adapters[0].scales[0].alpha, CONFIGS.adapter.lora_alpha);
    assert.deepEqual(Object.keys(await snapshot(out)), ["model.safetensors"]);
  });

  test("--workers, --memory-budget and --quiet change nothing in the output", async (t) => {
    const { folder, base, adapter } = await tiny(t);
    const found = [];
    for (const words of [["--workers", "0"], ["--workers", "1"], ["--workers", "5"], ["--memory-budget", "16MiB"], ["--quiet"]]) {
      const out = join(folder, words.join(""));
      const { code, stderr } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, ...words]);
      assert.equal(code, 0);
      assert.equal(stderr, "");
      found.push(await snapshot(out));
    }
    for (const other of found) assert.deepEqual(other, found[0]);
  });
});

describe("a reader that has gone", { concurrency: 2 }, () => {
  /** Run a command whose standard output and error nobody reads. @param {string[]} words @param {("stdout" | "stderr")[]} closed */
  async function unread(words, closed) {
    const { child, ended } = start(words);
    for (const name of closed) child[name]?.destroy();
    return ended;
  }

  test("of the result does not make it a failure", async (t) => {
    const { base, adapter, out } = await tiny(t);
    for (const words of [["inspect", base, "--json"], ["merge", "--base", base, "--adapter", adapter, "--out", out, "--json"], ["--help"]]) {
      const { code, stderr } = await unread(words, ["stdout"]);
      assert.equal(stderr, "");
      assert.equal(code, 0, words[0]);
    }
    assert.equal(readModel(out).size, 4);
  });

  test("of messages does not hide a failure", async (t) => {
    const { base, adapter } = await tiny(t);
    assert.equal((await unread(["merge", "--base", base, "--adapter", join(adapter, "nowhere"), "--dry-run"], ["stdout", "stderr"])).code, 1);
    assert.equal((await unread(["merge"], ["stderr"])).code, 2);
  });

  test("of progress does not end a merge", async (t) => {
    const { base, adapter, out, folder } = await tiny(t);
    // Where there is a terminal, progress is shown at once.
    const terminal = "data:text/javascript,process.stderr.isTTY = true";
    const { child, ended } = start(["merge", "--base", base, "--adapter", adapter, "--out", out], { env: { ...process.env, NODE_OPTIONS: `--import=${JSON.stringify(terminal)}` } });
    child.stderr?.destroy();
    assert.equal((await ended).code, 0);
    assert.deepEqual(Object.keys(await snapshot(out)), Object.keys(await snapshot(join(folder, "base"))));
  });
});

describe("what cannot be printed", { skip: !existsSync("/dev/full") && "this system has no full device" }, () => {
  test("is a failure", async (t) => {
    const { base } = await tiny(t);
    const full = openSync("/dev/full", "w");
    t.after(() => closeSync(full));
    assert.equal((await lorafold(["inspect", base], { stdio: ["ignore", full, "pipe"] })).code, 1);
  });
});

test("no output names a place on this machine", async (t) => {
  const { folder } = await tiny(t);
  const made = fixture("two-adapters");
  const out = join(folder, "out");
  const { stdout } = await lorafold([...mergeArguments(made), "--out", out, "--json"]);
  assert.ok(!stdout.includes(folder) && !stdout.includes(made.base));
  for (const [name] of Object.entries(await snapshot(out))) {
    const text = readFileSync(join(out, name), "latin1");
    assert.ok(!text.includes(folder) && !text.includes(made.base), name);
  }
});
