// @ts-check
// `hf://org/name@revision`, answered by a server that stands in for the hub.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { correct, scriptedServer } from "./scripted-server.mjs";
import { hashes } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();
/** What a folder on disk would give, too: the crate alone decides what of it is copied. */
const copied = { "freqs.npz": Buffer.from("f"), ".gitattributes": Buffer.from("x") };
const leftBehind = { "flax_model.msgpack": Buffer.alloc(65 << 20), "pytorch_model.bin": Buffer.alloc(9) };
const REVISIONS = ["main", "refs/pr/1"];

/** What the hub serves of a repository: its listing and its files. @param {string} name @param {Record<string, Buffer>} files */
const repository = (name, files) =>
  Object.fromEntries(REVISIONS.flatMap((revision) => {
    const listing = [
      { type: "directory", path: "onnx", size: 0 },
      ...Object.entries(files).map(([path, { length }]) => ({ type: "file", path, size: length })),
    ];
    return [
      [`api/models/${name}/tree/${revision}`, Buffer.from(JSON.stringify(listing))],
      ...Object.entries(files).map(([path, bytes]) => [`${name}/resolve/${revision}/${path}`, bytes]),
    ];
  }));

/** The API with another server in the hub's place. @param {{ url: string }} server */
function apiOf({ url }) {
  const context = createContext({ ...nodePlatform, network: { ...NETWORK, hubEndpoint: url.replace(/\/$/, "") } });
  return createApi(() => context);
}

describe("the hub", () => {
  /** @type {Awaited<ReturnType<typeof scriptedServer>>} */
  let server;
  /** @type {ReturnType<typeof apiOf>} */
  let api;
  before(async () => {
    server = await scriptedServer({ ...repository("org/base", { ...base, ...copied, ...leftBehind }), ...repository("org/lora", { ...adapter, "README.md": Buffer.from("x") }) }, correct);
    api = apiOf(server);
  });
  after(() => server.close());

  for (const suffix of ["", "/", ...REVISIONS.map((revision) => `@${revision}`)]) {
    test(`hf://org/base${suffix} merges as the files do`, async () => {
      const expected = await hashes(await api.merge({ base: asFiles({ ...base, ...copied }), adapters: [asFiles(adapter)] }));
      const merged = await api.merge({ base: `hf://org/base${suffix}`, adapters: [`hf://org/lora${suffix}`] });
      assert.deepEqual(await hashes(merged), expected);
      assert.equal(merged.report.base.name, "org/base");
      assert.deepEqual(merged.report.findings.map(({ message }) => message), ["not copied to the output: flax_model.msgpack, pytorch_model.bin, onnx/"]);
      assert.deepEqual(Object.keys(server.counts).filter((path) => path.endsWith("flax_model.msgpack")), [], "a large file that stays behind is asked for");
    });
  }

  test("a file that is not asked for is known by its content's name all the same", async (t) => {
    const name = "vocab.json";
    const files = { ...base, [name]: Buffer.alloc(65 << 20) };
    const tags = [];
    for (const about of [{ oid: "1" }, { oid: "2" }, { oid: "2", lfs: { oid: "3" } }, { oid: "9", lfs: { oid: "3" } }]) {
      const listing = Object.entries(files).map(([path, { length }]) => ({ type: "file", path, size: length, ...(path === name && about) }));
      const other = await scriptedServer({ ...repository("org/base", files), "api/models/org/base/tree/main": Buffer.from(JSON.stringify(listing)) }, correct);
      t.after(other.close);
      const opened = await apiOf(other).openMerged({ base: "hf://org/base", adapters: [asFiles(adapter)] });
      tags.push(opened.files.find((file) => file.name === name)?.etag);
      assert.equal(other.counts[`org/base/resolve/main/${name}`], undefined);
      opened.close();
    }
    assert.equal(new Set(tags).size, 3);
    assert.equal(tags[2], tags[3]);
  });

  test("a file that was not asked for before stays what it is then", async (t) => {
    const files = repository("org/base", { ...base, "vocab.json": Buffer.alloc(65 << 20) });
    const other = await scriptedServer(files, (asked) => ({ ...correct(asked), headers: { ...correct(asked).headers, ...(asked.name.endsWith("vocab.json") && { ETag: `"${asked.count}"` }) } }));
    t.after(other.close);
    const opened = await apiOf(other).openMerged({ base: "hf://org/base", adapters: [asFiles(adapter)] });
    assert.equal((await opened.read("vocab.json", 0, 9)).length, 9);
    await assert.rejects(opened.read("vocab.json", 9, 18), { code: "source-changed", message: /"0".*"1"/ });
    opened.close();
  });

  test("a repository or a revision that is not there", async () => {
    for (const source of ["hf://org/nothing", "hf://org/base@v9"]) {
      await assert.rejects(api.plan({ base: source, adapters: [asFiles(adapter)] }), { code: "fetch-failed", message: /404/ });
    }
  });
});
