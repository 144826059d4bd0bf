// @ts-check
// The one table: every figure with the ratio that makes it mean something, and what the project promises.

/**
 * @typedef {object} Row
 * @property {string} part kernel, native, node, browser or start-up
 * @property {string} what
 * @property {number} figure
 * @property {string} unit
 * @property {number} [ratio] to what `of` names
 * @property {string} [of]
 * @property {string} [target] in words
 * @property {boolean} [holds] whether the target is met; not said at toy size
 */

/** @param {number} value */
const digits = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(value >= 1 ? 2 : 3));

/** @param {Row[]} rows */
export function tableText(rows) {
  const head = ["part", "what", "figure", "unit", "ratio", "target", ""];
  const lines = rows.map(({ part, what, figure, unit, ratio, of, target = "", holds }) => [
    part, what, digits(figure), unit,
    ratio === undefined ? "" : of === "of roofline" ? `${(100 * ratio).toFixed(0)} % ${of}` : `${digits(ratio)}× ${of ?? ""}`,
    target, holds === undefined ? "" : holds ? "ok" : "MISSED",
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column].length)));
  const numeric = new Set([2]);
  /** @param {string[]} line */
  const text = (line) =>
    line.map((cell, column) => (numeric.has(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join("  ").trimEnd();
  return [text(head), widths.map((width) => "-".repeat(width)).join("  "), ...lines.map(text)].join("\n");
}
