// @ts-check
// Bases that must be refused.
import { bytes, header, headerText, sharded, tensors } from "./mutation.mjs";
import { assemble } from "./safetensors-file.mjs";
import { Q } from "./tiny-model.mjs";

const FILE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const [FIRST, SECOND] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/** @param {Buffer} file @param {bigint} length */
function claim(file, length) {
  file.writeBigUInt64LE(length);
  return file;
}

/** @type {import("./mutation.mjs").Malformed[]} */
export const BASES = [
  { name: "an empty file", change: bytes("base", () => Buffer.alloc(0)), code: "truncated", says: [FILE] },
  { name: "five bytes", change: bytes("base", (file) => file.subarray(0, 5)), code: "truncated", says: [FILE] },
  { name: "half a header", change: bytes("base", (file) => file.subarray(0, 100)), code: "truncated", says: [FILE] },
  { name: "data cut off", change: bytes("base", (file) => file.subarray(0, -1)), code: "truncated", says: [FILE] },
  { name: "data gone", change: bytes("base", (file) => file.subarray(0, 8 + Number(file.readBigUInt64LE(0)))), code: "truncated", says: [FILE] },
  { name: "a header of 2^64 - 1 bytes", change: bytes("base", (file) => claim(file, 2n ** 64n - 1n)), code: "bad-header", says: [FILE] },
  { name: "a header of 2^32 bytes", change: bytes("base", (file) => claim(file, 2n ** 32n)), code: "bad-header", says: [FILE] },
  { name: "a header over 100 MB", change: bytes("base", (file) => claim(file, 100_000_001n)), code: "bad-header", says: [FILE, "100000000"] },
  { name: "a header longer than the file", change: bytes("base", (file) => claim(file, 99_000_000n)), code: "truncated", says: [FILE] },
  { name: "a header that is not JSON", change: headerText("base", (text) => text.replace(":", ";")), code: "bad-header", says: [FILE] },
  { name: "a header that is an array", change: header("base", () => []), code: "bad-header", says: [FILE, "{"] },
  { name: "a header that begins with a space", change: headerText("base", (text) => ` ${text}`), code: "bad-header", says: [FILE] },
  { name: "a header that is not UTF-8", change: bytes("base", (file) => Buffer.concat([file.subarray(0, 10), Buffer.from([0xff]), file.subarray(11)])), code: "bad-header", says: [FILE] },
  { name: "more after the header's object", change: headerText("base", (text) => `${text}{}`), code: "bad-header", says: [FILE] },
  { name: "an empty header", change: bytes("base", () => Buffer.alloc(8)), code: "bad-header", says: [FILE] },
  { name: "a tensor twice", change: headerText("base", (text) => text.replace("model.norm.weight", "model.embed_tokens.weight")), code: "bad-header", says: [FILE, "model.embed_tokens.weight", "twice"] },
  { name: "tensors that overlap", change: header("base", (h) => void (h["model.norm.weight"].data_offsets = h[`${Q}.weight`].data_offsets.map((/** @type {number} */ at, /** @type {number} */ i) => (i ? at - 64 : at)))), code: "bad-header", says: [FILE] },
  { name: "tensors that overlap by a byte", change: header("base", (h) => void (h["model.norm.weight"].data_offsets = h["model.norm.weight"].data_offsets.map((/** @type {number} */ at) => at - 1))), code: "bad-header", says: [FILE, "overlaps"] },
  { name: "a hole", change: (model) => header("base", (h) => void (h["model.norm.weight"].data_offsets = h["model.norm.weight"].data_offsets.map((/** @type {number} */ at) => at + 4)))(model), code: "bad-header", says: [FILE, "hole", "model.norm.weight"] },
  { name: "bytes after the last tensor", change: bytes("base", (file) => Buffer.concat([file, Buffer.alloc(3)])), code: "bad-header", says: [FILE, "3 bytes"] },
  { name: "offsets beyond 2^53", change: headerText("base", (text) => text.replace(/"data_offsets":\[\d+,\d+\]/, '"data_offsets":[9007199254740993,9007199254741089]')), code: "bad-header", says: [FILE] },
  { name: "offsets beyond 2^64", change: headerText("base", (text) => text.replace(/"data_offsets":\[\d+,\d+\]/, '"data_offsets":[0,99999999999999999999]')), code: "bad-header", says: [FILE] },
  { name: "offsets that go back", change: header("base", (h) => void h["model.norm.weight"].data_offsets.reverse()), code: "bad-header", says: [FILE, "model.norm.weight"] },
  { name: "three offsets", change: header("base", (h) => void h["model.norm.weight"].data_offsets.push(0)), code: "bad-header", says: [FILE] },
  { name: "an unknown dtype", change: header("base", (h) => void (h["model.norm.weight"].dtype = "F99")), code: "bad-header", says: [FILE, "model.norm.weight", "F99"] },
  { name: "a shape that does not fit the bytes", change: header("base", (h) => void (h["model.norm.weight"].shape = [5])), code: "bad-header", says: [FILE, "model.norm.weight"] },
  { name: "a shape that overflows", change: header("base", (h) => void (h["model.norm.weight"].shape = [2 ** 40, 2 ** 40])), code: "bad-header", says: [FILE, "model.norm.weight", "overflows"] },
  { name: "a shape whose zero hides an overflow", change: header("base", (h) => void (h["model.norm.weight"].shape = [2 ** 40, 2 ** 40, 0])), code: "bad-header", says: [FILE, "model.norm.weight"] },
  { name: "a negative size", change: header("base", (h) => void (h["model.norm.weight"].shape = [-4])), code: "bad-header", says: [FILE] },
  { name: "a size with a fraction", change: header("base", (h) => void (h["model.norm.weight"].shape = [4.5])), code: "bad-header", says: [FILE] },
  { name: "33 dimensions", change: header("base", (h) => void (h["model.norm.weight"].shape = [4, ...Array(32).fill(1)])), code: "bad-header", says: [FILE, "dimensions"] },
  { name: "a tensor without a shape", change: header("base", (h) => void delete h["model.norm.weight"].shape), code: "bad-header", says: [FILE, "shape"] },
  { name: "a tensor with a field too many", change: header("base", (h) => void (h["model.norm.weight"].strides = [1])), code: "bad-header", says: [FILE, "strides"] },
  { name: "a name of 5000 bytes", change: headerText("base", (text) => text.replace("model.norm.weight", "n".repeat(5000))), code: "bad-header", says: [FILE, "5000"] },
  { name: "metadata that is a number", change: header("base", (h) => void (h.__metadata__ = { step: 7 })), code: "bad-header", says: [FILE] },
  { name: "metadata twice", change: headerText("base", (text) => `{"__metadata__":{},${text.slice(1)}`), code: "bad-header", says: [FILE, "__metadata__"] },
  { name: "no weights at all", change: ({ base }) => void delete base[FILE], code: "wrong-input", says: ["safetensors"] },
  { name: "safetensors under the name of a pickle", change: ({ base }) => { base["pytorch_model.bin"] = base[FILE]; delete base[FILE]; }, code: "wrong-input", says: ["pytorch_model.bin", "this is a safetensors file"] },
  { name: "a config.json that is not JSON", change: ({ base }) => void (base["config.json"] = Buffer.from("{")), code: "bad-config", says: ["config.json"] },
  { name: "a config.json that is an array", change: ({ base }) => void (base["config.json"] = Buffer.from("[]")), code: "bad-config", says: ["config.json"] },
  { name: "an index that is not JSON", change: sharded((files) => void (files[INDEX] = Buffer.from("weight_map"))), code: "bad-header", says: [INDEX] },
  { name: "an index without a map", change: sharded((files) => void (files[INDEX] = Buffer.from("{}"))), code: "bad-header", says: [INDEX, "weight_map"] },
  { name: "an index that names a shard which is not there", change: sharded((files) => void delete files[SECOND]), code: "truncated", says: [SECOND, INDEX] },
  { name: "an index with a tensor in the wrong shard", change: sharded((_, map) => void (map["model.norm.weight"] = FIRST)), code: "bad-header", says: [INDEX, "model.norm.weight", FIRST] },
  { name: "an index with a tensor of no shard", change: sharded((_, map) => void (map["more.weight"] = FIRST)), code: "bad-header", says: [INDEX, "more.weight"] },
  { name: "an index that leads out of its folder", change: sharded((_, map) => void (map["model.norm.weight"] = "../adapter/adapter_model.safetensors")), code: "bad-header", says: [INDEX, "../adapter"] },
  { name: "an index with an absolute path", change: sharded((_, map) => void (map["model.norm.weight"] = "/etc/passwd")), code: "bad-header", says: [INDEX, "/etc/passwd"] },
  { name: "an index with a Windows path", change: sharded((_, map) => void (map["model.norm.weight"] = "..\\secret.safetensors")), code: "bad-header", says: [INDEX] },
  { name: "an index with a tensor twice", change: sharded((files, map) => void (files[INDEX] = Buffer.from(JSON.stringify({ weight_map: map }).replace("model.norm.weight", "model.embed_tokens.weight")))), code: "bad-header", says: [INDEX, "twice"] },
  { name: "a tensor in two shards, and no index", change: (model) => {
    sharded((files) => void (files[SECOND] = assemble({ "model.embed_tokens.weight": { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, [Buffer.alloc(4)])))(model);
    delete model.base[INDEX];
  }, code: "bad-header", says: ["model.embed_tokens.weight"] },
  { name: "a cut shard", change: sharded((files) => void (files[SECOND] = files[SECOND].subarray(0, -2))), code: "truncated", says: [SECOND] },
  { name: "a shard missing, and no index", change: (model) => { sharded((files) => void delete files[FIRST])(model); delete model.base[INDEX]; }, code: "truncated", says: [FIRST] },
  { name: "two models in one folder", change: ({ base }) => { base["a.safetensors"] = base[FILE]; base["b.safetensors"] = base[FILE]; delete base[FILE]; }, code: "wrong-input", says: ["2 weight files"] },
  { name: "a shard beyond their number", change: ({ base }) => { base["model-00001-of-00001.safetensors"] = base[FILE]; base["model-00002-of-00001.safetensors"] = base[FILE]; delete base[FILE]; }, code: "wrong-input", says: ["2 shards"] },
  { name: "shards of two models", change: ({ base }) => { base[FIRST] = base[FILE]; base["other-00001-of-00001.safetensors"] = base[FILE]; delete base[FILE]; }, code: "wrong-input", says: ["two models"] },
  { name: "a merged tensor of integers", change: tensors("base", (all) => void (all[`${Q}.weight`] = { dtype: "I8", shape: [5, 4], bytes: Buffer.alloc(20) })), code: "unsupported", says: [`${Q}.weight`, "I8"] },
  { name: "a merged tensor in fp8", change: tensors("base", (all) => void (all[`${Q}.weight`] = { dtype: "F8_E4M3", shape: [5, 4], bytes: Buffer.alloc(20) })), code: "unsupported", says: [`${Q}.weight`, "F8_E4M3"] },
  { name: "a merged tensor of three dimensions", change: tensors("base", (all) => void (all[`${Q}.weight`].shape = [5, 4, 1])), code: "shape-mismatch", says: [`${Q}.weight`, "[5, 4, 1]"] },
  { name: "a merged tensor of another shape", change: tensors("base", (all) => void (all[`${Q}.weight`].shape = [2, 10])), code: "shape-mismatch", says: [`${Q}.weight`, "[2, 10]"] },
];
