import { freshId, make } from "./dom.js";
import { NumberField } from "./number-field.js";

/** A weight as a number (any finite one) and as a slider over the usual range, always in step. `nameId` is the element that names its adapter. */
export function weightControl(nameId: string, start: number, onChange: (weight: number | undefined) => void): HTMLElement {
  const label = make("span", { class: "field-name", id: freshId("weight") }, "Weight");
  const labels = { "aria-labelledby": `${label.id} ${nameId}` };
  const slider = make("input", { type: "range", min: -2, max: 2, step: 0.05, class: "weight-slider", ...labels });
  const ticks = make("span", { class: "weight-ticks", "aria-hidden": "true" }, ...["−2", "−1", "0", "1", "2"].map((tick) => make("span", {}, tick)));
  // Arrow keys step as the slider does.
  const slide = (weight: number) => {
    slider.valueAsNumber = weight;
    // Beyond its ends the slider's own value is not the weight.
    slider.setAttribute("aria-valuetext", String(weight));
  };
  slide(start);
  const number = new NumberField(0.05, { class: "weight-number", "data-testid": "adapter-weight", value: start, ...labels }, (weight) => {
    if (weight !== undefined) slide(weight);
    onChange(weight);
  });
  slider.addEventListener("input", () => {
    slide(slider.valueAsNumber);
    number.value = slider.valueAsNumber;
    onChange(slider.valueAsNumber);
  });

  return make("div", { class: "weight" },
    label,
    number.element,
    make("div", { class: "weight-track" }, slider, ticks),
  );
}
