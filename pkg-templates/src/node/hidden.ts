import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { thrown } from "../errors.js";

/** The longest name, in bytes, of which a hidden name holds all: the names of files have at most 255. */
const LONGEST = 200;

/** A file that is not finished is hidden, and no tool takes it for weights. The parts of a model share theirs; every other merge has a token. */
export function partial(name: string, token?: string): string {
  const short = Buffer.byteLength(name) <= LONGEST ? name : createHash("sha256").update(name).digest("hex");
  return token === undefined ? `.${short}.partial` : `.${short}.${token}.partial`;
}

/** What the system does not have does not tell machines apart. */
function known(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}

/** Numbers of processes mean nothing on another machine, or in another container of this one. */
const MACHINE = createHash("sha256")
  .update([hostname(), known(() => readFileSync("/etc/machine-id", "utf8")), known(() => readlinkSync("/proc/self/ns/pid"))].join("\n"))
  .digest("hex")
  .slice(0, 8);

/** A token that no other merge has, and that says which process it is of. */
export const newToken = (): string => `${MACHINE}-${process.pid}-${randomBytes(4).toString("hex")}`;

const TOKEN = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}$/;

/** The name that a hidden file of a merge was to get, or the hash of a long one, and the token of the merge; of any other file nothing. */
export function parsePartial(name: string): { name: string; token: string } | undefined {
  const [, final, token] = /^\.(.+)\.([^.]+)\.partial$/s.exec(name) ?? [];
  return final !== undefined && token !== undefined && TOKEN.test(token) ? { name: final, token } : undefined;
}

/** Whether the process that a token is of has surely ended. */
export function hasEnded(token: string): boolean {
  const [, machine, id] = TOKEN.exec(token) ?? [];
  if (machine !== MACHINE) return false;
  try {
    process.kill(Number(id), 0);
    return false;
  } catch (error) {
    return thrown(error).code === "ESRCH";
  }
}
