import { make } from "./dom.js";
import { type Picked, pickFiles, pickUrl } from "./picked.js";

interface Words {
  /** Begins the test ids: "base" or "adapter". */
  prefix: "base" | "adapter";
  /** What is dropped here. */
  invitation: string;
  /** What the button behind the address does. */
  add: string;
  example: string;
}

/** The ways to choose a base or an adapter: a folder, files, an address. (Drops are the page's: see drop-target.ts.) */
export function sourceInput(words: Words, onPick: (picked: Picked) => void): HTMLElement {
  const { prefix } = words;
  const complaint = make("p", { class: "complaint", role: "alert" });
  /** Take what was picked, or say why it cannot be. */
  const take = (picked: Picked | string) => {
    const wrong = typeof picked === "string";
    complaint.textContent = wrong ? picked : "";
    if (!wrong) onPick(picked);
  };

  const fileInput = (label: string, folder: boolean) => {
    const attributes = { type: "file", class: "visually-hidden", multiple: true, webkitdirectory: folder, "aria-label": `${label} for the ${prefix}` };
    const input = make("input", { ...attributes, "data-testid": `${prefix}-${folder ? "folder" : "files"}` });
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      // Emptied, so that the same choice again is a change again.
      input.value = "";
      if (files.length === 0 && !folder) return;
      take(pickFiles(files) ?? "There are no files directly in that folder. Choose the folder that holds the .safetensors file itself.");
    });
    return make("label", { class: "button" }, input, label);
  };

  const address = make("input", {
    type: "text", inputmode: "url", class: "code", "data-testid": `${prefix}-url`, placeholder: words.example,
    "aria-label": `Address of the ${prefix}`, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
  });
  const form = make("form", { class: "address", novalidate: true }, address, make("button", {
    type: "submit", class: "button", "data-testid": prefix === "base" ? "base-set-url" : "adapter-add-url",
  }, words.add));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take(pickUrl(address.value));
    if (!complaint.textContent) address.value = "";
  });
  return make("div", { class: "source-input" },
    make("p", { class: "invitation" }, words.invitation),
    make("div", { class: "choices" }, fileInput("Choose a folder", true), fileInput("Choose files", false)),
    form,
    complaint,
  );
}
