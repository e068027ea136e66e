// One task that waits for the owner: a large photo, what was read, one tap to confirm, a few to correct.

import { explain } from "./api.js";
import { h, put } from "./dom.js";
import { showTrouble, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { alternativesOf, careLabel, guessOf, stateLine } from "./reading.js";
import { ago, counted, has, moment, percent, t, word } from "./texts.js";

// A card that has just slid under the thumb must not take the second half of a double tap.
const SETTLE_MS = 450;
const MOST = 999;

export class ConfirmCard {
  /** @type {Map<string, number>} */
  #draft = new Map();
  #actions = h("div", { class: "confirm-actions" });
  #reading = h("div", { class: "confirm-reading" });
  #busy = false;

  /**
   * `labels()` promises the known labels; `send(labels)` confirms and throws Problem.
   *
   * @param {Task} task
   * @param {{photos: import("./photos.js").Photos, labels(): Promise<string[]>,
   *   send(labels: Garment[]): Promise<void>, manyBranches: boolean,
   *   place?: {place: number, count: number} | null}} options where `place` is the photo's within its load
   */
  constructor(task, { photos, labels, send, manyBranches, place = null }) {
    this.task = task;
    this.labels = labels;
    this.send = send;
    const best = guessOf(task);
    const alt = best.length ? t("photo.of", { labels: counted(best) }) : t("photo.unread");
    this.element = h(
      "article",
      {
        class: "confirm-card",
        "data-id": task.id,
        "aria-label": t("owner.cardName", { time: moment(task.submitted_at) }),
      },
      photos.view(task.id, { alt, large: true }),
      h(
        "div",
        { class: "confirm-body" },
        h(
          "div",
          { class: "confirm-head" },
          stateLine(task, { forOwner: true }),
          h(
            "p",
            { class: "meta" },
            h("time", { datetime: task.submitted_at, title: moment(task.submitted_at) }, ago(task.submitted_at)),
            manyBranches && h("span", {}, task.branch_id),
            place && h("span", {}, t("owner.ofLoad", place)),
          ),
        ),
        task.note && h("p", { class: "note" }, task.note),
        this.#reading,
        this.#actions,
      ),
    );
    if (this.#offersOneTap) this.#showReading();
    else this.#correct([]);
  }

  /** Whether the person is editing this card. */
  get inHand() {
    return this.#busy || this.#draft.size > 0;
  }

  /** What a swipe to each side does now. */
  get hints() {
    const confirm = this.#button("confirm");
    /** @type {Partial<Record<"right" | "left", string>>} */
    const hints = {};
    if (confirm) hints.right = confirm.innerText.trim();
    if (this.#button("correct")) hints.left = t("owner.correct");
    return hints;
  }

  /**
   * Do what a button of the card does, or choose the one of that number among the classes. Returns whether it could.
   *
   * @param {string} action "confirm", "correct", "back" or "choose"
   * @param {number} [number] from 1
   */
  press(action, number = 0) {
    const chips = this.#reading.querySelectorAll(".chips .chip");
    const button = action === "choose" ? chips[number - 1] : this.#button(action);
    if (!(button instanceof HTMLButtonElement) || button.disabled) return false;
    button.click();
    return true;
  }

  /**
   * @param {string} action
   * @returns {HTMLButtonElement | null}
   */
  #button(action) {
    return this.#actions.querySelector(`button[data-do=${action}]:not(:disabled)`);
  }

  /** Several garments are counted by hand: what the reader found is often not quite all, or not quite that. */
  get #offersOneTap() {
    return guessOf(this.task).length > 0 && !this.task.reading?.multiple;
  }

  #showReading() {
    const best = guessOf(this.task);
    const others = alternativesOf(this.task);
    this.#draft.clear();
    this.element.dataset.mode = "reading";
    put(
      this.#reading,
      careLabel(best, { title: t("owner.readAs"), sure: !this.task.reading?.needs_review }),
      others.length > 0 &&
        h(
          "div",
          { class: "others" },
          h("p", {}, t("owner.others")),
          h(
            "div",
            { class: "chips" },
            others.map((other) =>
              h(
                "button",
                { class: "chip", type: "button", onclick: () => this.#correct([{ label: other.label, count: 1 }]) },
                word("label", other.label),
                h("small", {}, percent(other.confidence)),
              ),
            ),
          ),
        ),
    );
    const confirm = h(
      "button",
      { class: "primary", type: "button", "data-do": "confirm", disabled: true, onclick: () => this.#confirm(best) },
      icon("check"),
      h("span", {}, t("owner.confirm", { labels: counted(best) })),
    );
    const correct = h(
      "button",
      { class: "secondary", type: "button", "data-do": "correct", onclick: () => this.#correct(best) },
      icon("pencil"),
      t("owner.correct"),
    );
    put(this.#actions, confirm, correct);
    setTimeout(() => confirm.removeAttribute("disabled"), SETTLE_MS);
  }

  /** @param {Garment[]} labels */
  async #correct(labels) {
    this.element.dataset.mode = "correcting";
    this.#draft = new Map(labels.map(({ label, count }) => [label, count ?? 1]));
    put(this.#reading, h("p", { class: "loading" }, t("owner.loadingLabels")));
    put(this.#actions);
    /** @type {string[]} */
    let known;
    try {
      known = await this.labels();
    } catch (problem) {
      showTrouble(this.#reading, problem, () => this.#correct(labels));
      this.#draft.clear();
      if (this.#offersOneTap) put(this.#actions, this.#backButton());
      return;
    }
    const likely = this.#found.map(({ label }) => label);
    this.#showCorrection([...new Set([...likely, ...known, ...this.#draft.keys()])]);
  }

  /**
   * Of several garments: those that the reader found, or its one best guess.
   *
   * @returns {Garment[]}
   */
  get #found() {
    return this.task.reading?.multiple ? this.task.reading.labels : [];
  }

  /** @param {string[]} known */
  #showCorrection(known) {
    const chosen = h("ul", { class: "chosen" });
    const save = h("button", {
      class: "primary",
      type: "button",
      "data-do": "confirm",
      onclick: () => this.#confirm(this.#drafted()),
    });
    const begin = h(
      "button",
      { class: "secondary", type: "button", onclick: () => this.#correct(this.#found) },
      icon("eye"),
      h("span", {}, t("owner.begin", { labels: counted(this.#found) })),
    );
    const chips = new Map(
      known.map((label) => [
        label,
        h(
          "button",
          { class: "chip", type: "button", "aria-pressed": "false", onclick: () => toggle(label) },
          word("label", label),
        ),
      ]),
    );
    /** @param {string} label */
    const toggle = (label) => {
      if (!this.#draft.delete(label)) this.#draft.set(label, 1);
      draw();
    };
    const draw = () => {
      for (const [label, chip] of chips) chip.setAttribute("aria-pressed", String(this.#draft.has(label)));
      put(
        chosen,
        [...this.#draft].map(([label, count]) => this.#stepper(label, count)),
      );
      chosen.hidden = this.#draft.size === 0;
      begin.hidden = this.#draft.size > 0 || pieces(this.#found) < 2;
      save.toggleAttribute("disabled", this.#draft.size === 0);
      put(
        save,
        icon("check"),
        h("span", {}, this.#draft.size ? t("owner.save", { labels: counted(this.#drafted()) }) : t("owner.choose")),
      );
    };
    put(
      this.#reading,
      this.#reason(),
      begin,
      h("p", { class: "ask", id: `ask-${this.task.id}` }, t("owner.what")),
      h("div", { class: "chips", role: "group", "aria-labelledby": `ask-${this.task.id}` }, ...chips.values()),
      chosen,
    );
    put(this.#actions, save, this.#offersOneTap && this.#backButton());
    draw();
  }

  #reason() {
    if (this.task.status !== "unreadable") return null;
    const key = `unreadable.${this.task.unreadable_reason}`;
    return h("p", { class: "why" }, has(key) ? t(key) : t("unreadable.other"));
  }

  #backButton() {
    return h(
      "button",
      { class: "secondary", type: "button", "data-do": "back", onclick: () => this.#showReading() },
      t("action.back"),
    );
  }

  #drafted() {
    return [...this.#draft].map(([label, count]) => ({ label, count }));
  }

  /**
   * @param {string} label
   * @param {number} count
   */
  #stepper(label, count) {
    const name = word("label", label);
    const number = h("output", { "aria-live": "polite" }, String(count));
    /** @param {number} by */
    const change = (by) => {
      const next = Math.min(MOST, Math.max(1, (this.#draft.get(label) ?? 0) + by));
      this.#draft.set(label, next);
      number.value = String(next);
      const said = this.#actions.querySelector(".primary span");
      if (said) put(said, t("owner.save", { labels: counted(this.#drafted()) }));
    };
    return h(
      "li",
      {},
      h("span", { class: "garment" }, name),
      h(
        "button",
        {
          class: "quiet icon-only",
          type: "button",
          "aria-label": t("owner.less", { label: name }),
          onclick: () => change(-1),
        },
        icon("minus"),
      ),
      number,
      h(
        "button",
        {
          class: "quiet icon-only",
          type: "button",
          "aria-label": t("owner.more", { label: name }),
          onclick: () => change(1),
        },
        icon("plus"),
      ),
    );
  }

  /** @param {Garment[]} labels */
  async #confirm(labels) {
    if (this.#busy) return;
    this.#busy = true;
    const buttons = this.element.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    this.element.querySelector(".trouble")?.remove();
    this.element.setAttribute("aria-busy", "true");
    try {
      await this.send(labels.map(({ label, count }) => ({ label, count: count ?? 1 })));
    } catch (problem) {
      for (const button of buttons) button.disabled = false;
      this.#actions.prepend(trouble(explain(problem)));
    } finally {
      this.#busy = false;
      this.element.removeAttribute("aria-busy");
    }
  }
}

/** @param {Garment[]} labels */
function pieces(labels) {
  return labels.reduce((sum, { count }) => sum + (count ?? 1), 0);
}
