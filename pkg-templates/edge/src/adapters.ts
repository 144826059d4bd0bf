/** An adapter as ADAPTERS says it: its source, and options. */
export type Adapter = { source: string } & Record<string, unknown>;

const EXAMPLE = 'give an array such as [{ "source": "r2:adapters/mine", "weight": 1 }] or ["r2:adapters/mine"]';

/** The adapters of the variable ADAPTERS. */
export function adaptersOf(text: string): Adapter[] {
  let listed: unknown;
  try {
    listed = JSON.parse(text);
  } catch (error) {
    throw new Error(`ADAPTERS: not JSON (${(error as Error).message}); ${EXAMPLE}`);
  }
  if (!Array.isArray(listed)) throw new Error(`ADAPTERS: not an array; ${EXAMPLE}`);
  return listed.map((adapter: unknown, number) => {
    if (typeof adapter === "string") return { source: adapter };
    if (typeof (adapter as Partial<Adapter> | null)?.source !== "string") throw new Error(`ADAPTERS: number ${number + 1} has no source; ${EXAMPLE}`);
    return adapter as Adapter;
  });
}
