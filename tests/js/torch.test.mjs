// @ts-check
// Weights in PyTorch's own format: every way of giving them, and of reading what is merged, gives the same bytes, and those of the same weights as
// safetensors. What is refused: tests/torch.rs.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { inspect, merge, openMerged } from "../../pkg/node.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { lorafold } from "./command.mjs";
import { FIXTURES } from "./fixture.mjs";
import { random } from "./numbers.mjs";
import { readModel } from "./safetensors-file.mjs";
import { hashes, scratch, snapshot } from "./scratch.mjs";
import { correct, scriptedServer, whole } from "./scripted-server.mjs";
import { asFiles } from "./tiny-model.mjs";

const CASES = readdirSync(FIXTURES).filter((name) => existsSync(join(FIXTURES, name, "torch.json")));

/** @param {string} name @param {"base" | "adapter"} part @returns {Record<string, Buffer>} */
function filesOf(name, part) {
  const folder = join(FIXTURES, name, part);
  return Object.fromEntries(readdirSync(folder).sort().map((file) => [file, readFileSync(join(folder, file))]));
}

/** What the hub says of a repository. @param {Record<string, Buffer>} files */
const listing = (files) => Buffer.from(JSON.stringify(Object.entries(files).map(([path, { length }]) => ({ type: "file", path, size: length }))));

/** @param {string} prefix @param {Record<string, Buffer>} files */
const under = (prefix, files) => Object.fromEntries(Object.entries(files).map(([name, bytes]) => [prefix + name, bytes]));

test("there are cases", () => assert.equal(CASES.length, 3));

