// What waits for the owner's yes: one card at a time, confirmed by a tap, a swipe or a key.

import { explain } from "./api.js";
import { ConfirmCard } from "./confirm-card.js";
import { FILTER_KEY, keptFilter, ordered } from "./confirm-order.js";
import { h, put, say } from "./dom.js";
import { DoneList } from "./done-list.js";
import { emptyState } from "./drawings.js";
import { showTrouble, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { remember } from "./kept.js";
import { Live, ReconciledFetch, supersedes, wholeTask } from "./live.js";
import { labelsOf } from "./reading.js";
import { listenForShortcuts, showShortcuts, undoSeconds } from "./shortcuts.js";
import { swipeable } from "./swipe.js";
import { PAGE, WAITING, waitingAddress } from "./task-addresses.js";
import { counted, t } from "./texts.js";
import { placeIn } from "./together.js";
import { Undo } from "./undo.js";
import { WaitingStrip } from "./waiting-strip.js";

const MOST_PAGES = 5;

export class ConfirmView {
  /** @type {Map<string, Task>} */
  #waiting = new Map();
  /** In which version each was confirmed, of those that were while this is open. @type {Map<string, number>} */
  #confirmed = new Map();
  #fetches = new ReconciledFetch();
  /** @type {ConfirmCard | null} */
  #card = null;
  /** @type {string[] | null} */
  #labels = null;
  #loaded = false;
  #more = false;
  #closed = new AbortController();
  /** Why there is no list yet. */
  #told = h("div");
  #stage = h("div", { class: "stage" });
  #strip;
  #done;
  #undo = new Undo((task) => this.#takeBack(task));
  #count = h("span", { class: "count-badge" });
  #filter;

  /**
   * @param {SignedIn} signedIn
   * @param {(state: StreamState) => void} onState
   */
  constructor({ session, api, photos }, onState) {
    this.session = session;
    this.api = api;
    this.photos = photos;
    this.#filter = keptFilter(session);
    this.#strip = new WaitingStrip(photos, (id) => this.#choose(id));
    this.#done = new DoneList(photos);
    this.element = h(
      "section",
      { class: "waiting", "aria-labelledby": "waiting-title" },
      h("h1", { id: "waiting-title" }, t("owner.waiting"), this.#count),
      !session.branches.length && trouble({ text: t("owner.noBranch") }),
      this.#controls(),
      h("div", { class: "last-done" }, this.#done.latest, this.#undo.element),
      this.#told,
      this.#stage,
      this.#strip.element,
      this.#done.before,
    );
    this.live = new Live(api, "/api/helper/tasks/stream", {
      refresh: () => this.#refresh(),
      onChange: (task) => this.#onChange(task),
      draw: () => this.#draw(),
      onState,
    });
    listenForShortcuts((action, number) => this.#act(action, number), this.#closed.signal);
    this.live.start();
    this.ready = this.#refresh().catch(() => {});
  }

  get title() {
    return t("owner.documentTitle");
  }

  close() {
    this.#closed.abort();
    this.#undo.close();
    this.live.stop();
  }

  #controls() {
    const { branches } = this.session;
    const branch = h(
      "select",
      { "aria-label": t("filter.branch") },
      ["", ...branches].map((name) =>
        h("option", { value: name, selected: name === this.#filter.branch }, name || t("filter.allBranches")),
      ),
    );
    branch.addEventListener("change", () => {
      this.#filter.branch = branch.value;
      this.#loaded = false;
      put(this.#told);
      this.#keepFilter();
      this.#refresh().catch(() => {});
    });
    const unsure = h(
      "button",
      { class: "chip", type: "button", "aria-pressed": String(this.#filter.unsureFirst) },
      t("filter.unsureFirst"),
    );
    unsure.addEventListener("click", () => {
      this.#filter.unsureFirst = !this.#filter.unsureFirst;
      unsure.setAttribute("aria-pressed", String(this.#filter.unsureFirst));
      this.#keepFilter();
    });
    const help = h(
      "button",
      { class: "quiet icon-only", type: "button", "aria-label": t("shortcuts.title"), onclick: showShortcuts },
      icon("keyboard"),
    );
    const choice = branches.length > 1 && h("div", { class: "choice" }, branch);
    return h("div", { class: "filters" }, choice, unsure, help);
  }

  #keepFilter() {
    remember(`${FILTER_KEY}.${this.session.sub}`, JSON.stringify(this.#filter));
    this.#draw({ afresh: true });
  }

  async #refresh() {
    const filter = { ...this.#filter };
    const meant = () => filter.branch === this.#filter.branch;
    try {
      await this.#fetches.during(
        () => this.#list(filter),
        ({ found, more }, changes) => {
          if (!meant()) return;
          for (const task of changes.values()) {
            if (this.#waits(task)) found.set(task.id, task);
            else found.delete(task.id);
          }
          this.#more = more;
          this.#waiting = found;
          this.#loaded = true;
          put(this.#told);
          this.#draw();
        },
      );
    } catch (problem) {
      if (!this.#loaded && meant()) showTrouble(this.#told, problem, () => this.#refresh().catch(() => {}));
      throw problem;
    }
  }

  /** @param {import("./confirm-order.js").Filter} filter */
  async #list(filter) {
    /** @type {Map<string, Task>} */
    const found = new Map();
    let cursor = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const { items, next } = await this.api.list(waitingAddress(filter, cursor));
      for (const task of items) if (this.#waits(task)) found.set(task.id, task);
      cursor = next;
      if (!next) break;
    }
    return { found, more: cursor !== null };
  }

  /**
   * A list that was on its way while a task was confirmed still has it as waiting; one that was taken back is newer.
   *
   * @param {Task} task
   */
  #waits(task) {
    const { branch } = this.#filter;
    if (branch && task.branch_id !== branch) return false;
    return WAITING.includes(task.status) && task.version > (this.#confirmed.get(task.id) ?? 0);
  }

  /** @param {Task | {id: string}} changed */
  async #onChange(changed) {
    const task = await wholeTask(this.api, changed);
    if (!task) return;
    if (!supersedes(task, this.#waiting.get(task.id))) return;
    this.#fetches.note(task);
    const fresh = !this.#waiting.has(task.id);
    if (this.#waits(task)) {
      this.#waiting.set(task.id, task);
      this.#forgetDone(task);
    } else this.#waiting.delete(task.id);
    if (task.status === "confirmed") this.#confirmed.set(task.id, task.version);
    if (fresh && this.#waiting.has(task.id)) say(t("owner.sayNew", { count: this.#waiting.size }));
  }

  /**
   * A confirmed task waits again: it was taken back, here or in another tab.
   *
   * @param {Task} task
   */
  #forgetDone(task) {
    this.#confirmed.delete(task.id);
    this.#done.remove(task.id);
    this.#undo.withdraw(task);
  }

  #ordered() {
    return ordered([...this.#waiting.values()], this.#filter);
  }

  #draw({ afresh = false } = {}) {
    const tasks = this.#ordered();
    this.#count.textContent = this.#loaded ? `${tasks.length}${this.#more ? "+" : ""}` : "";
    const shown = this.#card?.task;
    const now = tasks.find(({ id }) => id === shown?.id);
    // The card under the thumb stays in place, whatever else arrives.
    if (!now || (afresh && !this.#card?.inHand)) this.#showCard(tasks[0]);
    else if (!this.#card?.inHand && JSON.stringify(now) !== JSON.stringify(shown)) this.#showCard(now);
    this.#strip.draw(tasks, this.#card?.task.id);
  }

  /**
   * What a key asks for. Returns whether there was something to do.
   *
   * @param {string} action
   * @param {number} [number]
   */
  #act(action, number = 0) {
    if (action === "help") showShortcuts();
    else if (action === "undo") return this.#undo.ask();
    else if (action === "next" || action === "previous") return this.#step(action === "next" ? 1 : -1);
    else return Boolean(this.#card?.press(action, number));
    return true;
  }

  /** @param {number} by */
  #step(by) {
    const tasks = this.#ordered();
    const at = tasks.findIndex(({ id }) => id === this.#card?.task.id);
    const next = tasks[at + by];
    if (next) this.#choose(next.id);
    return Boolean(next);
  }

  /** @param {string} id */
  #choose(id) {
    this.#showCard(this.#waiting.get(id));
    this.#strip.draw(this.#ordered(), id);
    this.#stage.scrollIntoView({ block: "nearest" });
  }

  /** @param {Task | undefined} task */
  #showCard(task) {
    if (!task) {
      this.#card = null;
      put(this.#stage, this.#loaded && emptyState("folded", t("owner.empty"), t("owner.emptyText")));
      return;
    }
    this.#card = new ConfirmCard(task, {
      photos: this.photos,
      labels: () => this.#knownLabels(),
      send: (labels) => this.#send(task, labels),
      manyBranches: this.session.branches.length > 1,
      place: placeIn(task, this.#ordered()),
    });
    const card = this.#card;
    swipeable(card.element, {
      hints: () => card.hints,
      onSwipe: (side) => card.press(side === "right" ? "confirm" : "correct"),
    });
    put(this.#stage, card.element);
  }

  /**
   * @param {Task} task
   * @param {Garment[]} labels
   */
  async #send(task, labels) {
    const after = await this.#undo.expect(() => this.#confirm(pathOf(task), labels));
    this.#waiting.delete(task.id);
    this.#confirmed.set(task.id, after.version);
    this.#done.add(after);
    this.#undo.offer(after);
    say(t("owner.sayDone", { labels: counted(labelsOf(after)), count: this.#waiting.size }));
    this.#draw();
    document.getElementById("content")?.focus({ preventScroll: true });
    if (this.element.getBoundingClientRect().top < 0) this.element.scrollIntoView();
    // What did not fit into the list before.
    if (this.#more && this.#waiting.size < PAGE) this.#refresh().catch(() => {});
  }

  /**
   * @param {string} path
   * @param {Garment[]} labels
   * @returns {Promise<Task>}
   */
  async #confirm(path, labels) {
    try {
      return await this.api.json(`${path}/confirmation`, { method: "POST", json: { labels, undo_s: undoSeconds() } });
    } catch (problem) {
      if (problem.code !== "already-confirmed") throw problem;
      // Somebody else was faster; show what they said.
      say(t("problem.already-confirmed"), { urgent: true });
      return this.api.json(path);
    }
  }

  /**
   * Returns whether the confirmation stands and may still be taken back.
   *
   * @param {Task} task
   */
  async #takeBack(task) {
    try {
      const after = await this.api.json(`${pathOf(task)}/confirmation`, { method: "DELETE" });
      this.#forgetDone(after);
      if (this.#waits(after)) this.#waiting.set(after.id, after);
    } catch (problem) {
      // If it waits again, only the answer was lost.
      if (this.#confirmed.has(task.id)) {
        const { text } = explain(problem);
        say(text, { urgent: true });
        this.#done.say(text);
        return problem.passing;
      }
    }
    this.#choose(task.id);
    this.#draw();
    say(t("undo.done", { labels: counted(labelsOf(task)) }));
    return false;
  }

  /**
   * The labels of the model that reads now; where that cannot be asked, those that a confirmation may hold.
   *
   * @returns {Promise<string[]>}
   */
  async #knownLabels() {
    const labels =
      this.#labels ?? (await this.#labelsOfTheChampion()) ?? (await this.api.json("/api/helper/labels")).items;
    this.#labels = labels;
    return labels;
  }

  /** @returns {Promise<string[] | null>} */
  async #labelsOfTheChampion() {
    try {
      const { items } = await this.api.page("/api/mlops/models");
      return items.find((model) => model.champion)?.labels ?? null;
    } catch {
      // The next source may answer.
      return null;
    }
  }
}

/** @param {Task} task */
function pathOf(task) {
  return `/api/helper/tasks/${encodeURIComponent(task.id)}`;
}
