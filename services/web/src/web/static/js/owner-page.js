// The owner's page: what waits for a yes, and what is broken.

import { Alerts } from "./alerts.js";
import { explain } from "./api.js";
import { ConfirmCard } from "./confirm-card.js";
import { h, put, say } from "./dom.js";
import { DoneList } from "./done-list.js";
import { Equipment } from "./equipment.js";
import { connectionLine, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { Live, Meanwhile, supersedes } from "./live.js";
import { Reach } from "./reach.js";
import { labelsOf } from "./reading.js";
import { counted, t } from "./texts.js";
import { WaitingStrip } from "./waiting-strip.js";

const CLOCK_MS = 30000;
const PAGE = 100;
const MOST_PAGES = 5;
const WAITING = ["read", "unreadable"];

export class OwnerPage {
  /** @type {Map<string, Task>} */
  #waiting = new Map();
  /** @type {Set<string>} */
  #confirmed = new Set();
  #meanwhile = new Meanwhile();
  /** @type {ConfirmCard | null} */
  #card = null;
  /** @type {string[] | null} */
  #labels = null;
  #loaded = false;
  #more = false;
  #closed = new AbortController();
  #stage = h("div", { class: "stage" });
  #strip;
  #done;
  #count = h("span", { class: "count-badge" });
  #alertCount = h("span", { class: "count-badge alarm", hidden: true });
  #connection = connectionLine();
  /** @type {Map<string, StreamState>} */
  #states = new Map();
  #unseen = 0;

  /** @param {SignedIn} signedIn */
  constructor({ session, api, photos }) {
    this.session = session;
    this.api = api;
    this.photos = photos;
    this.#strip = new WaitingStrip(photos, (id) => this.#choose(id));
    this.#done = new DoneList(photos);
    this.alerts = new Alerts(api, {
      onCount: (count) => this.#showAlertCount(count),
      onState: (state) => this.#showState("alerts", state),
    });
    this.reach = new Reach(api);
    this.equipment = new Equipment(api, {
      onFaulty: (machines) => this.alerts.showFaulty(machines),
      onState: (state) => this.#showState("equipment", state),
    });
    this.element = h(
      "div",
      { class: "owner" },
      this.alerts.banner,
      h(
        "section",
        { class: "waiting", "aria-labelledby": "waiting-title" },
        h("h1", { id: "waiting-title" }, t("owner.waiting"), this.#count),
        this.#connection.element,
        !session.branches.length && trouble({ text: t("owner.noBranch") }),
        this.#done.latest,
        this.#stage,
        this.#strip.element,
        this.#done.before,
      ),
      h(
        "aside",
        { class: "watch" },
        h(
          "section",
          { "aria-labelledby": "alerts-title" },
          h("h2", { id: "alerts-title" }, t("alerts.title"), this.#alertCount),
          this.alerts.element,
        ),
        this.reach.element,
        h(
          "section",
          { "aria-labelledby": "equipment-title" },
          h("h2", { id: "equipment-title" }, t("equipment.title")),
          this.equipment.element,
        ),
      ),
    );
    this.live = new Live(api, "/api/helper/tasks/stream", {
      refresh: () => this.#refresh(),
      onChange: (task) => this.#onChange(task),
      onState: (state) => this.#showState("tasks", state),
    });
    this.#wire();
  }

  #wire() {
    const { signal } = this.#closed;
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.#showConnection(), { signal });
    this.alerts.show(Object.fromEntries(new URLSearchParams(location.search)));
    // The worker says which alert was tapped.
    navigator.serviceWorker?.addEventListener("message", ({ data }) => this.alerts.show(data ?? {}), { signal });
    const clock = setInterval(() => this.#tick(), CLOCK_MS);
    signal.addEventListener("abort", () => clearInterval(clock));
    this.live.start();
    this.#refresh().catch(() => {});
    this.#showConnection();
  }

  close() {
    this.#closed.abort();
    this.live.stop();
    this.alerts.close();
    this.reach.close();
    this.equipment.close();
  }

  async #refresh() {
    try {
      await this.#meanwhile.during(
        () => this.#list(),
        ({ found, more }, changes) => {
          for (const task of changes.values()) {
            if (this.#waits(task)) found.set(task.id, task);
            else found.delete(task.id);
          }
          this.#more = more;
          this.#waiting = found;
          this.#loaded = true;
          this.#draw();
        },
      );
    } catch (problem) {
      if (!this.#loaded)
        put(
          this.#stage,
          trouble(explain(problem), () => this.#refresh().catch(() => {})),
        );
      throw problem;
    }
  }

  async #list() {
    /** @type {Map<string, Task>} */
    const found = new Map();
    let cursor = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const { items, next } = await this.api.page("/api/helper/tasks", { limit: PAGE, cursor, status: WAITING });
      for (const task of items) if (this.#waits(task)) found.set(task.id, task);
      cursor = next;
      if (!next) break;
    }
    return { found, more: cursor !== null };
  }

  /**
   * A list that was on its way while a task was confirmed still has it as waiting.
   *
   * @param {Task} task
   */
  #waits(task) {
    return WAITING.includes(task.status) && !this.#confirmed.has(task.id);
  }

  /** @param {Task | {id: string}} changed */
  async #onChange(changed) {
    /** @type {Task} */
    let task;
    if ("status" in changed && "photo" in changed) task = changed;
    else {
      try {
        task = await this.api.json(`/api/helper/tasks/${encodeURIComponent(changed.id)}`);
      } catch {
        return;
      }
    }
    if (!supersedes(task, this.#waiting.get(task.id))) return;
    this.#meanwhile.note(task);
    const fresh = !this.#waiting.has(task.id);
    if (this.#waits(task)) this.#waiting.set(task.id, task);
    else this.#waiting.delete(task.id);
    if (task.status === "confirmed") this.#confirmed.add(task.id);
    this.#draw();
    if (fresh && this.#waiting.has(task.id)) say(t("owner.sayNew", { count: this.#waiting.size }));
  }

  /** Order of attention: unreadable and unsure tasks first, then the longest waiting. */
  #ordered() {
    /** @param {Task} task */
    const rank = (task) => `${task.reading && !task.reading.needs_review ? 1 : 0} ${task.submitted_at} ${task.id}`;
    return [...this.#waiting.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }

  #draw() {
    const tasks = this.#ordered();
    this.#count.textContent = this.#loaded ? `${tasks.length}${this.#more ? "+" : ""}` : "";
    const shown = this.#card?.task;
    const now = shown && this.#waiting.get(shown.id);
    // The card under the thumb stays in place, whatever else arrives.
    if (!now) this.#showCard(tasks[0]);
    else if (!this.#card?.inHand && JSON.stringify(now) !== JSON.stringify(shown)) this.#showCard(now);
    this.#strip.draw(tasks, this.#card?.task.id);
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
      if (this.#loaded)
        put(
          this.#stage,
          h("div", { class: "empty" }, icon("check"), h("p", {}, t("owner.empty")), h("p", {}, t("owner.emptyText"))),
        );
      return;
    }
    this.#card = new ConfirmCard(task, {
      photos: this.photos,
      labels: () => this.#knownLabels(),
      send: (labels) => this.#send(task, labels),
      manyBranches: this.session.branches.length > 1,
    });
    put(this.#stage, this.#card.element);
  }

  /**
   * @param {Task} task
   * @param {Garment[]} labels
   */
  async #send(task, labels) {
    const path = `/api/helper/tasks/${encodeURIComponent(task.id)}`;
    let after;
    try {
      after = await this.api.json(`${path}/confirmation`, { method: "POST", json: { labels } });
    } catch (problem) {
      if (problem.code !== "already-confirmed") throw problem;
      // Somebody else was faster; show what they said.
      after = await this.api.json(path);
      say(t("problem.already-confirmed"), { urgent: true });
    }
    this.#waiting.delete(task.id);
    this.#confirmed.add(task.id);
    this.#done.add(after);
    say(t("owner.sayDone", { labels: counted(labelsOf(after)), count: this.#waiting.size }));
    this.#draw();
    document.getElementById("content")?.focus({ preventScroll: true });
    const top = this.element.querySelector(".waiting");
    if (top && top.getBoundingClientRect().top < 0) top.scrollIntoView();
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

  #showConnection() {
    const states = [...this.#states.values()];
    /** @type {StreamState[]} */
    const bad = ["away", "crowded"];
    const worst = bad.find((state) => states.includes(state)) ?? "live";
    this.#connection.set(navigator.onLine ? worst : "offline");
  }

  /**
   * @param {string} of
   * @param {StreamState} state
   */
  #showState(of, state) {
    this.#states.set(of, state);
    this.#showConnection();
  }

  /** @param {number} count */
  #showAlertCount(count) {
    this.#alertCount.hidden = count === 0;
    this.#alertCount.textContent = String(count);
    this.#unseen = count;
    document.title = this.title;
  }

  get title() {
    const name = t("owner.documentTitle");
    return this.#unseen ? `(${this.#unseen}) ${t("alerts.title")} · ${name}` : name;
  }

  #tick() {
    this.alerts.tick();
  }
}
