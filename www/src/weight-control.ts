import { freshId, make } from "./dom.js";

/** A weight as a number (any finite one) and as a slider over the usual range, always in step. `nameId` is the element that names its adapter. */
export function weightControl(nameId: string, start: number, onChange: (weight: number | undefined) => void): HTMLElement {
  const label = make("span", { class: "field-name", id: freshId("weight") }, "Weight");
  const labels = { "aria-labelledby": `${label.id} ${nameId}` };
  const number = make("input", {
    type: "number", step: "any", class: "weight-number", "data-testid": "adapter-weight", value: start, ...labels,
  });
  const slider = make("input", { type: "range", min: -2, max: 2, step: 0.05, class: "weight-slider", value: start, ...labels });
  const ticks = make("span", { class: "weight-ticks", "aria-hidden": "true" }, ...["−2", "−1", "0", "1", "2"].map((tick) => make("span", {}, tick)));

  number.addEventListener("input", () => {
    // An empty field is no zero.
    const weight = number.value === "" ? Number.NaN : number.valueAsNumber;
    const valid = Number.isFinite(weight);
    number.setAttribute("aria-invalid", String(!valid));
    if (valid) slider.valueAsNumber = weight;
    onChange(valid ? weight : undefined);
  });
  slider.addEventListener("input", () => {
    number.valueAsNumber = slider.valueAsNumber;
    number.setAttribute("aria-invalid", "false");
    onChange(slider.valueAsNumber);
  });
  // Arrow keys step as the slider does; `step` itself would make every other number invalid.
  number.addEventListener("keydown", (event) => {
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!direction || !Number.isFinite(number.valueAsNumber)) return;
    event.preventDefault();
    number.valueAsNumber = Math.round((number.valueAsNumber + direction * 0.05) * 1e9) / 1e9;
    number.dispatchEvent(new Event("input"));
  });

  return make("div", { class: "weight" },
    label,
    number,
    make("div", { class: "weight-track" }, slider, ticks),
  );
}
