import { LorafoldError, type MergedFile, type MergeResult } from "lorafold";
import type { Adapter } from "./adapter-list.js";
import type { Watch } from "./base-watch.js";
import { downloadUrl, followAll, revokeDownloads, saveToFolder } from "./downloads.js";
import { button, byId, make } from "./dom.js";
import { bytes, counted, duration } from "./format.js";
import { openPlanDetails } from "./plan-view.js";
import { reportView } from "./report-view.js";
import { announce } from "./status.js";

/** The result of a merge and how it came about. */
export interface Finished {
  result: MergeResult;
  seconds: number;
  adapters: readonly Adapter[];
  /** Whether the files are still to be downloaded. */
  download: boolean;
  note: string | undefined;
  /** Given where the result reads from the base's files. */
  watch: Watch | undefined;
  /** Told when copying the result into a folder begins and ends. */
  onSaving: (begun: boolean) => void;
}

/** Show the merged files and the report, and bring them to the user. */
export async function showResult({ result, seconds, adapters, download, note, watch, onSaving }: Finished): Promise<void> {
  const section = byId("result");
  const total = result.files.reduce((sum, file) => sum + file.size, 0);
  const outcome = `${bytes(total)} in ${counted(result.files.length, "file")}, ${duration(seconds)}`;
  const files = download ? await downloads(result.files, watch, onSaving) : [fileList(result.files)];
  byId("result-body").replaceChildren(
    make("div", { class: "outcome-line" }, make("p", {}, outcome), note !== undefined && make("p", { class: "hint" }, note)),
    ...files,
    reportView(result.report, adapters),
  );
  openPlanDetails(false);
  section.hidden = false;
  section.classList.remove("stale");
  const heading = byId("result-heading");
  heading.textContent = "Merged";
  heading.focus({ preventScroll: true });
  section.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  announce(`Merged: ${outcome}`);
}

/** The inputs have changed since: what is shown is of before. */
export function markResultStale(): void {
  const section = byId("result");
  if (section.hidden || section.classList.contains("stale")) return;
  section.classList.add("stale");
  byId("result-heading").textContent = "Merged, before your latest change";
}

/** Take the last result away, and its memory with it. */
export function dropResult(): void {
  revokeDownloads();
  byId("result").hidden = true;
  byId("result-body").replaceChildren();
}

async function downloads(files: readonly MergedFile[], watch: Watch | undefined, onSaving: Finished["onSaving"]): Promise<HTMLElement[]> {
  const links = await Promise.all(files.map(async (file) =>
    make("a", { class: "button", href: downloadUrl(await file.blob()), download: file.name, "aria-label": `Download ${file.name}` }, "Download")));
  const note = make("p", { class: "hint", role: "status" });
  const alarm = make("p", { class: "complaint", role: "alert", "data-testid": "base-changed" });
  for (const link of links) {
    link.addEventListener("click", () => void watch?.().then((changed) => {
      if (changed !== undefined) alarm.textContent = `${whatChanged(changed)} Delete what you download of this result, choose the base again, and merge again.`;
    }));
  }
  const actions = make("div", { class: "choices" });
  if (links.length > 1) {
    actions.append(button("Download all", { class: "button button-primary", "data-testid": "download-all" }, () => {
      note.textContent = "Your browser may ask once whether this page may download several files.";
      void followAll(links);
    }));
  }
  if (window.showDirectoryPicker) {
    let saving = false;
    const became = (begun: boolean) => onSaving((saving = begun));
    const refuseChanged = async () => {
      const changed = await watch?.();
      if (changed !== undefined) throw new LorafoldError("source-changed", whatChanged(changed));
    };
    actions.append(button("Save to a folder…", { "data-testid": "save-folder" }, () => {
      if (saving) return;
      became(true);
      void saveToFolder(files, (name) => (note.textContent = `Saving ${name}…`), refuseChanged).then(
        (saved) => (note.textContent = saved ? "Saved." : ""),
        (error: Error) => (note.textContent = `Not saved: ${error.message}`),
      ).finally(() => became(false));
    }));
  }
  const keep = watch && make("p", { class: "hint" }, "Leave the base’s files as they are until everything is downloaded: what was not merged is read from them only then.");
  return [actions, note, ...(keep ? [keep] : []), alarm, fileList(files, links)];
}

function whatChanged(name: string): string {
  return `${name} of the base is no longer the file that was merged, and part of this result is read from it.`;
}

function fileList(files: readonly MergedFile[], links: HTMLElement[] = []): HTMLElement {
  return make("ul", { class: "files" },
    ...files.map(({ name, size }, number) =>
      make("li", { "data-testid": "result-file", "data-name": name },
        make("span", { class: "file-name code" }, name), make("span", { class: "file-size" }, bytes(size)), links[number])));
}
