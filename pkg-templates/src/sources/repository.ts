import { fileError, type LorafoldError } from "../errors.js";
import { isHubPage, isMirrorPage, isOnHub, PAGE } from "./on-hub.js";

/** A place on the hub, as addresses name it. */
export interface Repository {
  /** `org/name` */
  name: string;
  /** A branch, a tag or a commit; the main branch where none is named. */
  revision?: string;
  /** A folder of it, without slashes at its ends; empty for the whole. */
  folder: string;
  /** A file in that folder, where the address is that of a file. */
  file?: string;
}

/** What the hub has besides models, by the first part of its addresses. */
const OTHER_KINDS: Record<string, string> = { datasets: "a data set", spaces: "a space", buckets: "a bucket", kernels: "a kernel", collections: "a collection", papers: "a paper" };
/** Other pages of the hub. */
const PAGES = new Set(["docs", "blog", "learn", "tasks", "posts", "join", "login", "settings", "pricing", "organizations", "new", "chat", "search"]);

/** Parts of a page's address behind which a revision stands, then a path. */
const BEFORE_REVISION = new Set(["tree", "blob", "resolve", "raw", "blame", "edit", "commit", "commits", "revision"]);
/** Of these the path is that of a file. */
const BEFORE_FILE = new Set(["blob", "resolve", "raw", "blame", "edit"]);
/** Parts that are about the repository as a whole. */
const ABOUT = new Set(["discussions", "settings", "community"]);

/** What is expected, for errors. */
const FORM = "hf://org/name@revision, hf://org/name/folder or the address of the model's page";

/**
 * Read an address of the hub: `hf://org/name`, `hf://org/name@revision`, `hf://org/name/folder@revision`, `hf://org/name@revision/folder`, `org/name`, and the
 * addresses of its pages (`/tree/…`, `/blob/…`, `/resolve/…`, `/discussions`) with or without `https://`. `undefined` for what is no address of the hub. In a
 * revision before a folder, a slash is written %2F (but for `refs/pr/1`).
 *
 * @param endpoint the hub, or a mirror of it, without a slash at the end
 * @throws {LorafoldError} `bad-option` for an address of the hub that names no model.
 */
export function parseRepository(text: string, endpoint: string): Repository | undefined {
  const trimmed = text.trim();
  if (!isOnHub(trimmed, endpoint)) return undefined;
  // What follows may be anything, a token too: it is neither used nor repeated.
  const address = trimmed.replace(/[?#].*/s, "");
  const uri = /^hf:\/\/(.*)$/is.exec(address)?.[1];
  if (uri === undefined) {
    const path = isMirrorPage(address, endpoint) ? address.slice(endpoint.length) : isHubPage(address) ? address.replace(PAGE, "") : undefined;
    if (path !== undefined) {
      if (/^(?:https?:\/\/)?[^/]*@/i.test(address)) throw wrong("the address", "there is a user name or a password in it", "take it out; a token is given by HF_TOKEN, --token-env or the option hub");
      return ofPage(address, parts(address, path));
    }
  }
  return ofUri(address, uri ?? address);
}

/** `org/name/folder@revision`, or `org/name@revision/folder`. */
function ofUri(address: string, uri: string): Repository {
  const [before = "", ...rest] = uri.replace(/\/+$/, "").split("@");
  if (rest.length > 1) throw wrong(address, "there is more than one @ in it", "in a name, write %40 for it");
  const [name, path] = named(address, parts(address, before));
  const behind = rest[0];
  if (behind === undefined) return place(address, name, undefined, path, isFile(path));
  if (behind === "") throw wrong(address, "there is no revision behind the @");
  // Behind a folder, everything is the revision.
  if (path.length > 0) return place(address, name, decoded(address, behind), path, isFile(path));
  const [revision, folder] = ofRevision(parts(address, behind));
  return place(address, name, revision, folder, isFile(folder));
}

/** The address of a page. */
function ofPage(address: string, all: string[]): Repository {
  const [name, [verb, ...rest]] = named(address, all);
  if (verb === undefined || ABOUT.has(verb)) return place(address, name, undefined, [], false);
  if (!BEFORE_REVISION.has(verb)) throw wrong(address, "this is not the page of a model");
  const [revision, path] = ofRevision(rest);
  return place(address, name, revision, path, BEFORE_FILE.has(verb) && path.length > 0);
}

/** The repository's name, and the parts behind it. */
function named(address: string, all: string[]): [string, string[]] {
  let rest = all[0] === "api" ? all.slice(1) : all;
  if (rest[0] === "models") rest = rest.slice(1);
  const [owner, name, ...path] = rest;
  const kind = OTHER_KINDS[owner ?? ""];
  if (kind !== undefined) throw wrong(address, `this is ${kind}, not a model`);
  if (owner === undefined || name === undefined || PAGES.has(owner)) throw wrong(address, "this names no model: a model is OWNER/NAME");
  const bare = name.replace(/\.git$/, "");
  if (![owner, bare].every((part) => /^[\w.-]+$/.test(part))) throw wrong(address, "names on the hub have only letters, digits, - _ and .");
  return [`${owner}/${bare}`, path];
}

/** A revision and what follows it. Of those with slashes, only the hub's own are told from folders. */
function ofRevision(all: string[]): [string | undefined, string[]] {
  const count = all[0] === "refs" && (all[1] === "pr" || all[1] === "convert") ? 3 : 1;
  return [all.length === 0 ? undefined : all.slice(0, count).join("/"), all.slice(count)];
}

/** Whether a path of which nothing else is known is that of a file. */
const isFile = (path: string[]) => /\.(safetensors|bin|json)$/i.test(path.at(-1) ?? "");

function place(address: string, name: string, revision: string | undefined, path: string[], ofFile: boolean): Repository {
  if (path.some((part) => part === "." || part === "..")) throw wrong(address, "a path there has no . and no ..");
  const [folder, file] = ofFile ? [path.slice(0, -1), path.at(-1)] : [path, undefined];
  return { name, folder: folder.join("/"), ...(revision !== undefined && { revision }), ...(file !== undefined && { file }) };
}

const parts = (address: string, path: string) => path.split("/").filter(Boolean).map((part) => decoded(address, part));

function decoded(address: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw wrong(address, "there is a % in it that is not followed by two hexadecimal digits", "write %25 for a % itself");
  }
}

function wrong(address: string, reason: string, fix?: string): LorafoldError {
  return fileError("bad-option", address, reason, { expected: FORM, fix: fix ?? `give ${FORM}` });
}
