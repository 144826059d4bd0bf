import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { optionError, thrown } from "../errors.js";

/** What is set, and not empty. */
const set = (name: string): string | undefined => process.env[name]?.trim() || undefined;

/** The hub that the user has set in place of the usual one: `HF_ENDPOINT`. */
export function userEndpoint(): string | undefined {
  const endpoint = set("HF_ENDPOINT");
  if (endpoint === undefined || /^https?:\/\/[^/?#@\s]+(\/[^?#\s]*)?$/i.test(endpoint)) return endpoint;
  throw optionError("HF_ENDPOINT", "this environment variable is not the address of a hub", { expected: "https://…" });
}

/**
 * The token that the user has for the hub, where its own client (`get_token` of huggingface_hub) looks for it: `HF_TOKEN`, then the file that its command
 * line writes at a login. Nothing where `HF_HUB_DISABLE_IMPLICIT_TOKEN` forbids it.
 */
export async function userToken(): Promise<string | undefined> {
  if (/^(1|on|yes|true)$/i.test(set("HF_HUB_DISABLE_IMPLICIT_TOKEN") ?? "")) return undefined;
  const token = set("HF_TOKEN") ?? set("HUGGING_FACE_HUB_TOKEN");
  if (token !== undefined) return token;
  const home = set("HF_HOME") ?? join(set("XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface");
  try {
    return (await readFile(set("HF_TOKEN_PATH") ?? join(home, "token"), "utf8")).trim() || undefined;
  } catch (error) {
    // Most people have none. One that cannot be read is theirs all the same, but models that everybody may read need none.
    if (typeof thrown(error).code === "string") return undefined;
    throw error;
  }
}
