import { type ErrorCode, LorafoldError } from "lorafold";
import { clueTo } from "./clues.js";
import type { Picked } from "./picked.js";

/** A button that would let the merge go on: it ticks an option, or does something else. */
export type Offer = { label: string } & ({ option: "allowUnmatched" | "allowUnmerged" | "allowNonfinite" } | { act: "swap" | "token" | "intersect" });

/** What to tell the user about an error. */
export interface Advice {
  /** What went wrong, in a few words. */
  title: string;
  /** What to do about it. */
  todo: string;
  offer?: Offer;
  /** The same may succeed another time. */
  passing?: boolean;
}

const UNEXPECTED: Advice = {
  title: "Something unexpected went wrong",
  todo: "This is probably a mistake in lorafold. Reload the page and try again; if it happens again, please report it: “Report a problem” is at the end of the page.",
};

const ADVICE: Record<ErrorCode, Advice> = {
  "bad-header": {
    title: "Not a model that can be read",
    todo: "Check that this is the right file or folder. If it came from a download, download it again: it may be damaged or incomplete.",
  },
  truncated: {
    title: "A file ends too early",
    todo: "It was probably not downloaded to its end. Download it again.",
  },
  "bad-config": {
    title: "A configuration file cannot be read",
    todo: "Open the file and correct it, or take the original from where the model or adapter came from.",
  },
  "wrong-input": {
    title: "This is not what it was chosen as",
    todo: "Check that this is the right file or folder, and that it is a base or an adapter in safetensors.",
  },
  "unmatched-key": {
    title: "Part of an adapter fits nothing in this base",
    todo: "Most often the base is another model than the adapter was trained on: choose that one. If the part is not needed, it can be left out.",
    offer: { option: "allowUnmatched", label: "Leave out what does not match" },
  },
  "shape-mismatch": {
    title: "Shapes do not fit",
    todo: "The base is probably of another size than the model the adapter was trained on: choose that one.",
  },
  "missing-pair": {
    title: "Half of an adapter’s pair is missing",
    todo: "The adapter file is incomplete. Download it again, or save it again with PEFT.",
  },
  unsupported: {
    title: "This cannot be merged yet",
    todo: "Nothing was skipped silently: merging it as if it were plain LoRA would give a wrong model.",
  },
  "non-finite": {
    title: "A value is infinite or not a number",
    todo: "Try a smaller weight, or float32 or bfloat16 as the number type, which hold larger values.",
    offer: { option: "allowNonfinite", label: "Allow such values" },
  },
  "source-changed": {
    title: "A file changed while it was being read",
    todo: "Choose its folder again; leave the files alone while they are merged.",
  },
  "base-mismatch": {
    title: "This is another base",
    todo: "Its hash is not the one that was asked for: choose the base with that hash.",
  },
  "fetch-failed": {
    title: "A file could not be read",
    todo: "For an address: check it, and that its server lets other pages read it (CORS). For a file: check that it is still there, and choose it again.",
    passing: true,
  },
  "no-range-support": {
    title: "The server cannot send parts of files",
    todo: "Download the files first, and choose them here.",
  },
  "write-failed": {
    title: "The merged model could not be written",
    todo: "Check that its folder is still there and may be written to, and choose it again; or choose another place.",
    passing: true,
  },
  "out-of-space": {
    title: "There is no room for the output",
    todo: "Free some space, or choose another place for the merged model.",
  },
  aborted: { title: "Stopped", todo: "Nothing was kept." },
  "limit-exceeded": {
    title: "Too large",
    todo: "A limit protects this tab’s memory. If the file is not damaged, close other tabs and try again.",
  },
  "bad-option": { title: "An option cannot be used", todo: "Change it under “Options”, or where the merged model goes." },
  internal: UNEXPECTED,
};

/** A factor of an adapter that is no number: nothing allows that. */
const BROKEN_FACTOR: Advice = {
  title: "An adapter has a value that is infinite or not a number",
  todo: "Its training failed, or the file is damaged. Download it again, or use another adapter. If its weight or alpha is very large, try a smaller one.",
};

/** What to tell the user about an error, given what was chosen. */
export function adviceFor(error: unknown, inputs: readonly Picked[]): Advice {
  if (!(error instanceof LorafoldError)) return UNEXPECTED;
  if (error.code === "non-finite" && error.facts.adapter !== undefined) return BROKEN_FACTOR;
  const advice = ADVICE[error.code] ?? UNEXPECTED;
  // A clue says better what went wrong; whether it may pass is the code's to say.
  return { ...advice, ...clueTo(error, inputs) };
}
