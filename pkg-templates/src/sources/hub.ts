import { LorafoldError } from "../errors.js";
import type { Input, Listing, Role } from "./listing.js";
import { inFlight, MOST_IN_FLIGHT, readAll } from "./request.js";
import { probe } from "./url.js";

/** Where `hf://` points. A property, so that a mirror can be put in its place. */
export const hub = { endpoint: "https://huggingface.co" };

/** `hf://org/name@revision`, taken apart; revisions may have slashes (`refs/pr/1`). */
const REPOSITORY = /^hf:\/\/([^/@]+\/[^/@]+)(?:@(.+?))?\/?$/;

/** List a repository of the hub: every file at its top level. */
export async function listHub(url: string, role: Role, init: RequestInit = {}): Promise<Listing> {
  const [, repository, revision = "main"] = REPOSITORY.exec(url) ?? [];
  if (!repository) throw new LorafoldError("bad-option", `${url}: not of the form hf://org/name@revision`);
  const tree = `${hub.endpoint}/api/models/${repository}/tree/${encodeURIComponent(revision)}`;
  const entries = await readAll(tree, (response) => response.json() as Promise<{ type: string; path: string; size: number }[]>, init);
  const names = entries.filter((entry) => entry.type === "file" && wanted(entry.path, role)).map((entry) => entry.path);
  const file = (name: string) =>
    probe(`${hub.endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${encodeURIComponent(name)}`, name, role, init);
  const files = (await inFlight(names, MOST_IN_FLIGHT, file)).filter((input): input is Input => input !== undefined);
  const folders = entries.filter((entry) => entry.type === "directory").map((entry) => entry.path);
  return { name: repository, files, folders };
}

/** Not the same weights again in other formats, and of an adapter only what makes it one. */
function wanted(path: string, role: Role): boolean {
  if (role === "adapter") return path === "adapter_config.json" || path.endsWith(".safetensors");
  return !/\.(bin|pt|pth|ckpt|h5|msgpack|onnx|gguf)$/.test(path) && !path.startsWith(".");
}
