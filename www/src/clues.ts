import type { ErrorKind, LorafoldError } from "lorafold";
import type { Advice } from "./advice.js";
import { onHub } from "./hub-access.js";
import type { Picked } from "./picked.js";
import { optionNamed } from "./words.js";

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
    offer: { act: "swap", label: "Put it where it belongs" },
  },
  "base-as-adapter": {
    title: "This is a base, not an adapter",
    todo: "Remove it, and choose it as the base model. If each is in the other’s place, swap them.",
    offer: { act: "swap", label: "Put it where it belongs" },
  },
  "no-config": {
    title: "The adapter’s configuration is missing",
    todo: "Choose the adapter’s folder, or its adapter_config.json and its weights at once. If there is none, type its lora_alpha under the adapter’s settings.",
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
    todo: "Choose an empty folder, or tick “Replace files that are there already” where the merged model goes.",
  },
  "output-is-input": {
    title: "The merged model would replace what it is made of",
    todo: "Choose another folder for it.",
  },
  "several-adapters": {
    title: "There is more than one adapter here",
    todo: "Choose the folder of one of them, or give the name of the one you mean under its settings.",
  },
  "tied-head": {
    title: "The output layer and the embedding are one tensor",
    todo: "Under “Options”, set “Tied output layer”: one tensor for both, or one for each.",
  },
  "ambiguous-part": {
    title: "The adapter fits several parts of this base",
    todo: "Which part it was trained on cannot be told. Choose the model that it was trained on as the base.",
  },
  "other-shape": {
    title: "The base is of another size than the adapter’s",
    todo: "Choose the model that the adapter was trained on as the base.",
  },
  "not-implemented": {
    title: "This kind of adapter cannot be merged yet",
    todo: "Nothing was skipped silently: merging it as if it were plain LoRA would give a wrong model. PEFT itself may be able to merge it.",
  },
  "unknown-field": {
    title: "The adapter’s configuration says something that lorafold does not know",
    todo: "It may change what the adapter does, so it is not passed over. A newer version of lorafold may know it; where you know that it means nothing, take it out of adapter_config.json.",
  },
  "unmatched-pattern": {
    title: "A pattern matches nothing",
    todo: "Correct it, or, where that is as it should be, leave out what does not match.",
    offer: { option: "allowUnmatched", label: "Leave out what does not match" },
  },
  "gated-repository": {
    title: "The hub asks for terms to be accepted first",
    todo: "Accept them on the model’s page at the hub, with your account there. Then give a token of that account under “Access to the hub”.",
    offer: { act: "token", label: "Give a token" },
  },
  "no-repository": {
    title: "The hub has no such model, or does not show it",
    todo: "Check the name. For a private model, give a token of an account that may see it under “Access to the hub”.",
    offer: { act: "token", label: "Give a token" },
  },
  "no-revision": {
    title: "The hub has no such branch, tag or commit of this model",
    todo: "Check what follows the @ of the address, or leave it out.",
  },
  "rate-limited": {
    title: "The server is asked too often",
    todo: "Wait a little, then try again. The hub lets those ask more often who give a token under “Access to the hub”.",
  },
  "no-memory": {
    title: "There is not enough memory",
    todo: "Close other tabs and programs and try again, or use a computer with more memory.",
  },
};

/** Where the option that would let it pass says what it is about. */
const BY_OPTION: { readonly [option in NonNullable<ReturnType<typeof optionNamed>>]?: Advice } = {
  allowUnmerged: {
    title: "Trained weights beside the adapter would be lost",
    todo: "The training changed more than the adapter holds, and put that into a file of its own. Merge with the program that trained it; or, where you know that it does not matter, leave it out.",
    offer: { option: "allowUnmerged", label: "Leave it out" },
  },
};

/** Where the option that an error is about says where that is asked for. */
const OF_METHOD: Advice = { title: "The method cannot be used like this", todo: "Change it, or the adapters, under “How they become one”." };
const BY_FIELD: Readonly<Record<string, Advice>> = {
  method: OF_METHOD, density: OF_METHOD, majoritySign: OF_METHOD, gamma: OF_METHOD, epsilon: OF_METHOD, normalize: OF_METHOD, flavor: OF_METHOD,
  weights: { title: "A weight by module cannot be used", todo: "Change it under the adapter’s settings: “Weights by module”." },
  blockWeights: { title: "The weights of the blocks cannot be used", todo: "Change them under the adapter’s settings: “Weights of an image model’s blocks”." },
};

/** Where the two vocabularies are of two sizes, and a part of each is the other's. */
const VOCABULARIES: Advice = {
  title: "The vocabularies have different sizes",
  todo: "The model has other tokens than the base. The rows that both have can be merged; the rest stays as the base’s.",
  offer: { act: "intersect", label: "Merge the rows that both have" },
};

/** Kinds that are many things: what the error itself says to do comes first. */
export const GENERAL: ReadonlySet<ErrorKind> = new Set(["not-implemented", "unknown-field", "tied-head", "ambiguous-part", "no-weights"]);

/** What an error's facts, or what was chosen, tell beyond its code. */
export function clueTo(error: LorafoldError, inputs: readonly Picked[]): Advice | undefined {
  const { kind, fix, field } = error.facts;
  const option = optionNamed(fix);
  if (option && BY_OPTION[option]) return BY_OPTION[option];
  if (fix?.includes("vocabulary:")) return VOCABULARIES;
  if (error.code === "bad-option" && kind === undefined && field !== undefined && Object.hasOwn(BY_FIELD, field)) return BY_FIELD[field];
  if (kind === undefined) return undefined;
  return BY_KIND[kind] ?? refusedByServer(error) ?? (kind === "no-weights" ? foreignFormat(inputs) : undefined);
}

function refusedByServer({ code, facts: { kind, file = "" } }: LorafoldError): Advice | undefined {
  if (code !== "fetch-failed" || !/^https?:/.test(file)) return undefined;
  if (kind === "access-denied" && isOnHub(file)) {
    return {
      title: "The hub does not let everybody read this",
      todo: "Give a token of an account that has access under “Access to the hub”; where you gave one, check that it is whole, neither expired nor revoked, and may read this model.",
      offer: { act: "token", label: "Give a token" },
    };
  }
  if (kind === "access-denied") {
    return {
      title: "The server does not let everybody read this",
      todo: "It is private, or asks for terms to be accepted first, and this page sends a token to the hub alone. If the address is right, download the files with an account that has access, and choose them here.",
    };
  }
  return kind === "not-found" ? { title: "Nothing is at this address", todo: "Check the address: the server has no such file." } : undefined;
}

function isOnHub(file: string): boolean {
  try {
    return onHub(file) !== undefined;
  } catch {
    // Of the hub, and no model.
    return true;
  }
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
