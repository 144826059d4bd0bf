import { LorafoldError, type MergedFile, type MergeResult } from "lorafold";
import type { Watch } from "./base-watch.js";
import { downloadUrl, revokeDownloads, saveToFolder } from "./downloads.js";
import { button, byId, make } from "./dom.js";
import { bytes, counted, duration } from "./format.js";
import { openPlanDetails } from "./plan-view.js";
import { type KeepMore, reportView } from "./report-view.js";
import { announce } from "./status.js";
import { uploadView } from "./upload-view.js";
import { inPageWords } from "./words.js";

/** The result of a merge and how it came about. */
export interface Finished {
  result: MergeResult;
  /** What the model is called. */
  name: string;
  seconds: number;
  /** Whether the files are still to be downloaded. */
  download: boolean;
  note: string | undefined;
  /** Given where the result reads from the base's files. */
  watch: Watch | undefined;
  /** Told when copying the result into a folder begins and ends. */
  onSaving: (begun: boolean) => void;
  /** Shows where the hub's token is given. */
  askToken: () => void;
  /** Merges once more, so that more of the change is kept. */
  keepMore: KeepMore;
  /** The colour of an adapter, by its name. */
  toneOf: (adapter: string) => number;
}

/** Show the merged files and the report, and bring them to the user. */
export async function showResult(finished: Finished): Promise<void> {
  const { result, seconds, download, note, keepMore, toneOf } = finished;
  const section = byId("result");
  const total = result.files.reduce((sum, file) => sum + file.size, 0);
  const outcome = `${bytes(total)} in ${counted(result.files.length, "file")}, ${duration(seconds)}`;
  const files = download ? await downloads(finished) : [fileList(result.files)];
  byId("result-body").replaceChildren(
    make("div", { class: "outcome-line" }, make("p", {}, outcome), note !== undefined && make("p", { class: "hint" }, note)),
    ...files,
    uploadView({ files: result.files, refuseChanged: () => refuseChanged(finished.watch), onBusy: finished.onSaving, askToken: finished.askToken }),
    reportView(result.report, keepMore, toneOf),
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

async function downloads({ result: { files }, name, watch, onSaving }: Finished): Promise<HTMLElement[]> {
  const links = await Promise.all(files.map(async (file) =>
    make("a", { class: "button", href: downloadUrl(await file.blob()), download: file.name, "aria-label": `Download ${file.name}` }, "Download")));
  const note = make("p", { class: "hint", role: "status" });
  const alarm = make("p", { class: "complaint", role: "alert", "data-testid": "base-changed" });
  for (const link of links) {
    link.addEventListener("click", () => void watch?.().then((changed) => {
      if (changed !== undefined) alarm.textContent = `${whatChanged(changed)} Delete what you download of this result, choose the base again, and merge again.`;
    }));
  }
  let saving = false;
  const save = (work: () => Promise<string | Node>) => {
    if (saving) return;
    const became = (begun: boolean) => onSaving((saving = begun));
    became(true);
    void work()
      .then((said) => note.replaceChildren(said), (error: Error) => (note.textContent = `Not saved: ${inPageWords(error.message)}`))
      .finally(() => became(false));
  };
  const actions = make("div", { class: "choices" });
  // Without a folder to write to, one archive is the one way to have everything in one piece.
  const kinds = window.showDirectoryPicker ? ["button button-primary", "button"] : ["", "button button-primary"];
  if (window.showDirectoryPicker) {
    actions.append(button("Save to a folder…", { class: kinds[0], "data-testid": "save-folder" }, () =>
      save(async () => ((await saveToFolder(files, (file) => (note.textContent = `Saving ${file}…`), () => refuseChanged(watch))) ? "Saved." : ""))));
  }
  if (files.length > 1) {
    actions.append(button("Download all as a .zip", { class: kinds[1], "data-testid": "download-zip" }, () => save(async () => {
      const link = await zipLink(files, name, (share) => (note.textContent = `Putting the archive together: ${Math.floor(share * 100)} %`));
      await refuseChanged(watch);
      link.click();
      return link;
    })));
  }
  const keep = watch && make("p", { class: "hint" }, "Leave the base’s files as they are until everything is downloaded: what was not merged is read from them only then.");
  return [actions, note, ...(keep ? [keep] : []), alarm, fileList(files, links)];
}

/** A link to an archive of all files, called as the model. */
async function zipLink(files: readonly MergedFile[], name: string, onProgress: (share: number) => void): Promise<HTMLAnchorElement> {
  const { zipped } = await import("./zip.js");
  const folder = name.replace(/[\\/:*?"<>|\x00-\x1f]+/g, "-");
  const archive = await zipped(files, folder, onProgress);
  return make("a", { href: downloadUrl(archive), download: `${folder}.zip` }, `${folder}.zip, ${bytes(archive.size)}`);
}

async function refuseChanged(watch: Watch | undefined): Promise<void> {
  const changed = await watch?.();
  if (changed !== undefined) throw new LorafoldError("source-changed", whatChanged(changed));
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
