import type { HubOptions } from "lorafold";
import { parseHubAddress, type Repository } from "lorafold/hub";

/** A mirror of the hub, where the page was built for one. */
const ENDPOINT: string | undefined = import.meta.env.HF_ENDPOINT || undefined;
const endpoint = ENDPOINT === undefined ? {} : { endpoint: ENDPOINT };

/** Where the token is kept: until the tab is closed, and for no other tab. */
const KEY = "lorafold-hub-token";

/** The same object until the token changes: whoever compares options sees whether they are others. */
let options: HubOptions = readOptions();

/** Which hub is asked, and as whom. */
export function hubOptions(): HubOptions {
  return options;
}

/** The token that the user has given to this tab. */
export function hubToken(): string {
  return typeof options.token === "string" ? options.token : "";
}

/** Use this token from now on; none where it is empty. */
export function setHubToken(token: string): void {
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Where pages may keep nothing, it is gone when the page is loaded again.
  }
  options = { ...endpoint, ...(token && { token }) };
}

function readOptions(): HubOptions {
  let token: string | null = null;
  try {
    token = sessionStorage.getItem(KEY);
  } catch {
    // As above.
  }
  return { ...endpoint, ...(token && { token }) };
}

/**
 * Read an address of the hub, in any of the ways in which people write them; `undefined` for what is none.
 *
 * @throws {LorafoldError} for an address of the hub that names no model.
 */
export function onHub(text: string): Repository | undefined {
  return parseHubAddress(text, endpoint);
}

/** A place on the hub as one address: `hf://org/name/folder@revision`. */
export function hubAddress({ name, revision, folder, file }: Repository): string {
  return `hf://${joined(name, folder, file)}${revision === undefined ? "" : `@${encodeURIComponent(revision)}`}`;
}

/** Where a file of the hub can be fetched. */
export function hubFile({ name, revision = "main", folder, file }: Repository): string {
  return `${hubPage(name)}/resolve/${encodeURIComponent(revision)}/${joined(folder, file)}`;
}

/** The page of a model of the hub. */
export function hubPage(name: string): string {
  return `${ENDPOINT ?? "https://huggingface.co"}/${name}`;
}

function joined(...parts: (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== "").flatMap((part) => part!.split("/")).map(encodeURIComponent).join("/");
}
