import { type MergedModel, openMerged, type OpenOptions, r2Source, type SourceLike } from "lorafold/edge";
import { adaptersOf } from "./adapters.js";
import { checkVariables, type Env } from "./env.js";
import { Opening } from "./opening.js";

/** The models that this isolate has opened: headers, plan and packed factors. */
const opened = new Map<string, MergedModel>();
const opening = new Opening<MergedModel>();

const keyOf = ({ BASE, ADAPTERS, DTYPE }: Env) => JSON.stringify([BASE, ADAPTERS, DTYPE]);

/** The merged model, opened by the first request that an isolate has, and anew by the first one after a read has found another state of the base. */
export function mergedModel(env: Env, signal: AbortSignal): Promise<MergedModel> {
  const key = keyOf(env);
  const found = () => {
    const known = opened.get(key);
    if (!known?.changed) return known;
    opened.delete(key);
    // Those who still read it are told that the base has changed, each by its own read.
    known.release();
    return undefined;
  };
  const open = async () => {
    const model = await openMerged({ ...options(env), signal });
    // Whoever counted as gone may have been slow: of two that have opened it one is kept.
    const first = found();
    if (first) {
      model.close();
      return first;
    }
    opened.set(key, model);
    return model;
  };
  return opening.once(key, found, open, signal);
}

function options(env: Env): OpenOptions {
  checkVariables(env);
  const { ADAPTERS, BASE, DTYPE = "keep" } = env;
  const adapters = adaptersOf(ADAPTERS).map(({ source, ...rest }) => ({ source: sourceOf(source, env), ...rest }));
  return { base: sourceOf(BASE, env), adapters, dtype: DTYPE as NonNullable<OpenOptions["dtype"]> };
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
