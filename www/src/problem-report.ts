import { LorafoldError } from "lorafold";

/** Where the project is. */
const PROJECT = import.meta.env.LORAFOLD_REPOSITORY;

/** What the project's pages are called, for links. */
export const links = { source: PROJECT, documentation: `${PROJECT}#readme`, licence: `${PROJECT}/blob/main/LICENSE` };

/**
 * A form for a new issue, filled in with what is known: the version, the browser, and of an error its code and kind. Its message is left out, because it
 * names files: whoever reports decides what to tell of them.
 */
export function problemUrl(error?: unknown): string {
  const known = error instanceof LorafoldError ? error : undefined;
  const what = known ? [known.code, known.facts.kind].filter(Boolean).join(", ") : error instanceof Error ? error.name : undefined;
  const body = [
    "What did you do, and what happened instead of what you expected? Which model and adapter was it, if you may say so?", "", "",
    "---", `lorafold ${import.meta.env.LORAFOLD_VERSION}, the page`, ...(what === undefined ? [] : [`error: ${what}`]), navigator.userAgent,
  ].join("\n");
  return `${PROJECT}/issues/new?${new URLSearchParams({ title: what === undefined ? "" : `${what} on the page`, body })}`;
}
