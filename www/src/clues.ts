import type { ErrorKind, LorafoldError } from "lorafold";
import type { Advice } from "./advice.js";
import type { Picked } from "./picked.js";

const SAFETENSORS = "lorafold reads safetensors.";

/** Where the kind of an error alone says what to do. */
const BY_KIND: { readonly [kind in ErrorKind]?: Advice } = {
  "missing-shard": {
    title: "Files of the model are missing",
    todo: "A model in several files needs all of them: choose its folder, or all its files at once. Of an address, give that of the folder.",
  },
  "several-models": {
    title: "There is more than one model here",
    todo: "Choose the files of one model: a folder of its own, or all its files at once.",
  },
  "adapter-as-base": {
    title: "This is an adapter, not a base",
    todo: "Choose the model that it was trained on as the base, and add this one under “Adapters”. If each is in the other’s place, swap them.",
  },
  "base-as-adapter": {
    title: "This is a base, not an adapter",
    todo: "Remove it, and choose it as the base model. If each is in the other’s place, swap them.",
  },
  "no-config": {
    title: "The adapter’s configuration is missing",
    todo: "Choose the adapter’s folder, or its adapter_config.json and its weights at once. If there is none, type its lora_alpha under “Alpha”.",
  },
  "web-page": {
    title: "This is a web page, not a model’s file",
    todo: "The address, or the one that the file was downloaded from, answers with a page to be read: one that says that nothing is there, perhaps, or that asks to log in. Find the address of the file itself.",
  },
  "lfs-pointer": {
    title: "This is a pointer of Git LFS, not the file itself",
    todo: "The folder was cloned without its large files. Run “git lfs pull” in it, or download the files one by one.",
  },
  "other-format": {
    title: "This file is not safetensors",
    todo: `${SAFETENSORS} Whatever its name says, the file is in another format. Take the model in safetensors.`,
  },
  pickle: {
    title: "This file holds more than weights",
    todo: "Files of PyTorch’s own format can run code when they are loaded. lorafold runs nothing of them, and reads only what weights need; this one asks for more. Take the model or adapter as safetensors, or, where you trust it, save it again as such: with transformers and PEFT, save_pretrained does.",
  },
  "quantised-base": {
    title: "The base is quantised",
    todo: "Choose the model that it was made from, which is not quantised. The merged model can be quantised afterwards.",
  },
  "output-not-empty": {
    title: "There is a model in the folder already",
    todo: "Choose an empty folder, or allow that what is there is replaced.",
  },
  "no-memory": {
    title: "There is not enough memory",
    todo: "Close other tabs and programs and try again, or use a computer with more memory.",
  },
};

/** What an error's facts, or what was chosen, tell beyond its code. */
export function clueTo(error: LorafoldError, inputs: readonly Picked[]): Advice | undefined {
  const { kind } = error.facts;
  if (kind === undefined) return undefined;
  return BY_KIND[kind] ?? refusedByServer(error) ?? (kind === "no-weights" ? foreignFormat(inputs) : undefined);
}

function refusedByServer({ code, facts: { kind, file = "" } }: LorafoldError): Advice | undefined {
  if (code !== "fetch-failed" || !/^https?:/.test(file)) return undefined;
  if (kind === "access-denied") {
    return {
      title: "The server does not let everybody read this",
      todo: "It is private, or asks for terms to be accepted first, and this page takes no access token. If the address is right, download the files with an account that has access, and choose them here.",
    };
  }
  return kind === "not-found" ? { title: "Nothing is at this address", todo: "Check the address: the server has no such file." } : undefined;
}

/** What models come in besides. */
const FORMATS: readonly { ending: RegExp; name: string; todo: string }[] = [
  { ending: /\.gguf$/i, name: "GGUF", todo: `${SAFETENSORS} Take the model in that format, from which the GGUF file was made, and convert the merged one.` },
  { ending: /\.(bin|pt|pth|ckpt|pkl)$/i, name: "PyTorch’s own format", todo: `Of that, lorafold reads pytorch_model.bin, in one file or several, and adapter_model.bin. Take the model’s .safetensors files, or save it again as such: with transformers, save_pretrained does.` },
  { ending: /\.(zip|tar|t?gz|tar\.\w+|7z|rar|zst)$/i, name: "a packed archive", todo: `${SAFETENSORS} Unpack it, and choose the folder that its .safetensors files are in.` },
  { ending: /\.(onnx|h5|msgpack|tflite|npz)$/i, name: "another format", todo: `${SAFETENSORS} Take the model in that format.` },
];

/** What was chosen in place of weights, told by the names of the files. */
function foreignFormat(inputs: readonly Picked[]): Advice | undefined {
  const others = inputs.map(({ names }) => names).filter((names) => !names.some((name) => name.endsWith(".safetensors")));
  for (const { ending, name, todo } of FORMATS) {
    const file = others.flat().find((one) => ending.test(one));
    if (file !== undefined) return { title: `${file} is ${name}`, todo };
  }
  if (others.length === 0) return undefined;
  return { title: "There is no model’s file here", todo: `${SAFETENSORS} Choose the folder that holds the .safetensors files, or give its address.` };
}
