import { randomBytes } from "node:crypto";

/** What a terminal obeys or does not show, and what turns the direction of text; not line feeds and tabs. */
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** Names and messages may hold what a stranger wrote. Escaped like this it is seen, and in a JSON document it means the same. */
export const printable = (text: string): string => text.replace(CONTROLS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** No file that is read can say this, and so command the terminal. */
const OURS = `\0${randomBytes(8).toString("hex")}`;

/** Begins a control sequence of ours, in what is written to a guarded stream. */
export const CSI = `${OURS}[`;

/** Goes back to the beginning of a terminal's line and erases it. */
export const ERASE = `${OURS}E`;

/** What is written for a text: our own sequences as they are, everything else printable. */
export function guarded(text: string): string {
  const [first = "", ...others] = text.split(OURS);
  return printable(first) + others.map((part) => (part.startsWith("E") ? `\r\x1b[K${printable(part.slice(1))}` : `\x1b${printable(part)}`)).join("");
}

/** Make all text printable that this process writes to a stream, whoever writes it. */
export function guard(stream: NodeJS.WritableStream): void {
  const write = stream.write.bind(stream) as (chunk: unknown, ...rest: unknown[]) => boolean;
  stream.write = (chunk: unknown, ...rest: unknown[]) => write(typeof chunk === "string" ? guarded(chunk) : chunk, ...rest);
}
