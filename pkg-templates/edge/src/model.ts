import { type MergedModel, openMerged, type OpenOptions, r2Source, type SourceLike } from "lorafold/edge";
import type { Env } from "./env.js";

/**
 * The models that this isolate has opened: headers, plan and packed factors. Never a promise: in workerd one request must not wait for what
 * another one reads.
 */
const opened = new Map<string, MergedModel>();

const keyOf = ({ BASE, ADAPTERS, DTYPE }: Env) => JSON.stringify([BASE, ADAPTERS, DTYPE]);

/** The merged model, opened by the first request that an isolate has, and anew by the first one after a read has found another state of the base. */
export async function mergedModel(env: Env): Promise<MergedModel> {
  const key = keyOf(env);
  const known = opened.get(key);
  if (known && !known.changed) return known;
  if (known) {
    opened.delete(key);
    // Those who still read it are told that the base has changed, each by its own read.
    known.release();
  }
  const adapters = (JSON.parse(env.ADAPTERS) as { source: string; weight?: number }[]).map(({ source, ...rest }) => ({ source: sourceOf(source, env), ...rest }));
  const model = await openMerged({ base: sourceOf(env.BASE, env), adapters, dtype: (env.DTYPE ?? "keep") as NonNullable<OpenOptions["dtype"]> });
  // Two that came at once have opened it twice: one of them is kept.
  const first = opened.get(key);
  if (first) {
    model.close();
    return first;
  }
  opened.set(key, model);
  return model;
}

function sourceOf(text: string, { BUCKET, BASE, BASE_TOKEN }: Env): SourceLike {
  if (!text.startsWith("r2:")) {
    // The token is for the server of the base; adapters of others must not learn it.
    return BASE_TOKEN && serverOf(text) === serverOf(BASE) ? { url: text, headers: { authorization: `Bearer ${BASE_TOKEN}` } } : text;
  }
  if (!BUCKET) throw new Error(`${text}: no bucket is bound as BUCKET`);
  return r2Source(BUCKET, text.slice(3));
}

const serverOf = (text: string): string => (text.startsWith("hf://") ? "hf" : new URL(text).origin);
