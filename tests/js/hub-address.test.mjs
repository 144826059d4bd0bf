// @ts-check
// Every way in which people write where a model of the hub is, and what is none.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHubAddress } from "../../pkg/hub.js";

const commit = "0123456789abcdef0123456789abcdef01234567";

/** @type {[address: string, place: object][]} */
const PLACES = [
  ["org/name", {}],
  ["org/name@v1.0", { revision: "v1.0" }],
  ["hf://org/name", {}],
  ["hf://org/name/", {}],
  ["HF://org/name", {}],
  ["hf://models/org/name", {}],
  ["  hf://org/name\n", {}],
  ["hf://org/name@main", { revision: "main" }],
  [`hf://org/name@${commit}`, { revision: commit }],
  ["hf://org/name@refs/pr/1", { revision: "refs/pr/1" }],
  ["hf://org/name@refs/pr/1/sub", { revision: "refs/pr/1", folder: "sub" }],
  ["hf://org/name@feature%2Fx", { revision: "feature/x" }],
  ["hf://org/name/sub/folder", { folder: "sub/folder" }],
  ["hf://org/name/sub/folder/", { folder: "sub/folder" }],
  ["hf://org/name/sub/folder@v1", { folder: "sub/folder", revision: "v1" }],
  ["hf://org/name/sub@feature/x", { folder: "sub", revision: "feature/x" }],
  ["hf://org/name@v1/sub/folder", { folder: "sub/folder", revision: "v1" }],
  ["hf://org/name/a%20b%40c", { folder: "a b@c" }],
  ["hf://org/name/sub/model.safetensors", { folder: "sub", file: "model.safetensors" }],
  ["huggingface.co/org/name", {}],
  ["hf.co/org/name", {}],
  ["https://hf.co/org/name", {}],
  ["http://www.huggingface.co/org/name/", {}],
  ["https://HuggingFace.co/Org/Name", { name: "Org/Name" }],
  ["https://huggingface.co/org/name.git", {}],
  ["https://huggingface.co/org/name?library=transformers", {}],
  ["https://huggingface.co/org/name#usage", {}],
  ["https://huggingface.co/org/name/tree/main", { revision: "main" }],
  ["https://huggingface.co/org/name/tree/v1/sub/folder", { revision: "v1", folder: "sub/folder" }],
  ["https://huggingface.co/org/name/tree/feature%2Fx/sub", { revision: "feature/x", folder: "sub" }],
  ["https://huggingface.co/org/name/tree/refs%2Fpr%2F3", { revision: "refs/pr/3" }],
  ["https://huggingface.co/org/name/tree/refs/pr/3/sub", { revision: "refs/pr/3", folder: "sub" }],
  ["hf.co/org/name/blob/main/README.md", { revision: "main", file: "README.md" }],
  ["https://huggingface.co/org/name/blob/main/sub/x.safetensors", { revision: "main", folder: "sub", file: "x.safetensors" }],
  ["https://huggingface.co/org/name/resolve/main/x.safetensors?download=true", { revision: "main", file: "x.safetensors" }],
  ["https://huggingface.co/org/name/resolve/main/", { revision: "main" }],
  ["https://huggingface.co/org/name/raw/main/config.json", { revision: "main", file: "config.json" }],
  ["https://huggingface.co/org/name/discussions", {}],
  ["https://huggingface.co/org/name/discussions/12#65f", {}],
  ["https://huggingface.co/org/name/commits/main", { revision: "main" }],
  [`https://huggingface.co/org/name/commit/${commit}`, { revision: commit }],
  ["https://huggingface.co/api/models/org/name", {}],
  ["https://mirror.test/hub/org/name/tree/main", { revision: "main" }],
];

for (const [address, place] of PLACES) {
  test(JSON.stringify(address), () => {
    assert.deepEqual(parseHubAddress(address, { endpoint: "https://mirror.test/hub" }), { name: "org/name", folder: "", ...place });
  });
}

/** @type {[address: string, says: RegExp][]} */
const REFUSED = [
  ["hf://gpt2", /hf:\/\/gpt2.*names no model/],
  ["https://huggingface.co/", /names no model/],
  ["https://huggingface.co/docs/peft", /names no model/],
  ["hf://datasets/org/name", /data set, not a model/],
  ["https://huggingface.co/datasets/org/name/tree/main", /data set, not a model/],
  ["hf.co/spaces/org/name", /space, not a model/],
  ["hf://org/name@", /no revision behind/],
  ["hf://org/name@a@b", /more than one @/],
  ["hf://org/na me", /only letters/],
  ["hf://org/name/../other", /no \. and no \.\./],
  ["hf://org/name/%zz", /two hexadecimal digits/],
  ["https://huggingface.co/org/name/pulse", /not the page of a model/],
  ["https://user:hf_secret@huggingface.co/org/name", /password/],
];

for (const [address, says] of REFUSED) {
  test(`${address} is refused`, () => {
    assert.throws(() => parseHubAddress(address), (/** @type {any} */ error) => {
      assert.equal(error.code, "bad-option");
      assert.match(error.message, says);
      assert.doesNotMatch(JSON.stringify([error.message, error.facts]), /secret/);
      return true;
    });
  });
}

for (const address of ["https://mirror.test/folder/", "https://mirror.test/org/name/folder/", "https://mirror.test/model.safetensors", "https://mirror.test/folder/model.safetensors"]) {
  test(`${address} of a mirror is no page of a model`, () => assert.equal(parseHubAddress(address, { endpoint: "https://mirror.test" }), undefined));
}

for (const address of ["https://example.org/org/name", "./org/name", "../models/name", "/org/name", "name", "folder/model.safetensors", "a/b/c", "https://huggingface.company/org/name", "https://evil.test/huggingface.co/org/name", "blob:https://huggingface.co/1"]) {
  test(`${address} is no address of the hub`, () => assert.equal(parseHubAddress(address), undefined));
}
