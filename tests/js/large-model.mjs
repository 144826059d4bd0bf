// @ts-check
// Models whose files are large and sparse: a tensor of zeros takes no room on the disk.
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decode, encode } from "./numbers.mjs";
import { assemble, buildSafetensors } from "./safetensors-file.mjs";
import { writeFolder } from "./scratch.mjs";
import { factor } from "./tiny-model.mjs";

export const MODULE = "model.embed";
const TENSOR = `${MODULE}.weight`;

/** Factors whose product is exact in bf16. @param {number} i */
const left = (i) => (i % 61) - 30;
/** @param {number} j */
const right = (j) => 2 ** (j % 4);

/**
 * A bf16 tensor of zeros, between untouched ones, and an adapter of rank 1 for it.
 * @param {string} folder
 * @param {{ rows: number, cols: number, before?: number, after?: number }} sizes `before` and `after`: bytes of untouched tensors
 */
export async function largeModel(folder, { rows, cols, before = 0, after = 0 }) {
  const start = before;
  const end = start + rows * cols * 2;
  const header = assemble({
    first: { dtype: "U8", shape: [before], data_offsets: [0, start] },
    [TENSOR]: { dtype: "BF16", shape: [rows, cols], data_offsets: [start, end] },
    last: { dtype: "U8", shape: [after], data_offsets: [end, end + after] },
  }, []);
  const base = await writeFolder(join(folder, "base"), { "config.json": "{}" });
  const path = join(base, "model.safetensors");
  await writeFile(path, header);
  const file = await open(path, "r+");
  try {
    await file.truncate(header.length + end + after);
    if (after > 0) await file.write(Buffer.from([77]), 0, 1, header.length + end + after - 1);
  } finally {
    await file.close();
  }
  const adapter = await writeFolder(join(folder, "adapter"), {
    "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 }),
    "adapter_model.safetensors": buildSafetensors({
      [factor(MODULE, "A")]: { dtype: "F32", shape: [1, cols], values: Float64Array.from({ length: cols }, (_, j) => right(j)) },
      [factor(MODULE, "B")]: { dtype: "BF16", shape: [rows, 1], bytes: encode(Float64Array.from({ length: rows }, (_, i) => left(i)), "BF16") },
    }),
  });
  return { base, adapter, bytes: header.length + end + after };
}

/**
 * Compare some rows of the merged tensor, and the last byte of the file, with what they must be.
 * @param {(start: number, end: number) => Promise<Uint8Array>} read of the merged weight file
 * @returns {Promise<string[]>} what is wrong
 */
export async function wrongIn(read) {
  const wrong = [];
  const length = Number(Buffer.from(await read(0, 8)).readBigUInt64LE(0));
  const header = JSON.parse(Buffer.from(await read(8, 8 + length)).toString());
  const { shape: [rows, cols], data_offsets: [start] } = header[TENSOR];
  const data = 8 + length;
  for (const row of [0, 1, 60, rows >> 1, rows - 2, rows - 1]) {
    const at = data + start + row * cols * 2;
    const values = decode(await read(at, at + cols * 2), "BF16");
    const column = values.findIndex((value, j) => value !== left(row) * right(j));
    if (column >= 0) wrong.push(`row ${row}, column ${column} is ${values[column]}`);
  }
  const end = data + header.last.data_offsets[1];
  if (header.last.shape[0] > 0 && (await read(end - 1, end))[0] !== 77) wrong.push("the last byte");
  return wrong;
}

/** A reader of ranges of a file. @param {string} path */
export const readerOf = (path) => async (/** @type {number} */ start, /** @type {number} */ end) => {
  const file = await open(path);
  try {
    return (await file.read(Buffer.alloc(end - start), 0, end - start, start)).buffer;
  } finally {
    await file.close();
  }
};
