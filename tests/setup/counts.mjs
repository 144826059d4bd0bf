// @ts-check
// Reads how many tests passed, failed and were skipped out of what the test programs print.

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 */

/** @returns {Counts} */
export const none = () => ({ passed: 0, failed: 0, skipped: 0 });

/**
 * @param {Counts} a
 * @param {Counts} b
 * @returns {Counts}
 */
export function add(a, b) {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/**
 * The sum over every test binary: `cargo test` and wasm-bindgen's runner print the same line for each.
 * @param {string} output
 */
export function cargoCounts(output) {
  let sum = none();
  for (const [, passed, failed, ignored] of plain(output).matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    sum = add(sum, { passed: Number(passed), failed: Number(failed), skipped: Number(ignored) });
  }
  return sum;
}

/**
 * Node's summary, in its readable form (ℹ pass 3) or as TAP (# pass 3). A cancelled test didn't pass.
 * @param {string} output
 */
export function nodeCounts(output) {
  const sum = none();
  for (const [, word, count] of plain(output).matchAll(/^[ℹ#] (pass|fail|cancelled|skipped|todo) (\d+)$/gm)) {
    if (word === "pass") sum.passed += Number(count);
    else if (word === "fail" || word === "cancelled") sum.failed += Number(count);
    else sum.skipped += Number(count);
  }
  return sum;
}

/** @param {Counts} counts */
export function totalLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Without colours, which some programs print even into a pipe.
 * @param {string} output */
function plain(output) {
  return output.replace(/\x1b\[[0-9;]*m/g, "").replaceAll("\r\n", "\n");
}
