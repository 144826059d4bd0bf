// @ts-check
// The order of experts in an adapter's factors, as an option and as a flag.
import assert from "node:assert/strict";
import { test } from "node:test";
import { plan } from "../../pkg/node.js";
import { fixture } from "./fixture.mjs";
import { lorafold } from "./command.mjs";

const { base, adapters: [{ path }] } = fixture("experts-mixtral");

test("expertPacking reaches the plan", async () => {
  const planned = await plan({ base, adapters: [{ source: path, expertPacking: "expert" }] });
  assert.equal(planned.adapters[0]?.matched, 4);
  const wrong = { base, adapters: [{ source: path, expertPacking: /** @type {any} */ ("rows") }] };
  await assert.rejects(plan(wrong), { code: "bad-option", message: /expertPacking: "rows" is none of rank, expert/ });
});

test("--expert-packing is that of every adapter", async () => {
  const { code, stderr } = await lorafold(["merge", "--base", base, "--adapter", path, "--dry-run", "--expert-packing", "rows"]);
  assert.equal(code, 1);
  assert.match(stderr, /expertPacking: "rows" is none of rank, expert/);
});
