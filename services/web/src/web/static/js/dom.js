// Elements without a framework, and words for screen readers.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("button", {class: "quiet", type: "button", onclick}, "text", node, null). */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, of] of Object.entries(value)) element.style.setProperty(key, of);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
  return element;
}

/** Say something to a screen reader; `urgent` interrupts. */
export function say(text, { urgent = false } = {}) {
  const region = document.getElementById(urgent ? "urgent" : "polite");
  // The same words twice are news only if the region was empty between.
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}
