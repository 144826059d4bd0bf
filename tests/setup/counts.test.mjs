// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { add, cargoCounts, nodeCounts, none, totalLine } from "./counts.mjs";

test("cargo's lines are summed over all test binaries", () => {
  const output = `
     Running unittests src/lib.rs (target/debug/deps/lorafold)
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
no tests to run!
test result: \x1b[31mFAILED\x1b[0m. 3 passed; 2 failed; 0 ignored; 0 filtered out; finished in 0.03s
`;
  assert.deepEqual(cargoCounts(output), { passed: 15, failed: 2, skipped: 1 });
});

test("Node's summary is read in both forms", () => {
  const counts = { passed: 5, failed: 3, skipped: 3 };
  assert.deepEqual(nodeCounts("ℹ tests 11\nℹ pass 5\nℹ fail 2\nℹ cancelled 1\nℹ skipped 2\nℹ todo 1\n"), counts);
  assert.deepEqual(nodeCounts("# pass 5\r\n# fail 2\r\n# cancelled 1\r\n# skipped 2\r\n# todo 1\r\n"), counts);
});

test("a test's own words are not counted", () => {
  assert.deepEqual(nodeCounts("    ℹ pass 99\nall is ok, # fail 7\n"), none());
  assert.deepEqual(cargoCounts("it said: test result: ok. 9 passed; 9 failed; 9 ignored"), none());
});

test("the total names skipped tests only if there are any", () => {
  const sum = add({ passed: 1, failed: 0, skipped: 0 }, { passed: 2, failed: 1, skipped: 0 });
  assert.equal(totalLine(sum), "3 passed, 1 failed");
  assert.equal(totalLine({ ...sum, skipped: 4 }), "3 passed, 1 failed, 4 skipped");
});
