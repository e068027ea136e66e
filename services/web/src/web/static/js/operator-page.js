// The operator's pages: the models, queues with their dead letters, people and branches, equipment, faults.

import { arriving } from "./arrival.js";
import { h, put } from "./dom.js";
import { trouble } from "./frame.js";
import { LazyParts } from "./lazy-parts.js";
import { t } from "./texts.js";

/** @typedef {{element: HTMLElement, ready?: Promise<unknown>, close(): void}} View */
/** @type {Record<string, () => Promise<new (signedIn: SignedIn) => View>>} */
const PARTS = {
  models: async () => (await import("./models-page.js")).ModelsPage,
  queues: async () => (await import("./dead-letters-page.js")).DeadLettersPage,
  faults: async () => (await import("./operator-faults-page.js")).FaultsPage,
  people: async () => (await import("./people-page.js")).PeoplePage,
  equipment: async () => (await import("./credentials-page.js")).CredentialsPage,
};
const VIEWS = new LazyParts(PARTS);

/** The link of a push names a fault, whoever opens it. */
function asked() {
  return new URLSearchParams(location.search).has("fault") ? "faults" : VIEWS.asked;
}

export class OperatorPage {
  /** @type {View | null} */
  #page = null;
  #name = VIEWS.names[0];
  #stage = h("div");
  /** @type {Record<string, HTMLButtonElement>} */
  #buttons = {};

  /** @param {SignedIn} signedIn */
  constructor(signedIn) {
    this.signedIn = signedIn;
    for (const name of VIEWS.names) {
      this.#buttons[name] = h(
        "button",
        { type: "button", class: "quiet", onclick: () => this.#choose(name) },
        t(`operator.${name}`),
      );
    }
    this.element = h(
      "div",
      { class: "operator" },
      h("nav", { class: "views", "aria-label": t("operator.views") }, Object.values(this.#buttons)),
      this.#stage,
    );
    this.#choose(asked());
  }

  static ready() {
    return VIEWS.fetch(asked());
  }

  get title() {
    return t(`operator.${this.#name}.documentTitle`);
  }

  close() {
    VIEWS.close();
    this.#page?.close();
  }

  /** @param {string} name */
  #choose(name) {
    this.#page?.close();
    this.#page = null;
    this.#name = name;
    for (const [each, button] of Object.entries(this.#buttons)) {
      if (each === name) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    document.title = this.title;
    VIEWS.open(
      name,
      (View) => {
        this.#page = new View(this.signedIn);
        history.replaceState(null, "", `${location.pathname}?view=${name}`);
        arriving(this.#page.element, [this.#page.ready]);
        put(this.#stage, this.#page.element);
      },
      () =>
        put(
          this.#stage,
          trouble({ text: t("problem.no-connection") }, () => location.assign(`?view=${name}`)),
        ),
    );
  }
}
