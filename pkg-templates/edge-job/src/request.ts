import { type OpenOptions, r2Source, type SourceLike } from "lorafold/edge";
import type { Env } from "./env.js";
import { Refusal } from "./refusal.js";

/** What a client asks for, as it stands in the job's state. */
export interface JobRequest {
  /** `r2:path/to/folder` in the bucket, or a URL. */
  base: string;
  adapters: { source: string; weight?: number; alpha?: number; name?: string; adapter?: string; residualBase?: boolean; outProj?: "twice" | "once" }[];
  /** The folder of the bucket that the merged model is for. */
  out: string;
  dtype?: string;
  only?: string;
  skip?: string;
  maxShardSize?: number;
  allowUnmatched?: boolean;
  allowUnmerged?: boolean;
  allowNonfinite?: boolean;
  /** Replace a model that is already there. */
  force?: boolean;
}

const FIELDS: Record<keyof JobRequest, string> = {
  base: "string", adapters: "object", out: "string", dtype: "string", only: "string", skip: "string", maxShardSize: "number",
  allowUnmatched: "boolean", allowUnmerged: "boolean", allowNonfinite: "boolean", force: "boolean",
};
const ADAPTER_FIELDS: Record<string, string> = { source: "string", weight: "number", alpha: "number", name: "string", adapter: "string", residualBase: "boolean", outProj: "string" };

/** What no key of a bucket may have: NUL, and halves of characters, which have no bytes in UTF-8. */
const NO_KEY = /[\0\p{Surrogate}]/u;

/** Read a request; what lorafold itself checks (types, patterns, numbers) is left to it. */
export function parseRequest(given: unknown, { JOBS_PREFIX = ".lorafold-jobs" }: Env): JobRequest {
  const request = fieldsOf(given, FIELDS, "the request");
  for (const name of ["base", "adapters", "out"]) if (!(name in request)) throw bad(`${name}: not given`);
  if (!Array.isArray(request.adapters)) throw bad("adapters: not an array");
  const adapters = request.adapters.map((adapter: unknown, number) => {
    if (typeof adapter === "string") return { source: adapter };
    const fields = fieldsOf(adapter, ADAPTER_FIELDS, `adapter ${number + 1}`);
    if (!("source" in fields)) throw bad(`adapter ${number + 1}: source: not given`);
    return fields as unknown as JobRequest["adapters"][number];
  });
  const out = folder(request.out as string);
  const parts = out.split("/");
  // How long it may be depends on the names of the files: see output.ts.
  const isName = parts.every((part) => part !== "" && part !== "." && part !== "..") && !NO_KEY.test(out);
  if (!isName) throw bad(`out: ${JSON.stringify(out)} is no folder of a bucket`);
  if (`${out}/`.startsWith(`${JOBS_PREFIX}/`)) throw bad(`out: ${JOBS_PREFIX} is where jobs keep their state`);
  const sources = [request.base as string, ...adapters.map(({ source }) => source)];
  for (const source of sources) {
    if (!/^(r2:|https?:|hf:)/.test(source)) throw bad(`${source}: neither r2:… nor a URL`);
    if (source.startsWith("r2:") && folder(source.slice(3)) === out) throw bad(`out: ${out} is a source of the merge`);
  }
  return { ...request, adapters, out } as JobRequest;
}

/** What {@link openMerged} takes. */
export function openOptions({ base, adapters, out: _, force: __, ...options }: JobRequest, { BUCKET }: Env): OpenOptions {
  const sourceOf = (text: string): SourceLike => (text.startsWith("r2:") ? r2Source(BUCKET, folder(text.slice(3))) : text);
  const named = adapters.map(({ source, ...rest }) => ({ name: source.split("/").filter(Boolean).at(-1)!, ...rest, source: sourceOf(source) }));
  return { ...(options as Partial<OpenOptions>), base: sourceOf(base), adapters: named };
}

const folder = (path: string) => path.replace(/\/+$/, "");

const bad = (message: string) => new Refusal(400, "bad-option", message);

function fieldsOf(given: unknown, fields: Record<string, string>, what: string): Record<string, unknown> {
  if (typeof given !== "object" || given === null || Array.isArray(given)) throw bad(`${what}: not an object`);
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(fields, name)) throw bad(`${what}: ${name} is not known`);
    if (typeof value !== fields[name] || value === null) throw bad(`${what}: ${name} is not a ${fields[name]}`);
  }
  return given as Record<string, unknown>;
}
