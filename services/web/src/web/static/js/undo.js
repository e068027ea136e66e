// Taking the last confirmation back, for as long as the service lets it wait.

import { now } from "./clock.js";
import { h, put } from "./dom.js";
import { icon } from "./icons.js";
import { labelsOf } from "./reading.js";
import { counted, t } from "./texts.js";

export class Undo {
  /** @type {Task | null} */
  #task = null;
  #timer = 0;
  #left = h("span", { class: "left", "aria-hidden": "true" });
  #busy = false;
  /** How many confirmations are on their way. */
  #coming = 0;
  #askedEarly = false;
  element = h("div", { class: "undo", hidden: true });

  /**
   * `takeBack(task)` does it, and promises whether trying again may help; it never throws.
   *
   * @param {(task: Task) => Promise<boolean>} takeBack
   */
  constructor(takeBack) {
    this.takeBack = takeBack;
  }

  /**
   * Wait for a confirmation on its way: what `ask` asks for until then means this one.
   *
   * @param {() => Promise<Task>} confirm
   */
  async expect(confirm) {
    this.#coming += 1;
    try {
      return await confirm();
    } catch (problem) {
      this.#askedEarly = false;
      throw problem;
    } finally {
      this.#coming -= 1;
    }
  }

  /**
   * Offer to take a confirmation back; it takes the place of the one before.
   *
   * @param {Task} task
   */
  offer(task) {
    this.withdraw();
    const asked = this.#askedEarly && !this.#coming;
    if (!this.#coming) this.#askedEarly = false;
    if (!task.confirmation?.undo_until || this.#secondsLeft(task) <= 0) return;
    this.#task = task;
    const labels = counted(labelsOf(task));
    const button = h(
      "button",
      { class: "secondary", type: "button", "aria-label": t("undo.of", { labels }), onclick: () => this.press() },
      icon("retry"),
      h("span", {}, t("undo.button")),
      this.#left,
    );
    put(this.element, button);
    this.element.hidden = false;
    this.#count(task);
    if (asked) this.press();
  }

  /** @param {Task} task */
  #count(task) {
    const tick = () => {
      const seconds = this.#secondsLeft(task);
      this.#left.textContent = t("undo.left", { count: seconds });
      if (seconds <= 0) this.withdraw();
    };
    this.#timer = setInterval(tick, 1000);
    tick();
  }

  /** Take back the last confirmation, also one that is still on its way. Returns whether there is one. */
  ask() {
    if (this.#coming) this.#askedEarly = true;
    return this.#coming > 0 || this.press();
  }

  /** Take back what is offered. Returns whether something was. */
  press() {
    const task = this.#task;
    if (!task || this.#busy) return false;
    this.#busy = true;
    clearInterval(this.#timer);
    const button = this.element.querySelector("button");
    button?.setAttribute("disabled", "");
    this.takeBack(task).then((again) => {
      this.#busy = false;
      if (this.#task !== task) return;
      if (!again) return this.withdraw();
      button?.removeAttribute("disabled");
      this.#count(task);
    });
    return true;
  }

  /** @param {Task} [of] only if it is this one's */
  withdraw(of) {
    if (this.#busy || (of && of.id !== this.#task?.id)) return;
    const held = this.element.contains(document.activeElement);
    clearInterval(this.#timer);
    this.#task = null;
    this.element.hidden = true;
    put(this.element);
    // Whoever stood on it must not fall to the top of the page.
    if (held) document.getElementById("content")?.focus({ preventScroll: true });
  }

  close() {
    clearInterval(this.#timer);
    this.#task = null;
  }

  /** @param {Task} task */
  #secondsLeft(task) {
    return Math.ceil((Date.parse(task.confirmation?.undo_until ?? "") - now()) / 1000) || 0;
  }
}
