/** Small helpers to find and make elements. */

/** The element of that id, which is in index.html. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as T;
}

type Child = Node | string | undefined | false;
type Attributes = Record<string, string | number | boolean | undefined>;

/** Make an element; `true` gives an empty attribute, `false` and `undefined` none. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...present(children));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element. */
export function makeSvg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  element.append(...present(children));
  return element;
}

/** A button with a handler. */
export function button(label: string, attributes: Attributes, onClick: () => void): HTMLButtonElement {
  const element = make("button", { type: "button", class: "button", ...attributes }, label);
  element.addEventListener("click", onClick);
  return element;
}

function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function present(children: Child[]): (Node | string)[] {
  return children.filter((child): child is Node | string => child !== undefined && child !== false && child !== "");
}

/** A size that only the running page knows, handed to the style sheet (a style attribute would break the CSP). */
export function share<T extends HTMLElement | SVGElement>(element: T, value: number): T {
  element.style.setProperty("--share", String(Math.max(0, Math.min(1, value))));
  return element;
}

let lastId = 0;

/** An id for elements that refer to one another. */
export function freshId(prefix: string): string {
  return `${prefix}-${++lastId}`;
}
