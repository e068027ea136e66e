// Pictures for where there is nothing to show, in the hand of the icons; what they mean stands below them.

import { h, svg } from "./dom.js";

/** @type {Record<string, string[]>} */
const PATHS = {
  basket: [
    "M18 26h60",
    "M22 26l6 30h40l6-30",
    "M34 26c0-13 28-13 28 0",
    "M37 35l1.500 13",
    "M48 35v13",
    "M59 35l-1.500 13",
    "M82 9v7",
    "M78.500 12.500h7",
    "M12 40v5",
    "M9.500 42.500h5",
  ],
  folded: [
    "M24 47.500a4 4 0 0 1 4-4h40a4 4 0 0 1 4 4v4.500a4 4 0 0 1-4 4H28a4 4 0 0 1-4-4z",
    "M27 43.500v-4.500a4 4 0 0 1 4-4h34a4 4 0 0 1 4 4v4.500",
    "M31 35v-4a4 4 0 0 1 4-4h26a4 4 0 0 1 4 4v4",
    "M24 50h14",
    "M27 40h12",
    "M31 31.500h10",
    "M40 13l5.500 5.500L56.500 8",
  ],
  rosette: [
    "M48 38a14 14 0 1 0 0-28 14 14 0 0 0 0 28z",
    "M42 24l4.500 4.500L54.500 20",
    "M40 36l-5 21 13-7 13 7-5-21",
    "M22 17v5",
    "M19.500 19.500h5",
    "M75 30v5",
    "M72.500 32.500h5",
  ],
  machine: [
    "M30 7h36a3 3 0 0 1 3 3v46a3 3 0 0 1-3 3H30a3 3 0 0 1-3-3V10a3 3 0 0 1 3-3z",
    "M27 18h42",
    "M34 12.500h6",
    "M60 12.500h.01",
    "M48 53a14 14 0 1 0 0-28 14 14 0 0 0 0 28z",
    "M37 41c4-3.500 7-3.500 11 0s7 3.500 11 0",
    "M78 12h7l-7 8h7",
  ],
  lens: [
    "M42 46a18 18 0 1 0 0-36 18 18 0 0 0 0 36z",
    "M55 40l17 14",
    "M36 22l12 12",
    "M48 22l-12 12",
    "M78 12v6",
    "M75 15h6",
  ],
  bell: [
    "M32 46V31a16 16 0 0 1 32 0v15l5 6H27z",
    "M43.500 56.500h9",
    "M48 15v-5",
    "M72 12h6l-6 7h6",
    "M83 5h4.500l-4.500 5h4.500",
  ],
  heart: [
    "M22 14h52v40H22z",
    "M42 14V8h12v6",
    "M48 46C34 37 35 25 42 25c3.500 0 5.500 2.500 6 5 .5-2.500 2.500-5 6-5 7 0 8 12-6 21z",
    "M82 30v6",
    "M79 33h6",
  ],
  door: ["M34 56V8h28v48", "M24 56h48", "M55 32v4", "M40 20h12", "M78 14v6", "M75 17h6"],
  unplugged: [
    "M4 44c14 0 12-15 25-15h7",
    "M36 21h6a6 6 0 0 1 6 6v4a6 6 0 0 1-6 6h-6z",
    "M48 26h6",
    "M48 32h6",
    "M92 44c-14 0-11-15-22-15h-1",
    "M69 21h-4a4 4 0 0 0-4 4v8a4 4 0 0 0 4 4h4z",
    "M57.500 15l-2-5",
    "M57.500 43l-2 5",
  ],
};

/**
 * Make a drawing; it is decoration.
 *
 * @param {string} name
 */
export function drawing(name) {
  return svg(
    "svg",
    { class: "drawing", viewBox: "0 0 96 64", "aria-hidden": "true", focusable: "false" },
    PATHS[name].map((d) => svg("path", { d })),
  );
}

/**
 * Say that there is nothing, and what to do about it or what will come.
 *
 * @param {string} picture
 * @param {string} text
 * @param {string} [more]
 */
export function emptyState(picture, text, more) {
  return h("div", { class: "empty" }, drawing(picture), h("p", {}, text), more && h("p", {}, more));
}