for (const name of CASES) {
  describe(name, () => {
    const [base, adapter] = [join(FIXTURES, name, "base"), join(FIXTURES, name, "adapter")];

    test("merges as its twin in safetensors does, by the command and by the API", async (t) => {
      const folder = await scratch(t);
      const { twin } = JSON.parse(readFileSync(join(FIXTURES, name, "torch.json"), "utf8"));
      const out = join(folder, "out");
      for (const [path, target] of [[name, out], [twin, join(folder, "twin")]]) {
        const ended = await lorafold(["merge", "--base", join(FIXTURES, path, "base"), "--adapter", join(FIXTURES, path, "adapter"), "--out", target]);
        assert.equal(ended.code, 0, ended.stderr);
      }
      const [found, expected] = [readModel(out), readModel(join(folder, "twin"))];
      if (!expected.has("lm_head.weight")) expected.set("lm_head.weight", expected.get("transformer.wte.weight") ?? assert.fail());
      for (const [tensor, { dtype, shape, bytes }] of found) {
        const other = expected.get(tensor);
        assert.deepEqual([dtype, shape], [other?.dtype, other?.shape], tensor);
        assert.ok(other && bytes.equals(other.bytes), tensor);
      }
      for (const workers of [0, 2]) {
        const result = await merge({ base, adapters: [adapter], workers, output: "blob" });
        assert.deepEqual(await hashes(result), await snapshot(out), `${workers} workers`);
      }
    });

    test("every range of the merged files is that of the written ones", async (t) => {
      const out = join(await scratch(t), "out");
      await merge({ base, adapters: [adapter], output: out });
      const opened = await openMerged({ base, adapters: [adapter] });
      t.after(() => opened.close());
      const next = random(7);
      for (const { name: file, size } of opened.files) {
        const written = readFileSync(join(out, file));
        assert.equal(size, written.length);
        for (let turn = 0; turn < 25; turn++) {
          const start = Math.floor(next() * size);
          const end = turn === 0 ? size : start + Math.floor(next() * (size - start + 1));
          assert.ok(written.subarray(turn === 0 ? 0 : start, end).equals(await opened.read(file, turn === 0 ? 0 : start, end)), `${file} ${start}..${end}`);
        }
      }
    });

    test("a merged file is read from few runs of the base", async (t) => {
      const files = filesOf(name, "base");
      const server = await scriptedServer(files, correct);
      t.after(server.close);
      const opened = await openMerged({ base: server.url, adapters: [adapter] });
      t.after(() => opened.close());
      for (const { name: file, size } of opened.files.filter((one) => one.name.endsWith(".safetensors"))) {
        const torch = file.replace("model", "pytorch_model").replace(".safetensors", ".bin");
        const before = server.counts[torch] ?? assert.fail();
        assert.equal((await opened.read(file)).length, size);
        // One for each width of element: wide ones are first. A tied tensor begins another one.
        const runs = { "torch-sharded": 1, "torch-gpt2": 2, "torch-passthrough": 5 }[name] ?? 0;
        assert.ok((server.counts[torch] ?? 0) - before <= runs, `${(server.counts[torch] ?? 0) - before} requests`);
      }
    });

    test("from a hub, from folders behind URLs with and without ranges, from files", async (t) => {
      const expected = await hashes(await merge({ base, adapters: [adapter] }));
      const files = { base: filesOf(name, "base"), adapter: filesOf(name, "adapter") };
      assert.deepEqual(await hashes(await merge({ base: asFiles(files.base), adapters: [asFiles(files.adapter)] })), expected);
      // What trainers leave behind is not taken for weights.
      const left = { "training_args.bin": Buffer.from("x"), "optimizer.bin": Buffer.from("y") };
      const hub = Object.fromEntries(/** @type {const} */ (["base", "adapter"]).flatMap((part) => {
        const there = part === "adapter" ? { ...files.adapter, ...left } : files.base;
        return [[`api/models/org/${part}/revision/main`, Buffer.from("{}")], [`api/models/org/${part}/tree/main`, listing(there)], ...Object.entries(under(`org/${part}/resolve/main/`, there))];
      }));
      for (const answer of [correct, whole]) {
        const server = await scriptedServer({ ...hub, ...under("base/", files.base), ...under("adapter/", files.adapter) }, answer);
        t.after(server.close);
        const context = createContext({ ...nodePlatform, network: { ...NETWORK, hubEndpoint: server.url.replace(/\/$/, "") } });
        const api = createApi(() => context);
        assert.deepEqual(await hashes(await api.merge({ base: "hf://org/base", adapters: ["hf://org/adapter"] })), expected);
        assert.deepEqual(Object.keys(server.counts).filter((path) => /training_args|optimizer/.test(path)), []);
        assert.deepEqual(await hashes(await api.merge({ base: `${server.url}base/`, adapters: [`${server.url}adapter/`] })), expected);
        assert.equal((await api.inspect(`${server.url}adapter/`)).kind, "adapter");
        const single = Object.keys(files.adapter).find((file) => /\.(bin|safetensors)$/.test(file));
        assert.deepEqual(await hashes(await api.merge({ base: `${server.url}base/`, adapters: [`${server.url}adapter/${single}`] })), expected);
      }
    });

    test("inspect describes it", async () => {
      const model = await inspect(base);
      assert.ok(model.kind === "base" && model.files.every((file) => file.name.endsWith(".bin")) && model.parameters > 1000);
      const description = await inspect(adapter);
      assert.ok(description.kind === "adapter" && description.modules.length > 0);
    });
  });
}

test("torch's files stay behind where there are safetensors, and nobody asks a hub for more of them than their beginning", async (t) => {
  const files = { ...filesOf("gpt2", "base"), "pytorch_model.bin": Buffer.alloc(65 << 20) };
  const server = await scriptedServer({ "api/models/org/base/revision/main": Buffer.from("{}"), "api/models/org/base/tree/main": listing(files), ...under("org/base/resolve/main/", files) }, correct);
  t.after(server.close);
  const context = createContext({ ...nodePlatform, network: { ...NETWORK, hubEndpoint: server.url.replace(/\/$/, "") } });
  const { findings } = await createApi(() => context).plan({ base: "hf://org/base", adapters: [join(FIXTURES, "torch-gpt2", "adapter")] });
  assert.ok(findings.some(({ message }) => message.includes("pytorch_model.bin")));
  assert.equal(server.counts["org/base/resolve/main/pytorch_model.bin"], undefined);
});
