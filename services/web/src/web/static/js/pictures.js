// Drawings for where there is nothing to show, or nothing can be shown. They take the colours of the theme.

import { explain } from "./api.js";
import { h, svg } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

// Each shape: what it is like ("wash" is filled softly, "accent" is the one line in colour), and its path.
/** @type {Record<string, Array<["wash" | "line" | "accent", string]>>} */
const DRAWINGS = {
  // Everything hangs on the line.
  line: [
    ["line", "M6 18C40 28 80 28 114 18"],
    ["wash", "M30 25l-10 8 5 8 5-3v24h22V38l5 3 5-8-10-8c-3 5-19 5-22 0z"],
    ["line", "M30 25l-10 8 5 8 5-3v24h22V38l5 3 5-8-10-8"],
    ["wash", "M76 25h22v20l-3 18h-7l-1-14-2 14h-7l-2-18z"],
    ["line", "M76 25h22v20l-3 18h-7l-1-14-2 14h-7l-2-18z"],
    ["accent", "M32 20v8M52 20v8M79 19v8M95 19v8"],
  ],
  // An empty basket.
  basket: [
    ["wash", "M22 38h76l-8 34H30z"],
    ["line", "M22 38h76l-8 34H30zM16 38h88"],
    ["line", "M42 46l3 18M60 46v18M78 46l-3 18"],
    ["accent", "M36 38c2-16 46-16 48 0"],
  ],
  // Looked for, and not found.
  lens: [
    ["wash", "M52 60a24 24 0 1 0 0-48 24 24 0 0 0 0 48z"],
    ["line", "M52 60a24 24 0 1 0 0-48 24 24 0 0 0 0 48zM70 54l26 22"],
    ["accent", "M44 44l16-16M44 28l16 16"],
  ],
  // A plug that is out.
  plug: [
    ["wash", "M22 34h22v22H22zM80 34h18v22H80z"],
    ["line", "M44 34H26a8 8 0 0 0-8 8v6a8 8 0 0 0 8 8h18zM80 34h14a8 8 0 0 1 8 8v6a8 8 0 0 1-8 8H80z"],
    ["line", "M18 45H4M102 45h14M44 39h9M44 51h9"],
    ["accent", "M64 24l-4 9M64 66l-4-9M70 45h-4"],
  ],
  // A quiet bell.
  bell: [
    ["wash", "M38 60V42a22 22 0 0 1 44 0v18l7 8H31z"],
    ["line", "M38 60V42a22 22 0 0 1 44 0v18l7 8H31zM54 74h12M60 20v-6"],
    ["accent", "M92 22h8l-8 9h8M102 10h6l-6 7h6"],
  ],
  // A heart on a label.
  taste: [
    ["wash", "M26 16h68v60H26z"],
    ["line", "M26 16h68v60H26zM52 16v-6h16v6"],
    ["accent", "M60 64C40 50 42 36 51 36c5 0 8 4 9 7 1-3 4-7 9-7 9 0 11 14-9 28z"],
  ],
  // A door with nobody behind it.
  door: [
    ["wash", "M40 12h40v64H40z"],
    ["line", "M40 76V12h40v64M28 76h64M70 44v4"],
    ["accent", "M48 30h24"],
  ],
};

/**
 * Draw a picture; it is decoration, the text beside it carries the meaning.
 *
 * @param {string} name
 */
export function picture(name) {
  return svg(
    "svg",
    { class: "picture", viewBox: "0 0 120 90", "aria-hidden": "true", focusable: "false" },
    DRAWINGS[name].map(([kind, d]) => svg("path", { class: kind, d })),
  );
}

/**
 * Say that there is nothing, and what will be.
 *
 * @param {string} name the picture
 * @param {string} title
 * @param {string} text
 * @param {Children} more
 */
export function nothing(name, title, text, ...more) {
  return h("div", { class: "empty" }, picture(name), h("p", {}, title), h("p", {}, text), ...more);
}

/**
 * Say that a whole view cannot be shown, in words for people, with the service's own words below.
 *
 * @param {unknown} problem
 * @param {() => void} onRetry
 */
export function failed(problem, onRetry) {
  const { text, detail } = explain(/** @type {Refusal} */ (problem));
  return h(
    "div",
    { class: "empty failed", role: "alert" },
    picture("plug"),
    h("p", {}, text),
    detail && h("p", { class: "detail", lang: "en" }, detail),
    h("button", { class: "secondary", type: "button", onclick: onRetry }, icon("retry"), t("action.retry")),
  );
}
