// The operator's pages: the models, queues with their dead letters, people and branches, equipment, faults.

import { CredentialsPage } from "./credentials-page.js";
import { DeadLettersPage } from "./dead-letters-page.js";
import { h, put } from "./dom.js";
import { ModelsPage } from "./models-page.js";
import { FaultsPage } from "./operator-faults-page.js";
import { PeoplePage } from "./people-page.js";
import { t } from "./texts.js";

/** @type {Record<string, new (signedIn: SignedIn) => {element: HTMLElement, close(): void}>} */
const VIEWS = {
  models: ModelsPage,
  queues: DeadLettersPage,
  faults: FaultsPage,
  people: PeoplePage,
  equipment: CredentialsPage,
};

export class OperatorPage {
  /** @type {{element: HTMLElement, close(): void} | null} */
  #page = null;
  #name = "models";
  #stage = h("div");
  /** @type {Record<string, HTMLButtonElement>} */
  #buttons = {};

  /** @param {SignedIn} signedIn */
  constructor(signedIn) {
    this.signedIn = signedIn;
    for (const name of Object.keys(VIEWS)) {
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
    const address = new URLSearchParams(location.search);
    // The link of a push names a fault, whoever opens it.
    const asked = address.has("fault") ? "faults" : address.get("view");
    this.#choose(asked !== null && asked in VIEWS ? asked : "models");
  }

  get title() {
    return t(`operator.${this.#name}.documentTitle`);
  }

  close() {
    this.#page?.close();
  }

  /** @param {string} name */
  #choose(name) {
    this.#page?.close();
    this.#name = name;
    this.#page = new VIEWS[name](this.signedIn);
    for (const [each, button] of Object.entries(this.#buttons)) {
      if (each === name) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    document.title = this.title;
    history.replaceState(null, "", `${location.pathname}?view=${name}`);
    put(this.#stage, this.#page.element);
  }
}
