// A small chart of columns. It is one picture with a text; the numbers are in a table beside it.

import { h, svg } from "./dom.js";

const HEIGHT = 120;
const COLUMN = 10;
const GAP = 3;

/**
 * Draw one column for each entry: its parts stand on each other, the first at the bottom.
 *
 * @param {Array<{title: string, parts: number[]}>} columns
 * @param {{label: string, kinds: string[]}} options `label` says in words what the picture shows; `kinds` are the
 *   classes of the parts
 */
export function columnChart(columns, { label, kinds }) {
  const sums = columns.map(({ parts }) => parts.reduce((sum, part) => sum + part, 0));
  const most = Math.max(1, ...sums);
  const width = columns.length * (COLUMN + GAP) - GAP;
  return svg(
    "svg",
    {
      class: "columns",
      role: "img",
      "aria-label": label,
      viewBox: `0 0 ${Math.max(width, COLUMN)} ${HEIGHT}`,
      preserveAspectRatio: "none",
    },
    columns.map(({ title, parts }, index) => {
      let top = HEIGHT;
      return svg(
        "g",
        {},
        svg("title", {}, title),
        // What is pointed at is the whole column, however low it is.
        svg("rect", { class: "column-ground", x: index * (COLUMN + GAP), y: 0, width: COLUMN, height: HEIGHT }),
        parts.map((part, kind) => {
          const height = (part / most) * (HEIGHT - 4);
          top -= height;
          return (
            part > 0 && svg("rect", { class: kinds[kind], x: index * (COLUMN + GAP), y: top, width: COLUMN, height })
          );
        }),
      );
    }),
  );
}

/**
 * A share as a bar, for a cell that says it in numbers too.
 *
 * @param {number} share from 0 to 1
 */
export function shareBar(share) {
  return h(
    "span",
    { class: "share", "aria-hidden": "true" },
    h("span", { style: { "inline-size": `${Math.round(Math.min(1, share) * 100)}%` } }),
  );
}
