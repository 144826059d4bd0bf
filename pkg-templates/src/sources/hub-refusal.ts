import { fileError, type LorafoldError } from "../errors.js";
import type { ErrorKind } from "../schema.js";
import { address } from "./address.js";

/** What is to be done where the hub wants to know who reads. */
const GIVE_TOKEN = "give a token of an account that has access: HF_TOKEN or --token-env on the command line, the option hub: { token } in JavaScript";

/** What the hub's own codes (`X-Error-Code`) mean. */
const MEANINGS: Record<string, (repository: string, known: boolean) => { kind: ErrorKind; reason: string; fix: string }> = {
  GatedRepo: (repository, known) => ({
    kind: "gated-repository",
    reason: `${repository} is gated: its owner asks readers to accept terms first`,
    fix: known ? "accept them on the model's page, with the account that the token is of; where the owner decides, wait for the answer" : `accept them on the model's page, then ${GIVE_TOKEN}`,
  }),
  RepoNotFound: (repository, known) => ({
    kind: "no-repository",
    reason: known ? `there is no repository ${repository}, or the token's account may not see it` : `there is no repository ${repository}, or it is private`,
    fix: known ? "check the name, and what the token may read" : `check the name; for a private one, ${GIVE_TOKEN}`,
  }),
  RevisionNotFound: (repository) => ({
    kind: "no-revision",
    reason: `${repository} has no such branch, tag or commit`,
    fix: "check the revision; a slash in its name is written %2F where a folder may follow",
  }),
  EntryNotFound: (repository) => ({ kind: "not-found", reason: `${repository} has no such file or folder in this revision`, fix: "check the path and the revision" }),
};

/**
 * What a refusal of the hub means, and what to do about it. `known`: whether the request had a token.
 *
 * The codes are those that its own client knows (`hf_raise_for_status` of huggingface_hub).
 */
export function hubRefusal(url: string, { status, statusText, headers }: Response, repository: string, known: boolean): LorafoldError {
  const found = [`${status} ${statusText}`.trim(), headers.get("x-error-code")].filter(Boolean).join(" ");
  const about = { found };
  const meaning = MEANINGS[headers.get("x-error-code") ?? ""]?.(repository, known) ?? byStatus(status, repository, known);
  if (meaning) return fileError("fetch-failed", address(url), `${meaning.reason} (the hub answered ${found})`, { ...about, kind: meaning.kind, fix: meaning.fix });
  return fileError("fetch-failed", address(url), `the hub answered ${found}`, about);
}

function byStatus(status: number, repository: string, known: boolean): { kind: ErrorKind; reason: string; fix: string } | undefined {
  if (status === 401) {
    return known
      ? { kind: "access-denied", reason: "the hub does not take the token", fix: "check that it is whole, and neither expired nor revoked" }
      : { kind: "access-denied", reason: `the hub shows ${repository} only to those who give a token`, fix: GIVE_TOKEN };
  }
  if (status === 403) {
    return { kind: "access-denied", reason: `the hub does not let ${known ? "the token's account" : "everybody"} do this with ${repository}`, fix: known ? "check what the token may do: it may be for reading alone, or for other repositories" : GIVE_TOKEN };
  }
  if (status === 404 || status === 410) return { kind: "not-found", reason: `${repository} has nothing there`, fix: "check the name, the revision and the path" };
  return undefined;
}
