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
    const { peft_type: type, use_bdlora: diagonal, enable_lora: enabled, init_lora_weights: init } = JSON.parse(readFileSync(join(made.adapters[0].path, "adapter_config.json"), "utf8"));
    const field = diagonal ? "use_bdlora" : enabled ? "enable_lora" : init === "olora" ? "init_lora_weights" : "peft_type";
    await assert.rejects(merge({ base: made.base, adapters: adapterOptions(made), output: "blob" }), (error) => {
      assert.ok(error instanceof LorafoldError, name);
      assert.deepEqual([error.code, error.facts?.kind, error.facts?.field], ["unsupported", "not-implemented", field], name);
      if (field === "peft_type") assert.equal(error.facts.found, type, name);
      return true;
    });
    if (field === "peft_type") seen.add(type);
  }
  assert.deepEqual([...seen].sort(), RARE);
});
