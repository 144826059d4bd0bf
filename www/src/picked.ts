import type { SourceLike } from "lorafold";
import type { Repository } from "lorafold/hub";
import { hubAddress, onHub } from "./hub-access.js";
import { bytes, counted } from "./format.js";

/** A base or an adapter as the user chose it. */
export interface Picked {
  name: string;
  source: SourceLike;
  /** What others can find it by, where they can. */
  address?: string;
  /** The place on the hub, where it is there. */
  repository?: Repository;
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

/** What an address points to, or what is wrong with it, in words. Of the hub it may be a name, or the address of a page. */
export function pickUrl(text: string): Picked | string {
  const trimmed = text.trim();
  try {
    const place = onHub(trimmed);
    if (place) return pickRepository(place);
  } catch (error) {
    return `${capital((error as Error).message)}.`;
  }
  const wrong = whatIsWrong(trimmed);
  if (wrong !== undefined) return wrong;
  const path = trimmed.replace(/[?#].*$/, "").replace(/\/+$/, "");
  const last = path.split("/").at(-1)!;
  // What follows a ? is often a signature, which is nobody else's business.
  const address = /[?#]/.test(trimmed) ? {} : { address: trimmed };
  return { name: withoutEnding(last), source: trimmed, ...address, files: [], names: [last], detail: trimmed, looksLikeAdapter: /adapter|lora/i.test(last) };
}

/** A model of the hub. */
function pickRepository(place: Repository): Picked {
  const address = hubAddress(place);
  const last = place.file ?? (place.folder || place.name).split("/").at(-1)!;
  return { name: withoutEnding(last), source: address, address, repository: place, files: [], names: [last], detail: address, looksLikeAdapter: /adapter|lora/i.test(last) };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function whatIsWrong(url: string): string | undefined {
  if (!/^https?:\/\//i.test(url)) return "That is no address: organisation/name or hf://organisation/name@revision of the hub, or https://… of a file or folder.";
  // Some browsers parse a name of a server with spaces in it.
  if (!/^https?:\/\/[^/?#\s]+([/?#]|$)/i.test(url) || !URL.canParse(url)) return "That address is misspelt: after https:// comes the name of a server, such as example.org, then the path.";
  // What browsers parse they leave out of the address.
  if (/[\r\n\t]/.test(url)) return "That is more than one line: give one address at a time.";
  const { username, password, pathname } = new URL(url);
  if (username || password) return "That address has a user name or password in it, which browsers do not send. Download the files, and choose them here.";
  return /%(?![\da-f]{2})/i.test(pathname) ? "That address has a % that is not followed by two hexadecimal digits: write %25 for a % itself." : undefined;
}
