// The customer's page: what I like and where I find it, what I was told, and what is kept of me.

import { h } from "./dom.js";
import { connectionLine } from "./frame.js";
import { LazyParts } from "./lazy-parts.js";
import { t } from "./texts.js";
import { Views } from "./views.js";

/** @type {Record<string, () => Promise<import("./views.js").ViewOf>>} */
const PARTS = {
  likes: async () => (await import("./likes-view.js")).LikesView,
  told: async () => (await import("./told-view.js")).ToldView,
  me: async () => (await import("./person-view.js")).PersonView,
};
const VIEWS = new LazyParts(PARTS);

export class CustomerPage {
  #closed = new AbortController();
  #connection = connectionLine();
  /** @type {StreamState} */
  #state = "live";

  /** @param {SignedIn} signedIn */
  constructor(signedIn) {
    /** @param {StreamState} state */
    const onState = (state) => {
      this.#state = state;
      this.#showConnection();
    };
    const onChange = () => {
      document.title = this.title;
      onState("live");
    };
    this.views = new Views("customer", VIEWS, { signedIn, onState, onChange });
    this.element = h("div", { class: "customer" }, this.views.nav, this.#connection.element, this.views.stage);
    const { signal } = this.#closed;
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.#showConnection(), { signal });
    this.#showConnection();
  }

  static ready() {
    return VIEWS.fetch(VIEWS.asked);
  }

  get title() {
    return this.views?.title ?? "";
  }

  close() {
    this.#closed.abort();
    this.views.close();
  }

  #showConnection() {
    const offline = !navigator.onLine;
    this.#connection.set(offline ? "offline" : this.#state, offline ? t("customer.offline") : null);
  }
}
