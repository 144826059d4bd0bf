// @ts-check
// Which bytes of a checkpoint a merge must read and which it can leave where they are: what a copy is compared by.

/** @typedef {{ start: number, end: number, merged: boolean }} Run */

const MERGED = /\.(q|k|v|o|gate|up|down)_proj\.weight$/;

/** The runs of a file: those of tensors that are merged, and what lies between. @param {File} file @returns {Promise<Run[]>} */
export async function runsOf(file) {
  if (!file.name.endsWith(".safetensors")) return [{ start: 0, end: file.size, merged: false }];
  const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
  const header = JSON.parse(await file.slice(8, 8 + length).text());
  delete header.__metadata__;
  const tensors = Object.entries(header).sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  /** @type {Run[]} */
  const runs = [{ start: 0, end: 8 + length, merged: false }];
  for (const [name, { data_offsets: [from, to] }] of tensors) {
    const merged = MERGED.test(name);
    const last = runs[runs.length - 1];
    if (!merged && !last.merged) last.end = 8 + length + to;
    else runs.push({ start: 8 + length + from, end: 8 + length + to, merged });
  }
  return runs;
}

/** A run in slices of at most `step` bytes. @param {Run} run @param {number} step @returns {Generator<Run>} */
export function* slices({ start, end, merged }, step) {
  for (let at = start; at < end; at += step) yield { start: at, end: Math.min(at + step, end), merged };
}
