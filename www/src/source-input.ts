import { freshId, make } from "./dom.js";
import { HubSearch, type Wanted } from "./hub-search.js";
import { type Picked, pickFiles, pickUrl } from "./picked.js";

interface Words {
  /** Begins the test ids. */
  prefix: "base" | "adapter" | "merged";
  /** What is chosen, within a sentence; the prefix, where nothing else is said. */
  called?: string;
  /** What is dropped here. */
  invitation: string;
  /** What the button behind the address does. */
  add: string;
  /** What an address may be. */
  address: string;
  /** What is looked for on the hub. */
  wanted: () => Wanted;
}

/** The ways to choose a base or an adapter: a folder, files, an address. (Drops are the page's: see drop-target.ts.) */
export class SourceInput {
  readonly element: HTMLElement;
  /** What could not be taken, and why: below the rest, unless it is shown elsewhere. */
  readonly complaint = make("p", { class: "complaint", role: "alert", id: freshId("complaint") });
  readonly #address: HTMLInputElement;
  readonly #onPick: (picked: Picked) => void;

  constructor({ prefix, called = prefix, invitation, add, address, wanted }: Words, onPick: (picked: Picked) => void) {
    this.#onPick = onPick;
    const hint = make("p", { class: "hint", id: freshId("address") }, address);
    this.#address = make("input", {
      type: "text", inputmode: "url", class: "code", "data-testid": `${prefix}-url`, placeholder: "Name or address",
      "aria-label": `Name on the hub, or address, of the ${called}`, "aria-describedby": `${hint.id} ${this.complaint.id}`,
      autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    });
    const search = new HubSearch(this.#address, `Models of the hub for the ${called}`, wanted, (name) => this.#take(pickUrl(name)));
    const form = make("form", { class: "address", novalidate: true }, make("div", { class: "address-field" }, this.#address, search.list), make("button", {
      type: "submit", class: "button", "data-testid": prefix === "adapter" ? "adapter-add-url" : `${prefix}-set-url`,
    }, add));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      search.close();
      const picked = pickUrl(this.#address.value);
      this.#take(picked);
      if (typeof picked === "string") this.#address.setAttribute("aria-invalid", "true");
      else this.#address.value = "";
    });
    this.element = make("div", { class: "source-input" },
      make("p", { class: "invitation" }, invitation),
      make("div", { class: "choices" }, this.#fileInput(prefix, called, "Choose a folder", true), this.#fileInput(prefix, called, "Choose files", false)),
      make("div", { class: "field" }, form, hint),
      this.complaint,
    );
  }

  /** Say why something was not taken; nothing, that all is well. */
  complain(text: string): void {
    this.complaint.textContent = text;
    this.#address.setAttribute("aria-invalid", "false");
  }

  /** As if nothing had been typed yet. */
  clear(): void {
    this.complain("");
    this.#address.value = "";
  }

  #take(picked: Picked | string): void {
    this.complain(typeof picked === "string" ? picked : "");
    if (typeof picked !== "string") this.#onPick(picked);
  }

  #fileInput(prefix: string, called: string, label: string, folder: boolean): HTMLElement {
    const attributes = { type: "file", class: "visually-hidden", multiple: true, webkitdirectory: folder, "aria-label": `${label} for the ${called}` };
    const input = make("input", { ...attributes, "data-testid": `${prefix}-${folder ? "folder" : "files"}` });
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      // Emptied, so that the same choice again is a change again.
      input.value = "";
      if (files.length === 0 && !folder) return;
      this.#take(pickFiles(files) ?? "There are no files directly in that folder. Choose the folder that holds the .safetensors file itself.");
    });
    return make("label", { class: "button" }, input, label);
  }
}
