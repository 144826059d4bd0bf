import type { SourceLike } from "lorafold";
import { bytes, counted } from "./format.js";

/** A base or an adapter as the user chose it. */
export interface Picked {
  name: string;
  source: SourceLike;
  /** Those of its files that lie on the user's disk, where they may change. */
  files: readonly File[];
  /** What its files are called; of an address, its last part. */
  names: readonly string[];
  /** What it is, in a few words. */
  detail: string;
  /** Judged by its file names. */
  looksLikeAdapter: boolean;
}

/** What macOS leaves in folders: nobody's files. Other hidden ones are the model's, and copied with it. */
const LEFT_BY_SYSTEM = /^(\.DS_Store|\.localized|\._.*)$/;

/** What weight files end in. */
const ENDING = /\.(safetensors|bin)$/;
const isWeights = (name: string) => ENDING.test(name);
const withoutEnding = (name: string) => name.replace(ENDING, "");

/** A folder's files, or some files, as one thing. `undefined` when there are none. */
export function pickFiles(files: readonly File[]): Picked | undefined {
  const theirs = files.filter((file) => !LEFT_BY_SYSTEM.test(file.name));
  const direct = theirs.filter(isDirectlyInside);
  const first = direct[0];
  if (!first) return undefined;
  const names = direct.map((file) => file.name);
  const folder = first.webkitRelativePath.split("/")[0];
  const weights = names.filter(isWeights);
  const size = direct.reduce((sum, file) => sum + file.size, 0);
  return {
    name: folder || nameOf(weights.length > 0 ? weights : names),
    // Those in sub-folders too: the plan says that they are not copied.
    source: theirs,
    files: direct,
    names,
    detail: `${counted(direct.length, "file")}, ${bytes(size)}`,
    looksLikeAdapter: names.some((name) => name === "adapter_config.json" || name.startsWith("adapter_model")),
  };
}

function nameOf(files: readonly string[]): string {
  return files.length === 1 ? withoutEnding(files[0]!) : `${files.length} files`;
}

/** Of a picked folder the browser gives every file below it; models have theirs at the top. */
function isDirectlyInside(file: File): boolean {
  return file.webkitRelativePath.split("/").length <= 2;
}

/** The hub's page about a repository, or about a revision of it; what it has of other kinds is no model. */
const HUB_PAGE = /^https?:\/\/(?:www\.)?huggingface\.co\/((?!(?:datasets|spaces|docs|papers|collections|blog)\/)[\w.-]+\/[\w.-]+)(?:\/tree\/([\w./-]+?))?\/?$/i;

/** What an address points to, or what is wrong with it, in words. A repository's name alone, or its page, means the hub's. */
export function pickUrl(text: string): Picked | string {
  const trimmed = text.trim();
  const [, page, revision] = HUB_PAGE.exec(trimmed) ?? [];
  const named = page ? page + (revision ? `@${revision}` : "") : trimmed;
  const url = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/.test(named) ? `hf://${named}` : named;
  const wrong = whatIsWrong(url);
  if (wrong !== undefined) return wrong;
  const path = url.replace(/[?#].*$/, "").replace(/\/+$/, "");
  const last = path.split("/").at(-1)!;
  return {
    name: withoutEnding(last),
    source: url,
    files: [],
    names: [last],
    detail: url,
    looksLikeAdapter: /adapter|lora/i.test(last),
  };
}

function whatIsWrong(url: string): string | undefined {
  if (url.startsWith("hf://")) {
    const whole = /^hf:\/\/[^/@\s]+\/[^/@\s]+(@\S+)?\/?$/.test(url);
    return whole ? undefined : "A repository is hf://organisation/name, or hf://organisation/name@revision.";
  }
  if (!/^https?:\/\//i.test(url)) return "That is no address: https://… of a file or folder, or hf://organisation/name@revision.";
  // Some browsers parse a name of a server with spaces in it.
  if (!/^https?:\/\/[^/?#\s]+([/?#]|$)/i.test(url) || !URL.canParse(url)) return "That address is misspelt: after https:// comes the name of a server, such as example.org, then the path.";
  // What browsers parse they leave out of the address.
  if (/[\r\n\t]/.test(url)) return "That is more than one line: give one address at a time.";
  const { username, password, pathname } = new URL(url);
  if (username || password) return "That address has a user name or password in it, which browsers do not send. Download the files, and choose them here.";
  return /%(?![\da-f]{2})/i.test(pathname) ? "That address has a % that is not followed by two hexadecimal digits: write %25 for a % itself." : undefined;
}
