// @ts-check
// Safetensors files read and written without lorafold, for tests to compare with.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { decode, encode, FORMATS } from "./numbers.mjs";

/**
 * @typedef {{ dtype: string, shape: number[], bytes: Buffer, start: number }} Tensor
 * @typedef {{ tensors: Map<string, Tensor>, metadata: Record<string, string> | undefined }} Parsed
 * @typedef {{ dtype: string, shape: number[], values?: ArrayLike<number>, bytes?: Uint8Array }} NewTensor
 */

/** @param {Uint8Array} file @returns {Parsed} */
export function parseSafetensors(file) {
  const buffer = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const headerBytes = Number(buffer.readBigUInt64LE(0));
  const { __metadata__: metadata, ...rest } = JSON.parse(buffer.toString("utf8", 8, 8 + headerBytes));
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(rest)) {
    tensors.set(name, { dtype, shape, start, bytes: buffer.subarray(8 + headerBytes + start, 8 + headerBytes + end) });
  }
  return { tensors, metadata };
}

/** @param {string} path */
export const readSafetensors = (path) => parseSafetensors(readFileSync(path));

/** The weights of a whole model folder: every tensor, with the shard it is in.
 * @param {string} folder
 * @returns {Map<string, Tensor & { file: string }>} */
export function readModel(folder) {
  const all = new Map();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".safetensors")).sort()) {
    for (const [name, tensor] of readSafetensors(join(folder, file)).tensors) all.set(name, { ...tensor, file });
  }
  return all;
}

/** @param {Tensor} tensor */
export function valuesOf(tensor) {
  if (!(tensor.dtype in FORMATS)) throw new Error(`${tensor.dtype} is not a floating-point type`);
  return decode(tensor.bytes, /** @type {import("./numbers.mjs").Float} */ (tensor.dtype));
}

/** Length, header and data, in the order given. @param {unknown} header a JSON value, or the text itself @param {Uint8Array[]} data */
export function assemble(header, data) {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...data]);
}

/** @param {Record<string, NewTensor>} tensors @param {Record<string, string>} [metadata] */
export function buildSafetensors(tensors, metadata = { format: "pt" }) {
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: metadata };
  const data = [];
  let at = 0;
  for (const [name, { dtype, shape, values, bytes }] of Object.entries(tensors)) {
    const encoded = bytes ?? encode(values ?? [], /** @type {import("./numbers.mjs").Float} */ (dtype));
    header[name] = { dtype, shape, data_offsets: [at, at + encoded.length] };
    data.push(encoded);
    at += encoded.length;
  }
  return assemble(header, data);
}
