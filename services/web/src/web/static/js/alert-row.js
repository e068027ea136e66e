// A row of a list of alerts: what happened, said in a title and a sentence, and when.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { ago, moment } from "./texts.js";

/**
 * @param {Attributes} attributes
 * @param {string} picture
 * @param {{title: string, text: string, at?: string}} said
 * @param {Child[]} meta beside the time
 * @param {Child[]} below
 */
export function alertRow(attributes, picture, { title, text, at }, meta = [], below = []) {
  return h(
    "li",
    attributes,
    icon(picture),
    h(
      "div",
      {},
      h("p", { class: "alert-title" }, title),
      h("p", {}, text),
      h("p", { class: "meta" }, at && h("time", { datetime: at, title: moment(at) }, ago(at)), meta),
      below,
    ),
  );
}
