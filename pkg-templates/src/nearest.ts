/** The name that was probably meant: of those a few letters away the nearest, or one that begins alike. Nothing where none is near. */
export function nearest(given: string, names: readonly string[]): string | undefined {
  const wanted = letters(given);
  let found: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  // What is much longer than every name is none of them, and would take long to compare.
  if (wanted.length < 3 || wanted.length > 64) return undefined;
  for (const name of names) {
    const other = letters(name);
    const away = other === wanted ? 0 : other.startsWith(wanted) || wanted.startsWith(other) ? 1 : distance(wanted, other);
    if (away < least) [found, least] = [name, away];
  }
  return found;
}

/** Names are told by their letters and digits alone: `max_shard_size` is `maxShardSize`. */
const letters = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** Insertions, deletions, replacements and swaps of neighbours that make one word of the other (optimal string alignment). */
function distance(a: string, b: string): number {
  let [before, row]: number[][] = [[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      next[j] = Math.min(next[j - 1]! + 1, row![j]! + 1, row![j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j]!, before![j - 2]! + 1);
    }
    [before, row] = [row, next];
  }
  return row!.at(-1)!;
}
