// What a customer likes, and the branches that suit.

import { h, put } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble } from "./frame.js";
import { icon } from "./icons.js";
import { Live } from "./live.js";
import { TagChooser } from "./tag-chooser.js";
import { levelOf } from "./taste.js";
import { percent, t } from "./texts.js";

const TASTE = "/api/search/customers/me/preference";
const PAGE = 20;
const LARGEST_PAGE = 100;

export class LikesView {
  #taste = new TagChooser({ levels: "taste.level", none: "taste.none", onChange: () => this.#save() });
  #saved = h("p", { class: "meta saved", role: "status" });
  #branches = h("ol", { class: "branches" });
  #none = h("div", {});
  #more = h("div", { class: "more" });
  #loaded = false;
  #dirty = false;
  #saving = false;
  #closed = false;
  #asked = 0;
  #adding = false;

  /**
   * @param {SignedIn} signedIn
   * @param {(state: StreamState) => void} onState
   */
  constructor({ api }, onState) {
    this.api = api;
    this.element = h(
      "div",
      { class: "likes" },
      h(
        "section",
        { "aria-labelledby": "taste-title" },
        h("h1", { id: "taste-title" }, t("taste.title")),
        h("p", { class: "lead" }, t("taste.lead")),
        this.#taste.choices,
        h("h2", { id: "chosen-title" }, t("taste.chosen")),
        this.#taste.chosen,
        this.#saved,
      ),
      h(
        "section",
        { "aria-labelledby": "branches-title" },
        h("h2", { id: "branches-title" }, t("matches.title")),
        this.#none,
        this.#branches,
        this.#more,
      ),
    );
    this.live = new Live(api, "/api/search/branches/matching/stream", {
      refresh: () => this.#match(),
      onState,
    });
    this.#load();
  }

  get title() {
    return t("taste.documentTitle");
  }

  close() {
    this.#closed = true;
    this.live.stop();
  }

  async #load() {
    try {
      const [tags, taste] = await Promise.all([this.api.json("/api/search/branches/tags"), this.#ownTaste()]);
      if (this.#closed) return;
      this.#taste.show(tags.items, taste);
      this.#loaded = true;
      this.live.start();
      this.#match().catch(() => {});
    } catch (problem) {
      showTrouble(this.#taste.choices, problem, () => this.#load());
    }
  }

  /** @returns {Promise<Record<string, number>>} */
  async #ownTaste() {
    try {
      return (await this.api.json(TASTE)).tags;
    } catch (problem) {
      if (problem.code === "no-preference") return {};
      throw problem;
    }
  }

  /** Each change at once, one after the other: what was chosen last is what counts. */
  async #save() {
    this.#dirty = true;
    if (this.#saving) return;
    this.#saving = true;
    put(this.#saved, t("taste.saving"));
    try {
      while (this.#dirty) {
        this.#dirty = false;
        const tags = { ...this.#taste.weights };
        if (Object.keys(tags).length) await this.api.json(TASTE, { method: "PUT", json: { tags } });
        else await this.api.fetch(TASTE, { method: "DELETE" });
      }
      put(this.#saved, icon("check"), t("taste.saved"));
      this.#match().catch(() => {});
    } catch (problem) {
      showTrouble(this.#saved, problem, () => this.#save());
    } finally {
      this.#saving = false;
    }
  }

  // Branches that suit

  /** @param {string | null} [cursor] of the next page; without one as many are asked for as are shown */
  async #match(cursor = null) {
    if (this.#closed || !this.#loaded) return;
    const asked = ++this.#asked;
    if (this.#taste.isEmpty) {
      this.#showNone("heart", "matches.sayWhat", "matches.sayWhatText");
      return;
    }
    const more = cursor !== null;
    // What was to come below, and is overtaken by this, comes with it.
    const shown = this.#branches.childElementCount + (this.#adding ? PAGE : 0);
    const limit = more ? PAGE : Math.min(LARGEST_PAGE, Math.max(PAGE, shown));
    if (more) this.#adding = true;
    try {
      const { items, next } = await this.api.page("/api/search/branches/matching", { limit, cursor });
      if (asked !== this.#asked || this.#closed) return;
      this.#adding = false;
      if (!items.length && !more) {
        this.#showNone("lens", "matches.none", "matches.noneText");
        return;
      }
      put(this.#none);
      if (!more) put(this.#branches);
      this.#branches.append(...items.map((match) => this.#branch(match)));
      const moreButton = () =>
        h(
          "button",
          { class: "secondary", type: "button", onclick: () => this.#match(next).catch(() => {}) },
          t("action.more"),
        );
      put(this.#more, next && moreButton());
    } catch (problem) {
      if (asked !== this.#asked || this.#closed) return;
      this.#adding = false;
      // The taste went away in another tab.
      if (problem.code === "no-preference") this.#showNone("heart", "matches.sayWhat", "matches.sayWhatText");
      else {
        showTrouble(more ? this.#more : this.#none, problem, () => this.#match(cursor).catch(() => {}));
        throw problem;
      }
    }
  }

  /**
   * @param {string} picture
   * @param {string} title
   * @param {string} text
   */
  #showNone(picture, title, text) {
    put(this.#branches);
    put(this.#more);
    put(this.#none, emptyState(picture, t(title), t(text)));
  }

  /** @param {BranchMatch} match */
  #branch({ branch_id, score, shares, preference }) {
    const met = new Set(shares.map(({ tag }) => tag));
    const others = Object.keys(preference.tags).filter((tag) => !met.has(tag));
    return h(
      "li",
      { class: "branch", "data-branch": branch_id },
      h(
        "div",
        { class: "branch-head" },
        h("h3", {}, branch_id),
        h("p", { class: "score" }, t("matches.score", { share: percent(score) })),
      ),
      h("p", { class: "branch-says" }, preference.title),
      h("p", { class: "note" }, preference.text),
      h("p", { class: "ask" }, t("matches.why")),
      h(
        "ul",
        { class: "reasons" },
        shares.map(({ tag, yours, theirs }) =>
          h(
            "li",
            {},
            h("span", { class: "garment" }, this.#taste.nameOf(tag)),
            h(
              "span",
              { class: "meta" },
              h("span", {}, t("matches.yours", { level: t(`taste.level.${levelOf(yours).name}`) })),
              h("span", {}, t("matches.theirs", { level: t(`matches.level.${levelOf(theirs).name}`) })),
            ),
          ),
        ),
      ),
      others.length > 0 &&
        h("p", { class: "meta" }, t("matches.also", { tags: others.map((tag) => this.#taste.nameOf(tag)).join(", ") })),
    );
  }
}
