import { LorafoldError, upload, type UploadProgress } from "lorafold/hub";
import type { MergedFile } from "lorafold";
import { button, freshId, make } from "./dom.js";
import { bytes } from "./format.js";
import { hubOptions, hubToken, onHub } from "./hub-access.js";
import { announce } from "./status.js";
import { inPageWords } from "./words.js";

/** What an upload needs of the page. */
export interface Uploading {
  files: readonly MergedFile[];
  /** Throws where the files are not the result any more. */
  refuseChanged: () => Promise<void>;
  /** Told when it begins and ends. */
  onBusy: (begun: boolean) => void;
  askToken: () => void;
}

const PHASES = { hashing: "Reading", uploading: "Uploading" } as const;

/** Brings a result to a repository of the hub, as one commit. */
export function uploadView({ files, refuseChanged, onBusy, askToken }: Uploading): HTMLElement {
  const help = make("p", { class: "field-help", id: freshId("upload") }, "A repository of yours; it is created if it does not exist. Nothing is visible until all is uploaded.");
  const to = make("input", {
    type: "text", class: "code", placeholder: "you/merged-model", "data-testid": "upload-to", "aria-describedby": help.id, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
  });
  const publicly = make("input", { type: "checkbox" });
  const note = make("p", { class: "hint", role: "status" });
  const token = button("Give a token", { hidden: true }, askToken);
  const start = make("button", { type: "submit", class: "button button-primary", "data-testid": "upload-start" }, "Upload");
  const stop = button("Stop", { hidden: true }, () => running?.abort());
  let running: AbortController | undefined;

  const say = (...words: (string | Node)[]) => note.replaceChildren(...words);
  const busy = (begun: boolean) => {
    start.disabled = begun;
    stop.hidden = !begun;
    onBusy(begun);
  };
  const send = async () => {
    token.hidden = true;
    const place = to.value.trim();
    try {
      if (!onHub(place)) return say("Give a repository of the hub, such as you/merged-model.");
    } catch (error) {
      return say(inPageWords((error as Error).message));
    }
    if (!hubToken()) {
      token.hidden = false;
      return say("An upload needs a token that may write.");
    }
    running = new AbortController();
    busy(true);
    try {
      await refuseChanged();
      const onProgress = ({ phase, bytes: done, total }: UploadProgress) => say(`${PHASES[phase]}: ${bytes(done)} of ${bytes(total)}`);
      const create = publicly.checked ? "public" : "private";
      const { url } = await upload({ to: place.includes("://") ? place : `hf://${place}`, files, create, hub: hubOptions(), signal: running.signal, onProgress });
      say("Uploaded to ", make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url.split("/").slice(-2).join("/")), ".");
      announce("Uploaded");
    } catch (error) {
      const stopped = error instanceof LorafoldError && error.code === "aborted";
      token.hidden = !(error instanceof LorafoldError && error.facts.kind === "access-denied");
      say(stopped ? "Stopped. Nothing was uploaded that can be seen." : `Not uploaded: ${inPageWords((error as Error).message)}`);
    } finally {
      busy(false);
    }
  };
  const form = make("form", { class: "upload-form", novalidate: true },
    make("label", { class: "field" }, make("span", { class: "field-name" }, "Repository on the hub"), to), help,
    make("label", { class: "check" }, publicly, make("span", {}, "Public ", make("span", { class: "field-help" }, "Otherwise private; an existing repository keeps its setting."))),
    make("div", { class: "choices" }, start, stop, token), note);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!start.disabled) void send();
  });
  return make("details", { class: "more", "data-testid": "upload" }, make("summary", {}, "Upload to the hub…"), form);
}
