// Elements without a framework, and words for screen readers.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: h("button", {class: "quiet", type: "button", onclick}, "text", node, null).
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {Children} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * Make an element of a drawing.
 *
 * @param {string} tag
 * @param {Attributes} attributes
 * @param {Children} children
 */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @template {Element} Made
 * @param {Made} element
 * @param {Attributes} attributes
 * @param {Children} children
 * @returns {Made}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (typeof value === "object") style(element, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...shown(children));
  return element;
}

/**
 * @param {Element} element
 * @param {Record<string, string>} values
 */
function style(element, values) {
  if (!(element instanceof HTMLElement)) return;
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, value);
}

/**
 * What of the children there is to show.
 *
 * @param {Children} children
 */
function shown(children) {
  const there = children.flat().filter((child) => child || child === 0);
  return there.map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Replace what an element holds.
 *
 * @template {Element} Held
 * @param {Held} element
 * @param {Children} children
 */
export function put(element, ...children) {
  element.replaceChildren(...shown(children));
  return element;
}

/**
 * Find the element that the document or a page of ours has for certain.
 *
 * @param {string} id
 */
export function the(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no #${id}`);
  return found;
}

/**
 * Say something to a screen reader; `urgent` interrupts.
 *
 * @param {string} text
 */
export function say(text, { urgent = false } = {}) {
  const region = the(urgent ? "urgent" : "polite");
  // The same words twice are news only if the region was empty between.
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}
