import type { Advice } from "./advice.js";
import type { Picked } from "./picked.js";

/** Advice that is truer than that of the error's code alone. */
type Clue = (message: string, inputs: readonly Picked[]) => Advice | undefined;

/** When the message says this, the advice is that. */
function says(pattern: RegExp, advice: Advice): Clue {
  return (message) => (pattern.test(message) ? advice : undefined);
}

const CLUES: readonly Clue[] = [
  says(/shard.* not there/, {
    title: "Files of the model are missing",
    todo: "A model in several files needs all of them: choose its folder, or all its files at once. Of an address, give that of the folder.",
  }),
  says(/is an adapter, not a base/, {
    title: "This is an adapter, not a base",
    todo: "Choose the model that it was trained on as the base, and add this one under “Adapters”. If each is in the other’s place, swap them.",
  }),
  says(/is a base model, not an adapter/, {
    title: "This is a base, not an adapter",
    todo: "Remove it, and choose it as the base model. If each is in the other’s place, swap them.",
  }),
  says(/adapter_config\.json: not there/, {
    title: "The adapter’s configuration is missing",
    todo: "Choose the adapter’s folder, or its adapter_config.json and its weights at once. If there is none, type its lora_alpha under “Alpha”.",
  }),
  says(/the server answered 40[13]\b/, {
    title: "The server does not let everybody read this",
    todo: "It is private, or asks for terms to be accepted first, and this page takes no access token. If the address is right, download the files with an account that has access, and choose them here.",
  }),
  webPage,
  foreignFormat,
];

/** What the message, or what was chosen, tells about an error beyond its code. */
export function clueTo(message: string, inputs: readonly Picked[]): Advice | undefined {
  for (const clue of CLUES) {
    const advice = clue(message, inputs);
    if (advice) return advice;
  }
  return undefined;
}

/** A header's length that reads "<!DOCTYP", or JSON from an address that does not begin like any. */
function webPage(message: string, inputs: readonly Picked[]): Advice | undefined {
  const length = /the header claims (\d+) bytes/.exec(message)?.[1];
  const start = length === undefined ? "" : beginningOf(BigInt(length));
  const byAddress = inputs.some(({ source }) => typeof source === "string");
  if (!/^\s*<[!?a-z]/i.test(start) && !(byAddress && message.includes("expected value at line 1 column 1"))) return undefined;
  return {
    title: "This is a web page, not a model’s file",
    todo: "The address, or the one that the file was downloaded from, answers with a page to be read: one that says that nothing is there, perhaps, or that asks to log in. Find the address of the file itself.",
  };
}

/** The eight bytes that were read as a length. */
function beginningOf(length: bigint): string {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, length, true);
  return new TextDecoder("latin1").decode(bytes);
}

const SAFETENSORS = "lorafold reads safetensors.";

/** What models come in besides. */
const FORMATS: readonly { ending: RegExp; name: string; todo: string }[] = [
  { ending: /\.gguf$/i, name: "GGUF", todo: `${SAFETENSORS} Take the model in that format, from which the GGUF file was made, and convert the merged one.` },
  { ending: /\.(bin|pt|pth|ckpt|pkl)$/i, name: "PyTorch’s own format", todo: `${SAFETENSORS} Take the model’s .safetensors files, or save it again as such: with transformers, save_pretrained does.` },
  { ending: /\.(zip|tar|t?gz|tar\.\w+|7z|rar|zst)$/i, name: "a packed archive", todo: `${SAFETENSORS} Unpack it, and choose the folder that its .safetensors files are in.` },
  { ending: /\.(onnx|h5|msgpack|tflite|npz)$/i, name: "another format", todo: `${SAFETENSORS} Take the model in that format.` },
];

function foreignFormat(message: string, inputs: readonly Picked[]): Advice | undefined {
  if (!/no (\S+)?\.safetensors/.test(message)) return undefined;
  const others = inputs.map(({ names }) => names).filter((names) => !names.some((name) => name.endsWith(".safetensors")));
  for (const { ending, name, todo } of FORMATS) {
    const file = others.flat().find((one) => ending.test(one));
    if (file !== undefined) return { title: `${file} is ${name}`, todo };
  }
  if (others.length === 0) return undefined;
  return { title: "There is no model’s file here", todo: `${SAFETENSORS} Choose the folder that holds the .safetensors files, or give its address.` };
}
