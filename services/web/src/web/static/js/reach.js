// How people are reached with the page closed: turning it on in this browser, trying it, and the devices they have.

import { explain } from "./api.js";
import { h, put, say } from "./dom.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { once } from "./once.js";
import { CannotSubscribe, thisDevice, turnOff, turnOn } from "./push.js";
import { ago, moment, t } from "./texts.js";

const PATH = "/api/notification/devices";

export class Reach {
  /** @type {OwnDevice[] | null} */
  #devices = null;
  /** @type {string | null} */
  #here = null;
  #closed = false;
  #switch = h("div", { class: "reach-switch" });
  #told = h("div", { class: "reach-told" });
  #list = h("ul", { class: "devices" });

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    this.element = h(
      "section",
      { class: "reach", "aria-labelledby": "reach-title" },
      h("h2", { id: "reach-title" }, t("reach.title")),
      this.#switch,
      this.#told,
      this.#list,
    );
    this.ready = this.refresh();
  }

  close() {
    this.#closed = true;
  }

  async refresh() {
    try {
      const [here, { items }] = await Promise.all([thisDevice(this.api.session), this.api.json(PATH)]);
      this.#here = items.some((/** @type {OwnDevice} */ device) => device.id === here) ? here : null;
      this.#devices = items;
    } catch (problem) {
      if (!this.#devices) this.#say(problem, () => this.refresh());
    }
    if (!this.#closed) this.#draw();
  }

  #draw() {
    if (!this.#devices) return;
    const on = this.#here !== null;
    put(
      this.#switch,
      h("p", {}, t(on ? "reach.on" : "reach.off")),
      on
        ? h(
            "div",
            { class: "reach-acts" },
            this.#button("reach.test", "bell", () => this.#test(this.#here)),
            this.#button("reach.turnOff", "close", () => this.#turnOff()),
          )
        : this.#button(`reach.turnOn.${this.api.session.role}`, "bell", () => this.#turnOn(), "primary"),
    );
    put(
      this.#list,
      this.#devices.map((device) => this.#row(device)),
    );
  }

  /** @param {OwnDevice} device */
  #row(device) {
    const here = device.id === this.#here;
    const name = device.name || t(`reach.phone.${device.platform}`);
    return h(
      "li",
      {},
      icon(device.kind === "web_push" ? "bell" : "phone"),
      h(
        "div",
        {},
        h("p", { class: "device-name" }, name, here && h("span", {}, t("reach.here"))),
        h(
          "p",
          { class: "meta" },
          device.reached_at
            ? h(
                "time",
                { datetime: device.reached_at, title: moment(device.reached_at) },
                t("reach.last", { time: ago(device.reached_at) }),
              )
            : h("span", {}, t("reach.never")),
        ),
      ),
      !here &&
        h(
          "button",
          {
            class: "quiet icon-only",
            type: "button",
            "aria-label": t("reach.remove", { name }),
            onclick: ({ currentTarget }) => once(currentTarget, () => this.#remove(device)),
          },
          icon("bin"),
        ),
    );
  }

  /**
   * @param {string} key
   * @param {string} drawing
   * @param {() => Promise<void>} act
   */
  #button(key, drawing, act, look = "quiet") {
    const button = h("button", { class: look, type: "button", onclick: run }, icon(drawing), t(key));
    const attempt = (/** @type {() => void} */ again) => act.call(this).catch((problem) => this.#say(problem, again));
    async function run() {
      button.disabled = true;
      await attempt(run);
      button.disabled = false;
    }
    return button;
  }

  async #turnOn() {
    put(this.#told);
    await turnOn(this.api);
    await this.refresh();
    say(t("reach.on"));
    this.element.querySelector("button")?.focus();
  }

  async #turnOff() {
    put(this.#told);
    const here = this.#here;
    await turnOff();
    if (here) await this.api.fetch(`${PATH}/${here}`, { method: "DELETE" });
    await this.refresh();
    say(t("reach.off"));
    this.element.querySelector("button")?.focus();
  }

  /** @param {string | null} device */
  async #test(device) {
    put(this.#told);
    try {
      await this.api.fetch(`${PATH}/${device}/test`, { method: "POST" });
      put(this.#told, h("p", { class: "notice", role: "status" }, icon("check"), h("span", {}, t("reach.tested"))));
    } catch (problem) {
      // It is no longer registered: turning it on again is all that helps.
      if (problem.code === "device-gone" || problem.code === "device-not-found") await turnOff();
      throw problem;
    } finally {
      await this.refresh();
    }
  }

  /** @param {OwnDevice} device */
  async #remove(device) {
    put(this.#told);
    try {
      await this.api.fetch(`${PATH}/${device.id}`, { method: "DELETE" });
    } catch (problem) {
      this.#say(problem, () => this.#remove(device));
    }
    await this.refresh();
  }

  /**
   * @param {any} problem
   * @param {() => void} again
   */
  #say(problem, again) {
    if (problem instanceof CannotSubscribe) {
      // What to tap is no error.
      put(this.#told, h("p", { class: "notice", role: "status" }, icon("bell"), h("span", {}, t(problem.key))));
    } else {
      put(this.#told, trouble(explain(problem), again));
    }
  }
}
