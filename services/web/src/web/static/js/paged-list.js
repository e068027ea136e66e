// A list that comes page by page: the next one by a button, so that ten thousand entries open as quickly as ten.

import { explain } from "./api.js";
import { h, put } from "./dom.js";
import { trouble } from "./frame.js";
import { t } from "./texts.js";

const PAGE = 50;

export class PagedList {
  #list;
  #below = h("div", { class: "more" });
  #stage = h("div", {});
  /** @type {Record<string, string>} */
  #query = {};
  #asked = 0;
  #closed = false;

  /**
   * `row(item)` makes an entry, `empty(query)` what is shown where there is none.
   *
   * @param {import("./api.js").Api} api
   * @param {string} path
   * @param {{name: string, row(item: any): HTMLElement, empty(query: Record<string, string>): HTMLElement}} shown
   */
  constructor(api, path, { name, row, empty }) {
    this.api = api;
    this.path = path;
    this.row = row;
    this.empty = empty;
    this.#list = h("ul", { class: "entries", "aria-label": name });
    this.element = h("div", {}, this.#stage, this.#list, this.#below);
  }

  close() {
    this.#closed = true;
  }

  /** Fetch the first page again. @param {Record<string, string>} [query] */
  async load(query = this.#query) {
    this.#query = query;
    await this.#fetch(null);
  }

  /** @param {string | null} cursor */
  async #fetch(cursor) {
    const asked = ++this.#asked;
    const wanted = Object.entries({ ...this.#query, limit: String(PAGE), cursor: cursor ?? "" });
    this.#list.setAttribute("aria-busy", "true");
    try {
      const query = new URLSearchParams(wanted.filter(([, value]) => value));
      const { items, next_cursor: next } = await this.api.json(`${this.path}?${query}`);
      if (asked !== this.#asked || this.#closed) return;
      const rows = items.map(this.row);
      if (cursor === null) put(this.#list, rows);
      else this.#list.append(...rows);
      put(this.#stage, !this.#list.children.length && this.empty(this.#query));
      put(this.#below, next && this.#button(next));
      // Who uses a keyboard goes on where the new entries begin.
      if (cursor !== null && rows.length) rows[0].querySelector("button")?.focus({ preventScroll: true });
    } catch (problem) {
      if (asked !== this.#asked || this.#closed) return;
      const line = trouble(explain(problem), () => this.#fetch(cursor));
      if (cursor === null) {
        put(this.#list);
        put(this.#below);
        put(this.#stage, line);
      } else put(this.#below, line);
    } finally {
      if (asked === this.#asked) this.#list.removeAttribute("aria-busy");
    }
  }

  /** @param {string} next */
  #button(next) {
    const button = h(
      "button",
      {
        class: "secondary",
        type: "button",
        onclick: () => {
          button.disabled = true;
          this.#fetch(next);
        },
      },
      t("action.more"),
    );
    return button;
  }
}
