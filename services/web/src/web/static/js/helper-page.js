// The helper's page: a photo goes in with one tap, and what became of each is below.

import { explain, Problem } from "./api.js";
import { Corrections } from "./corrections.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { connectionLine, showTrouble } from "./frame.js";
import { Intake } from "./intake.js";
import { Live, ReconciledFetch, supersedes, wholeTask } from "./live.js";
import { Loads } from "./loads.js";
import { labelsOf } from "./reading.js";
import { Retaking } from "./retaking.js";
import { counted, t } from "./texts.js";
import { together } from "./together.js";
import { UploadQueue } from "./upload-queue.js";

const PAGE = 20;
const MORE = 100;
const LARGEST_PAGE = 200;
const MOST_PAGES = 5;
const CLOCK_MS = 30000;
const CLOCKS_APART_MS = 120000;

export class HelperPage {
  /** @type {Map<string, Task>} */
  #tasks = new Map();
  #fetches = new ReconciledFetch();
  /** @type {string | null} */
  #next = null;
  /** How often older ones were added below the list. */
  #extended = 0;
  #adding = false;
  #loaded = false;
  #closed = new AbortController();
  #above = h("div", {});
  #below = h("div", { class: "more" });
  #connection = connectionLine();
  /** @type {StreamState} */
  #streamState = "live";

  /** @param {SignedIn} signedIn */
  constructor({ session, api, queue, photos }) {
    if (!queue) throw new Error("a helper has a queue of photos");
    this.session = session;
    this.api = api;
    this.queue = queue;
    this.photos = photos;
    this.intake = new Intake(session, queue);
    this.retaking = new Retaking(queue, this.intake);
    this.loads = new Loads({ photos, queue, retaking: this.retaking, session });
    this.element = h(
      "div",
      { class: "helper" },
      this.intake.element,
      this.retaking.element,
      h(
        "section",
        { class: "history", "aria-labelledby": "history-title" },
        h("h2", { id: "history-title" }, t("helper.history")),
        this.#connection.element,
        this.#above,
        this.loads.element,
        this.#below,
        new Corrections(api, photos).element,
      ),
    );
    this.live = new Live(api, "/api/helper/tasks/stream", {
      refresh: () => this.#refresh(),
      onChange: (task) => this.#onChange(task),
      draw: () => this.#draw(),
      onState: (state) => {
        this.#streamState = state;
        this.#showConnection();
      },
    });
    this.#wire();
  }

  #wire() {
    const { signal } = this.#closed;
    this.queue.on("changed", (item) => this.#onItem(item), { signal });
    this.queue.on("gone", () => this.live.drawSoon(), { signal });
    this.queue.on("registered", ({ item, task }) => this.#onRegistered(item, task), { signal });
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.#showConnection(), { signal });
    const clock = setInterval(() => this.loads.tick(), CLOCK_MS);
    signal.addEventListener("abort", () => clearInterval(clock));
    this.live.start();
    // What stands below the list shows itself once it is known how long that is.
    this.loads.element.classList.add("expected");
    this.#refresh()
      .catch(() => {})
      .finally(() => this.loads.element.classList.remove("expected"));
    this.#showConnection();
    this.#draw();
  }

  /**
   * The photos that wait: they are sent as long as their helper is signed in, whatever is shown.
   *
   * @param {import("./api.js").Api} api
   * @param {import("./photo-store.js").PhotoStore} store
   */
  static queueOf(api, store) {
    return new UploadQueue(api, store).start();
  }

  get title() {
    return t("helper.documentTitle");
  }

  close() {
    this.#closed.abort();
    this.live.stop();
  }

  async #refresh() {
    const extended = this.#extended;
    try {
      await this.#fetches.during(
        () => this.#fetchAll(),
        ({ items, next }, changes) => {
          const alone = extended === this.#extended && !this.#adding;
          this.#takeList(items, alone ? next : undefined, changes);
        },
      );
      put(this.#above);
      this.#draw();
    } catch (problem) {
      if (problem instanceof Problem && !this.#loaded && navigator.onLine) {
        showTrouble(this.#above, problem, () => this.#refresh().catch(() => {}));
      }
      throw problem;
    }
  }

  /** As many as are shown: each of them may have changed while nobody told. */
  async #fetchAll() {
    const wanted = Math.max(PAGE, this.#tasks.size);
    /** @type {Task[]} */
    const items = [];
    let next = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const limit = Math.min(LARGEST_PAGE, wanted - items.length);
      const found = await this.api.page("/api/helper/tasks", { limit, cursor: next });
      items.push(...found.items);
      next = found.next;
      if (!next || items.length >= wanted) break;
    }
    return { items, next };
  }

