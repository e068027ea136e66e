// The customer's page: what I like and where I find it, what I was told, and what is kept of me.

import { h } from "./dom.js";
import { connectionLine } from "./frame.js";
import { LikesView } from "./likes-view.js";
import { PersonView } from "./person-view.js";
import { t } from "./texts.js";
import { ToldView } from "./told-view.js";
import { Views } from "./views.js";

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
    this.views = new Views(
      "customer",
      {
        likes: () => new LikesView(signedIn, onState),
        told: () => new ToldView(signedIn, onState),
        me: () => new PersonView(signedIn),
      },
      () => {
        document.title = this.title;
        onState("live");
      },
    );
    this.element = h("div", { class: "customer" }, this.views.nav, this.#connection.element, this.views.stage);
    const { signal } = this.#closed;
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.#showConnection(), { signal });
    this.#showConnection();
  }

  get title() {
    return this.views.title;
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
