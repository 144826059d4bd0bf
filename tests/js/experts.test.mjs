// @ts-check
// The order of experts in an adapter's factors, as an option and as a flag.
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { plan } from "../../pkg/node.js";
import { fixture } from "./fixture.mjs";
import { lorafold } from "./command.mjs";
import { scratch } from "./scratch.mjs";

const { base, adapters: [{ path }] } = fixture("experts-mixtral");

test("expertPacking reaches the plan", async () => {
  const planned = await plan({ base, adapters: [{ source: path, expertPacking: "expert" }] });
  assert.equal(planned.adapters[0]?.matched, 4);
  const wrong = { base, adapters: [{ source: path, expertPacking: /** @type {any} */ ("rows") }] };
  await assert.rejects(plan(wrong), { code: "bad-option", message: /expertPacking: "rows" is none of rank, expert/ });
});

test("--expert-packing is that of every adapter", async () => {
  const { code, stderr } = await lorafold(["merge", "--base", base, "--adapter", path, "--dry-run", "--expert-packing", "rows"]);
  assert.equal(code, 2);
  assert.match(stderr, /--expert-packing: there is no rows\nthe values are rank, expert/);
});

test("an entry of target_parameters for which the file has nothing is told", async (t) => {
  const folder = await scratch(t);
  cpSync(path, folder, { recursive: true });
  const config = join(folder, "adapter_config.json");
  const said = JSON.parse(readFileSync(config, "utf8"));
  writeFileSync(config, JSON.stringify({ ...said, target_parameters: [...(said.target_parameters ?? []), "shared.experts.w"] }));
  const { findings } = await plan({ base, adapters: [folder] });
  const told = findings.filter(({ code }) => code === "target-without-factors").map(({ message }) => message);
  assert.deepEqual(told.filter((message) => message.includes("target_parameters")), ['target_parameters names "shared.experts.w", and the file has no factors for it']);
});
