import type { Env } from "./env.js";

/** As many keys as one call may delete. */
export const MOST_DELETED = 1000;

/** Objects below a prefix with their metadata, page by page; with a delimiter only those that are directly there. */
export async function* listed({ BUCKET }: Env, prefix: string, options: { delimiter?: string } = {}): AsyncGenerator<R2Object> {
  for (let cursor: string | undefined, more = true; more; ) {
    const page = await BUCKET.list({ prefix, include: ["customMetadata"], ...options, ...(cursor !== undefined && { cursor }) });
    yield* page.objects;
    more = page.truncated;
    cursor = page.truncated ? page.cursor : undefined;
  }
}
