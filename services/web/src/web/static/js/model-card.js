// One model: its figures, what judging found, its confusions as a picture.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { lineageOf } from "./lineage.js";
import { ago, percent, t, word } from "./texts.js";

/**
 * Show a model; `action` is a button below it.
 *
 * @param {Model} model
 * @param {{action: HTMLElement, open?: boolean}} options
 */
export function modelCard(model, { action, open = false }) {
  const { metrics } = model;
  return h(
    "article",
    { class: "model", "data-version": model.version },
    h("h3", {}, model.version, model.champion && h("span", { class: "crown" }, t("models.reads"))),
    h("p", { class: "meta" }, `${t(`models.source.${model.source}`)} · ${ago(model.created_at)}`),
    h(
      "dl",
      { class: "figures" },
      figure("models.top1", share(metrics.top1)),
      figure("models.calibration", share(metrics.calibration_error)),
      figure("models.photos", metrics.photos ?? "–"),
      model.lineage.branches_known > 0 && figure("models.branches", model.lineage.branches_known),
      metrics.champion?.top1 !== undefined && figure("models.thenChampion", share(metrics.champion.top1)),
    ),
    model.verdict &&
      h(
        "ul",
        { class: "checks" },
        model.verdict.checks.map((check) =>
          h(
            "li",
            { "data-passed": String(check.passed) },
            icon(check.passed ? "check" : "close"),
            h(
              "span",
              {},
              h("strong", {}, t(check.passed ? "models.passed" : "models.failed")),
              " ",
              h("span", { lang: "en" }, check.text),
            ),
          ),
        ),
      ),
    Array.isArray(metrics.confusion) &&
      h(
        "details",
        { open, "data-id": `${model.version} confusion` },
        h("summary", {}, t("models.confusion")),
        confusion(metrics.confusion, model),
      ),
    lineageOf(model),
    action,
  );
}

/**
 * @param {string} key
 * @param {string | number} value
 */
function figure(key, value) {
  return h("div", {}, h("dt", {}, t(key)), h("dd", {}, String(value)));
}

/** @param {number | undefined} value */
function share(value) {
  return typeof value === "number" ? percent(value) : "–";
}

/**
 * A table that is its own picture: the more of a class a cell holds, the darker it is.
 *
 * @param {number[][]} rows
 * @param {Model} model
 */
function confusion(rows, { version, labels }) {
  const names = labels.map((label) => word("label", label));
  return h(
    "div",
    { class: "confusion", tabindex: "0", role: "group", "aria-label": `${version}: ${t("models.confusion")}` },
    h(
      "table",
      {},
      h("caption", {}, t("models.confusionText")),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td"),
          names.map((name) => h("th", { scope: "col" }, h("span", {}, name))),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((cells, row) => {
          const sum = Math.max(
            1,
            cells.reduce((a, b) => a + b, 0),
          );
          return h(
            "tr",
            {},
            h("th", { scope: "row" }, names[row]),
            cells.map((cell, column) =>
              h(
                "td",
                { "data-level": cell ? Math.max(1, Math.ceil((cell / sum) * 5)) : 0, "data-right": column === row },
                cell || "",
              ),
            ),
          );
        }),
      ),
    ),
  );
}
