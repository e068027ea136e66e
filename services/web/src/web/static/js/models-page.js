// The operator's page of the models: which one reads, what the others are worth, runs as they go, who promoted what.

import { explain } from "./api.js";
import { askFirst } from "./ask-first.js";
import { h, put, say } from "./dom.js";
import { connectionLine, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { Live, ReconciledFetch } from "./live.js";
import { modelCard } from "./model-card.js";
import { ownerRow, promotionRow, replicaRow } from "./models-rows.js";
import { once } from "./once.js";
import { arrange } from "./rows.js";
import { goesOn, RunCard } from "./run-card.js";
import { t } from "./texts.js";

const RUNS = "/api/mlops/training-runs";
const SHOWN = 20;
const REPLICAS_EVERY_MS = 5000;

export class ModelsPage {
  /** @type {Map<string, TrainingRun>} */
  #runs = new Map();
  /** @type {Map<string, RunCard>} */
  #cards = new Map();
  /** @type {Model[]} */
  #models = [];
  #fetches = new ReconciledFetch();
  #error = h("div");
  #champion = h("div");
  #replicas = h("ol", { class: "replicas" });
  #runList = h("ol", { class: "runs" });
  #noRuns = h("li", { class: "meta" }, t("models.noRuns"));
  #modelList = h("div", { class: "model-list" });
  #promotions = h("ol", { class: "promotions" });
  #owners = h("ol", { class: "labellers" });
  #full = h("button", { class: "secondary", type: "button", onclick: () => this.#trainFully() }, t("models.full"));
  #back = h(
    "button",
    { class: "secondary", type: "button", onclick: ({ currentTarget }) => once(currentTarget, () => this.#rollBack()) },
    icon("retry"),
    t("models.rollback"),
  );
  #connection = connectionLine();

  /** @param {SignedIn} signedIn */
  constructor({ api }) {
    this.api = api;
    const starts = h(
      "div",
      { class: "starts" },
      h(
        "button",
        {
          class: "primary",
          type: "button",
          onclick: ({ currentTarget }) => once(currentTarget, () => this.#act(RUNS, { kind: "refit" })),
        },
        t("models.refit"),
      ),
      this.#full,
    );
    this.element = h(
      "div",
      { class: "models" },
      h("h1", {}, t("models.title")),
      this.#connection.element,
      this.#error,
      section("models.champion", this.#champion),
      section("models.replicas", h("p", { class: "hint" }, t("models.replicasText")), this.#replicas),
      section("models.runs", h("p", { class: "hint" }, t("models.refitText")), starts, this.#runList),
      section("models.all", this.#modelList),
      section("models.promotions", this.#promotions),
      section("models.labellers", h("p", { class: "hint" }, t("models.labellersText")), this.#owners),
    );
    this.live = new Live(api, `${RUNS}/stream`, {
      refresh: () => this.#refresh(),
      onChange: (run) => this.#onRun(run),
      onState: (state) => this.#connection.set(state),
    }).start();
    this.#refresh().catch((problem) => this.#complain(problem));
    this.watch = setInterval(() => document.hidden || this.#refreshReplicas(), REPLICAS_EVERY_MS);
  }

  close() {
    clearInterval(this.watch);
    this.live.stop();
  }

  async #refresh() {
    await this.#fetches.during(
      () => this.api.page(RUNS, { limit: SHOWN }),
      ({ items }, changes) => {
        this.#runs = new Map(items.map((run) => [run.id, run]));
        for (const [id, run] of changes) this.#runs.set(id, run);
        this.#arrangeRuns();
        for (const [id, run] of this.#runs) this.#cards.get(id)?.show(run);
      },
    );
    await this.#refreshModels();
  }

  /** Best effort: who serves what changes by itself, so a look that fails is made up for by the next. */
  async #refreshReplicas() {
    try {
      const { items } = await this.api.page("/api/mlops/models/replicas");
      put(this.#replicas, items.length ? items.map(replicaRow) : h("li", { class: "meta" }, t("models.noReplicas")));
    } catch {
      put(this.#replicas, h("li", { class: "meta" }, t("models.replicasUnknown")));
    }
  }

  async #refreshModels() {
    this.#refreshReplicas();
    const [models, promotions, owners] = await Promise.all([
      this.api.page("/api/mlops/models", { limit: SHOWN }),
      this.api.page("/api/mlops/models/promotions", { limit: SHOWN }),
      this.api.page("/api/mlops/examples/owners"),
    ]);
    this.#models = models.items;
    put(this.#error);
    keepingOpen(this.element, () => this.#showModels());
    put(this.#promotions, promotions.items.map(promotionRow));
    put(
      this.#owners,
      owners.items.length ? owners.items.map(ownerRow) : h("li", { class: "meta" }, t("models.noLabels")),
    );
  }

  /** @param {TrainingRun} run */
  #onRun(run) {
    this.#fetches.note(run);
    const before = this.#runs.get(run.id);
    this.#runs.set(run.id, run);
    this.#arrangeRuns();
    this.#cards.get(run.id)?.show(run);
    if (before?.status !== run.status) {
      say(t("models.sayRun", { status: t(`run.${run.status}`) }));
      if (!goesOn(run)) this.#refreshModels().catch((problem) => this.#complain(problem));
    }
  }

  /** A card for each of the newest runs, in their order; one that is there already stays as it is. */
  #arrangeRuns() {
    const runs = [...this.#runs.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, SHOWN);
    this.#cards = new Map(runs.map((run) => [run.id, this.#cards.get(run.id) ?? this.#newCard(run)]));
    const wanted = runs.length ? [...this.#cards.values()].map((card) => card.element) : [this.#noRuns];
    arrange(this.#runList, wanted);
  }

  /** @param {TrainingRun} run */
  #newCard(run) {
    const card = new RunCard(this.api, { id: run.id, onCancel: () => this.#act(`${RUNS}/${run.id}/cancellation`) });
    card.show(run);
    return card;
  }

  #showModels() {
    const champion = this.#models.find((model) => model.champion);
    put(
      this.#champion,
      champion ? modelCard(champion, { action: this.#back, open: true }) : h("p", { class: "meta" }, t("models.none")),
    );
    put(
      this.#modelList,
      this.#models
        .filter((model) => !model.champion)
        .map((model) =>
          modelCard(model, {
            action: h(
              "button",
              {
                class: "secondary",
                type: "button",
                onclick: ({ currentTarget }) => once(currentTarget, () => this.#promote(model)),
              },
              t("models.promote", { version: model.version }),
            ),
          }),
        ),
    );
    if (this.#models.length < 2) put(this.#modelList, h("p", { class: "meta" }, t("models.only")));
  }

  async #trainFully() {
    await once(this.#full, async () => {
      if (await askFirst({ title: t("models.fullAsk"), text: t("models.fullText"), yes: t("models.fullYes") })) {
        await this.#act(RUNS, { kind: "full" }, () => this.#trainFully());
      }
    });
  }

  async #rollBack() {
    if (await askFirst({ title: t("models.rollbackAsk"), text: t("models.rollbackText"), yes: t("models.rollback") })) {
      await this.#act("/api/mlops/models/rollback");
    }
  }

  /** @param {Model} model */
  async #promote(model) {
    const good = model.verdict?.good === true;
    const answer = await askFirst({
      title: t("models.promoteAsk", { version: model.version }),
      text: t(good ? "models.promoteGood" : "models.promoteAgainst"),
      yes: t("models.promoteYes"),
      reason: good ? null : t("models.reason"),
    });
    if (answer) {
      await this.#act(
        `/api/mlops/models/${encodeURIComponent(model.version)}/promotion`,
        good ? {} : { override_reason: answer.reason },
      );
    }
  }

  /**
   * Ask a service to do something; `again` is what a person may try after a refusal.
   *
   * @param {string} path
   * @param {object} json
   * @param {() => void} [again]
   */
  async #act(path, json = {}, again = undefined) {
    try {
      await this.api.json(path, { method: "POST", json });
      put(this.#error);
      await this.#refresh();
    } catch (problem) {
      this.#complain(problem, again);
    }
  }

  /**
   * @param {import("./api.js").Problem} problem
   * @param {() => void} again
   */
  #complain(problem, again = () => this.#refresh().catch((another) => this.#complain(another))) {
    put(this.#error, trouble(explain(problem), again));
    this.#error.scrollIntoView({ block: "nearest" });
  }
}

/**
 * Draw again, but leave open what a reader opened, and closed what he closed.
 *
 * @param {HTMLElement} root
 * @param {() => void} draw
 */
function keepingOpen(root, draw) {
  /** @returns {HTMLDetailsElement[]} */
  const parts = () => [...root.querySelectorAll("details")].filter((part) => part.dataset.id);
  const before = new Map(parts().map((part) => [part.dataset.id, part.open]));
  draw();
  for (const part of parts()) part.open = before.get(part.dataset.id) ?? part.open;
}

/**
 * @param {string} key
 * @param {Children} content
 */
function section(key, ...content) {
  const id = key.replace(".", "-");
  return h("section", { "aria-labelledby": id }, h("h2", { id }, t(key)), ...content);
}
