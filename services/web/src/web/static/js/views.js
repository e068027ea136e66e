// The views of a page: which one is open stands in the address, in the title, and in the navigation.

import { h, put } from "./dom.js";
import { t } from "./texts.js";

/** @typedef {{element: HTMLElement, title: string, close(): void}} View */

export class Views {
  /** @type {View | null} */
  #view = null;
  /** @type {Record<string, HTMLElement>} */
  #links = {};
  stage = h("div", { class: "view" });

  /**
   * `makers` makes each view when it is opened, the first if the address names none; `onChange()` is called after
   * another was opened. Its name in the navigation is the text `<page>.view.<name>`.
   *
   * @param {string} page
   * @param {Record<string, () => View>} makers
   * @param {() => void} onChange
   */
  constructor(page, makers, onChange) {
    this.makers = makers;
    this.onChange = onChange;
    for (const name of Object.keys(makers)) {
      this.#links[name] = h(
        "a",
        {
          class: "button quiet",
          href: `?view=${name}`,
          onclick: (/** @type {MouseEvent} */ event) => this.#go(event, name),
        },
        t(`${page}.view.${name}`),
      );
    }
    this.nav = h("nav", { class: "views", "aria-label": t("frame.views") }, Object.values(this.#links));
    const asked = new URLSearchParams(location.search).get("view") ?? "";
    this.#open(asked in makers ? asked : Object.keys(makers)[0]);
  }

  get title() {
    return this.#view?.title ?? "";
  }

  close() {
    this.#view?.close();
  }

  /**
   * @param {MouseEvent} event
   * @param {string} name
   */
  #go(event, name) {
    // Another tab or window is opened as ever.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.replaceState(null, "", `${location.pathname}?view=${name}`);
    this.#open(name);
    this.onChange();
  }

  /** @param {string} name */
  #open(name) {
    this.#view?.close();
    this.#view = this.makers[name]();
    for (const [each, link] of Object.entries(this.#links)) {
      if (each === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    put(this.stage, this.#view.element);
  }
}
