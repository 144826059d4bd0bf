// @ts-check
// What a page of a throw-away project must come to, in a real browser.
import assert from "node:assert/strict";

/**
 * Open a page that calls `provePage`, and check what it found.
 * @param {import("../browser/harness.mjs").TestBrowser} browser
 * @param {string} address
 * @param {string} sample the origin that has the models
 * @param {{ expected: Record<string, string>, expectedRare: Record<string, string>, outputs?: number, workers?: boolean, expectedProblem?: RegExp }} wanted
 * @returns {Promise<any>} what the page said
 */
export async function checkPage(browser, address, sample, { expected, expectedRare, outputs = 2, workers = true, expectedProblem }) {
  const tab = await browser.open();
  try {
    // The console, for a strict policy forbids the test to evaluate anything in the page, too.
    const said = tab.page.waitForEvent("console", { predicate: (message) => message.text().startsWith("result "), timeout: 60_000 });
    const [message] = await Promise.all([said, tab.page.goto(`${address}?sample=${encodeURIComponent(sample)}`)]).catch((error) => {
      throw new Error(`the page came to no result: ${error.message}\n${[...tab.messages, ...tab.problems].join("\n")}`);
    });
    const result = JSON.parse(message.text().slice("result ".length));
    assert.equal(result.error, undefined);
    assert.deepEqual(result.sums, Array(outputs).fill(expected));
    assert.deepEqual(result.rare, expectedRare);
    assert.equal(result.started > 0, workers, `${result.started} workers were started`);
    assert.equal(result.code, "bad-option");
    // Files that a model folder may lack are asked for, and the browser asks for an icon.
    const usual = (/** @type {string} */ problem) => /404|favicon\.ico/.test(problem) || expectedProblem?.test(problem);
    assert.deepEqual(tab.problems.filter((problem) => !usual(problem)), []);
    return result;
  } finally {
    await tab.close();
  }
}
