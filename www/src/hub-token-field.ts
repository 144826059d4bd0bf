import { byId } from "./dom.js";
import { hubToken, setHubToken } from "./hub-access.js";

/** The field for the hub's token. It is taken when it is whole: when the field is left, or by Enter. */
export class HubTokenField {
  readonly #field = byId<HTMLInputElement>("hub-token");
  readonly #note = byId("hub-note");

  constructor(onChange: () => void) {
    this.#field.value = hubToken();
    this.#field.addEventListener("change", () => {
      const token = this.#field.value.trim();
      // What no token has in it would be refused before it is sent.
      const wrong = !/^[\x21-\x7e]*$/.test(token);
      this.#field.setAttribute("aria-invalid", String(wrong));
      setHubToken(wrong ? "" : token);
      this.#say(wrong ? "no token" : undefined);
      onChange();
    });
    byId("hub-access-form").addEventListener("submit", (event) => event.preventDefault());
    this.#say(undefined);
  }

  /** Show the field, ready to be typed into. */
  ask(): void {
    byId<HTMLDetailsElement>("hub-access").open = true;
    this.#field.focus();
    this.#field.scrollIntoView({ block: "center" });
  }

  #say(complaint: string | undefined): void {
    this.#note.textContent = complaint ?? (hubToken() ? "with a token" : "");
  }
}
