// @ts-check
// What the command line prints for people: whose a finding is, and what a recipe says.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { descriptionText } from "../../pkg/cli/description.js";
import { findingLines } from "../../pkg/cli/text.js";

/** @type {import("../../pkg/cli/colour.js").Paint} */
const plain = (_, text) => text;

describe("findings", () => {
  /** @type {any} */
  const one = { level: "warning", code: "unmatched-key", message: "a key matches nothing", adapter: "style" };

  test("name their adapter where there are several", () => {
    assert.deepEqual(findingLines([one], plain, 2), ["warning [unmatched-key]: adapter style: a key matches nothing"]);
    assert.deepEqual(findingLines([one, { ...one, adapter: "detail" }], plain), ["warning [unmatched-key]: adapter style: a key matches nothing", "warning [unmatched-key]: adapter detail: a key matches nothing"]);
  });

  test("do not where there is one, where their words do, and where they are of no adapter", () => {
    assert.deepEqual(findingLines([one], plain, 1), ["warning [unmatched-key]: a key matches nothing"]);
    assert.deepEqual(findingLines([{ ...one, message: "style has a key" }], plain, 2), ["warning [unmatched-key]: style has a key"]);
    const { adapter: _, ...ofNone } = one;
    assert.deepEqual(findingLines([ofNone], plain, 2), ["warning [unmatched-key]: a key matches nothing"]);
  });
});

test("a recipe names the method, the weights and where the adapters came from", () => {
  /** @param {unknown} recipe */
  const said = (recipe) => descriptionText(/** @type {any} */ ({ name: "out", kind: "merged", parameters: 1, dtypes: {}, files: [{}], tensors: [], recipe }), false, plain);
  const adapters = [{ weight: 0.8, origin: "hf://org/style" }, { weight: 1, adapter: "two" }, { weight: "x" }];
  assert.match(said({ method: "ties", adapters }), /^out: merged model, [^]*\n  recipe: 3 adapters by ties, with weight 0\.8 \(hf:\/\/org\/style\), 1 \(two\), \?; --json has all of it$/);
  assert.match(said({ method: "unmerge", adapters: [{ weight: 1 }] }), /^out: unmerged model, [^]*\n  recipe: 1 adapter taken out again, with weight 1; --json/);
  assert.match(said({ method: "linear", adapters: [{ weight: 1 }] }), /recipe: 1 adapter, with weight 1; /);
});
