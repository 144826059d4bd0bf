/** Requests that one listing, or one merged model, has under way at a time: platforms at the edge allow six. */
export const MAX_REQUESTS = 4;

/** `work` for every item, at most `limit` at a time. The first failure ends it. The results have the order of the items. */
export async function mapConcurrently<T, R>(items: readonly T[], limit: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  const left = items.entries();
  let failed = false;
  const loop = async () => {
    for (const [index, item] of left) {
      if (failed) return;
      results[index] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, loop)).catch((error: unknown) => {
    failed = true;
    throw error;
  });
  return results;
}
