// @ts-check
// Methods that only the crate merges are refused by name.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LorafoldError, merge } from "../../pkg/node.js";
import { adapterOptions, fixture, RARE, RARE_CASES } from "./fixture.mjs";

test("a method that the module has no room for is refused by its name", async () => {
  const seen = new Set();
  for (const name of RARE_CASES) {
    const made = fixture(name);
    const { peft_type: type } = JSON.parse(readFileSync(join(made.adapters[0].path, "adapter_config.json"), "utf8"));
    await assert.rejects(merge({ base: made.base, adapters: adapterOptions(made), output: "blob" }), (error) => {
      assert.ok(error instanceof LorafoldError, name);
      assert.deepEqual([error.code, error.facts?.kind, error.facts?.field], ["unsupported", "not-implemented", "peft_type"], name);
      assert.equal(error.facts?.found, type, name);
      return true;
    });
    seen.add(type);
  }
  assert.deepEqual([...seen].sort(), RARE);
});