  /**
   * @param {Task[]} items
   * @param {string | null | undefined} next undefined where older ones come in below meanwhile
   * @param {Map<string, Task>} changes
   */
  #takeList(items, next, changes) {
    const listed = new Set(items.map((task) => task.id));
    // Lists are in the order of ids.
    const end = items.at(-1)?.id ?? "";
    // Items beyond the list are stale, and "more" fetches them; unless it just did, or is at it.
    const stays = (/** @type {string} */ id) => listed.has(id) || changes.has(id) || (next === undefined && id < end);
    this.#tasks = new Map([...this.#tasks].filter(([id]) => stays(id)));
    for (const task of [...items, ...changes.values()]) this.#keep(task);
    if (next !== undefined) this.#next = next;
    this.#loaded = true;
  }

  async #more() {
    this.#below.querySelector("button")?.setAttribute("disabled", "");
    this.#adding = true;
    try {
      const { items, next } = await this.api.page("/api/helper/tasks", { limit: MORE, cursor: this.#next });
      for (const task of items) this.#keep(task);
      this.#next = next;
      this.#extended += 1;
      this.#draw();
    } catch (problem) {
      showTrouble(this.#below, problem, () => this.#more());
    } finally {
      this.#adding = false;
    }
  }

  /** @param {Task} task */
  #keep(task) {
    if (supersedes(task, this.#tasks.get(task.id))) this.#tasks.set(task.id, task);
  }

  /** @param {Task | {id: string}} changed */
  async #onChange(changed) {
    const task = await wholeTask(this.api, changed);
    if (!task) return;
    const before = this.#tasks.get(task.id)?.status;
    this.#fetches.note(task);
    this.#keep(task);
    if (before === task.status) return;
    if (task.status === "read") say(t("helper.sayRead", { labels: counted(labelsOf(task)) }));
    if (task.status === "unreadable") say(t("helper.sayUnreadable"));
  }

  /** @param {UploadItem} item */
  #onItem(item) {
    if (this.loads.isShown(item)) {
      this.loads.showProgress(item);
      return;
    }
    if (item.state === "refused" && item.problem) say(explain(item.problem).text, { urgent: true });
    this.#showConnection();
    this.live.drawSoon();
  }

  /**
   * @param {UploadItem} item
   * @param {Task} task
   */
  #onRegistered(item, task) {
    this.photos.adopt(task.id, item.blob);
    // The reading may have come through the stream before this answer did.
    this.#keep(task);
    this.#fetches.note(this.#tasks.get(task.id));
    this.live.drawSoon();
    this.#showConnection();
    say(t("helper.sayRegistered"));
  }

  #showConnection() {
    const waiting = this.queue.items.filter((item) => item.state !== "refused");
    const unkept = waiting.some((item) => item.unkept);
    const key = unkept
      ? "connection.offlineUnkept"
      : waiting.length
        ? "connection.offlineWaiting"
        : "connection.offline";
    if (!navigator.onLine) this.#connection.set("offline", t(key, { count: waiting.length }));
    else this.#connection.set(this.#streamState);
  }

  #draw() {
    const items = [...this.queue.items].sort((a, b) => b.addedAt - a.addedAt);
    const replaced = new Set(
      items.filter(({ state }) => state !== "refused").flatMap(({ replaces }) => replaces ?? []),
    );
    const tasks = [...this.#tasks.values()]
      .filter((task) => task.status !== "withdrawn" && !replaced.has(`task:${task.id}`) && !this.#stillSending(task))
      .sort((a, b) => (a.submitted_at < b.submitted_at ? 1 : -1));
    const shown = this.loads.draw(items, together(tasks));
    this.intake.showUnkept();
    const empty = emptyState("basket", t("helper.empty"), t("helper.emptyText"));
    const more = h("button", { class: "secondary", type: "button", onclick: () => this.#more() }, t("action.more"));
    put(this.#below, this.#loaded && !shown && empty, this.#next && more);
  }

  /**
   * Whether a task is of a photo whose own answer is still on its way, or was lost: the news of a task can be
   * faster than the answer to the upload that made it. It is shown once, as the photo.
   *
   * @param {Task} task
   */
  #stillSending(task) {
    return this.queue.items.some(
      (item) =>
        item.state !== "refused" &&
        task.helper_id === this.session.sub &&
        task.branch_id === item.branchId &&
        task.photo.bytes === item.blob.size &&
        Date.parse(task.submitted_at) > item.addedAt - CLOCKS_APART_MS,
    );
  }
}
