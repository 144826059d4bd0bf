import type { Output } from "lorafold";
import { privateStorage } from "./browser-storage.js";
import { button, byId, make } from "./dom.js";
import { bytes } from "./format.js";

type Choice = "blob" | "folder" | "opfs";

const HELP: Record<Choice, string> = {
  blob: "Of a base on your disk, tensors that stay as they are take no memory: they are read from its files when you download. Merged ones take memory until the tab is closed.",
  folder: "Every file is written where it belongs while it is merged. Takes no memory, and nothing is left to download.",
  opfs: "Kept on your disk by the browser, for models larger than memory; then download.",
};

/** Where the merged model goes: asked before the merge, for a folder picker needs a click, and a folder no memory. */
export class OutputChoice {
  #choice: Choice = "blob";
  #folder: FileSystemDirectoryHandle | undefined;
  #free: number | undefined;
  readonly #folderName = make("span", { class: "hint" });
  readonly #force = make("input", { type: "checkbox", "data-testid": "output-force" });
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    const choose = button("Choose the folder…", { "data-testid": "output-choose-folder" }, () => void this.#pickFolder());
    byId("output-folder").append(make("p", {}, choose, " ", this.#folderName), make("label", { class: "check" }, this.#force, "Replace files that are there already"));
    this.#force.addEventListener("change", onChange);
    this.#add("blob", "In the browser, then download");
    if (window.showDirectoryPicker) this.#add("folder", "Into a folder");
    this.#select("blob");
    void privateStorage().then((storage) => {
      if (!storage) return;
      this.#free = storage.free;
      this.#add("opfs", "Browser storage, for large models");
    });
  }

  /** What the API takes, or what is missing, in words. */
  options(): { output: Output; force?: boolean } | string {
    if (this.#choice !== "folder") return { output: this.#choice };
    if (!this.#folder) return "Choose the folder to write to.";
    return { output: this.#folder, force: this.#force.checked };
  }

  /** What became of the files, and whether they are still to be downloaded. */
  get destination(): { download: boolean; note: string | undefined } {
    switch (this.#choice) {
      case "blob":
        return { download: true, note: undefined };
      case "folder":
        return { download: false, note: `Written to the folder “${this.#folder?.name}”.` };
      case "opfs":
        return { download: true, note: "Kept in the browser’s storage until your next merge or visit: download it before." };
    }
  }

  #add(choice: Choice, label: string): void {
    const radio = make("input", { type: "radio", name: "output", value: choice, checked: choice === this.#choice, "data-testid": `output-${choice}` });
    radio.addEventListener("change", () => {
      this.#select(choice);
      this.#onChange();
    });
    byId("output-choices").append(make("label", { class: "output-option" }, radio, label));
  }

  #select(choice: Choice): void {
    this.#choice = choice;
    const room = choice === "opfs" && this.#free !== undefined ? ` About ${bytes(this.#free)} are free.` : "";
    byId("output-help").textContent = HELP[choice] + room;
    byId("output-folder").hidden = choice !== "folder";
  }

  async #pickFolder(): Promise<void> {
    try {
      this.#folder = await window.showDirectoryPicker!({ id: "lorafold-output", mode: "readwrite" });
      this.#folderName.textContent = this.#folder.name;
    } catch (error) {
      // Closing the picker is no choice, and no error either.
      if ((error as Error).name !== "AbortError") this.#folderName.textContent = (error as Error).message;
    }
    this.#onChange();
  }
}
