// The views of a page: which one is open stands in the address, in the title, and in the navigation.

import { arriving } from "./arrival.js";
import { h, put } from "./dom.js";
import { trouble } from "./frame.js";
import { t } from "./texts.js";

/** @typedef {{element: HTMLElement, title: string, ready?: Promise<unknown>, close(): void}} View */
/** @typedef {new (signedIn: SignedIn, onState: (state: StreamState) => void) => View} ViewOf */

export class Views {
  /** @type {View | null} */
  #view = null;
  /** @type {Record<string, HTMLElement>} */
  #links = {};
  stage = h("div", { class: "view" });

  /**
   * `onChange()` is called after another was opened. Its name in the navigation is the text `<page>.view.<name>`.
   *
   * @param {string} page
   * @param {import("./lazy-parts.js").LazyParts<ViewOf>} parts
   * @param {{signedIn: SignedIn, onState(state: StreamState): void, onChange(): void}} to
   */
  constructor(page, parts, { signedIn, onState, onChange }) {
    this.parts = parts;
    this.make = (/** @type {ViewOf} */ View) => new View(signedIn, onState);
    this.onChange = onChange;
    for (const name of parts.names) {
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
    this.#open(parts.asked);
  }

  /** Settles when the open view has what it opens with. */
  get ready() {
    return this.#view?.ready;
  }

  get title() {
    return this.#view?.title ?? "";
  }

  close() {
    this.parts.close();
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
  }

  /** @param {string} name */
  #open(name) {
    this.#view?.close();
    this.#view = null;
    for (const [each, link] of Object.entries(this.#links)) {
      if (each === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.parts.open(
      name,
      (View) => {
        this.#view = this.make(View);
        arriving(this.#view.element, [this.#view.ready]);
        put(this.stage, this.#view.element);
        this.onChange();
      },
      () =>
        put(
          this.stage,
          trouble({ text: t("problem.no-connection") }, () => location.assign(`?view=${name}`)),
        ),
    );
  }
}
