// Rows of the operator's page of models: who reads with which, who promoted which, who labels how.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { ago, moment, t } from "./texts.js";

/** @param {Replica} replica */
export function replicaRow(replica) {
  const alongside = replica.shadow;
  return h(
    "li",
    { "data-in-step": String(replica.in_step) },
    h(
      "p",
      {},
      icon(replica.in_step ? "check" : "alert"),
      h("strong", {}, replica.version ?? t("models.noModel")),
      !replica.in_step && h("span", { class: "careless" }, t("models.notInStep")),
    ),
    h("p", { class: "meta" }, `${replica.replica} · ${t("models.seen", { when: ago(replica.seen_at) })}`),
    replica.refused &&
      h(
        "p",
        { class: "note" },
        t("models.refuses", { version: replica.refused.version }),
        " ",
        h("span", { lang: "en" }, replica.refused.why),
      ),
    alongside &&
      h(
        "p",
        { class: "meta" },
        t("models.alongside", { version: alongside.version, agreed: alongside.agreed, photos: alongside.photos }),
      ),
  );
}

/** @param {Promotion} promotion */
export function promotionRow(promotion) {
  return h(
    "li",
    {},
    h("p", {}, h("strong", {}, promotion.version), ` ${t(`promotion.${promotion.kind}`)}`),
    h("p", { class: "meta" }, `${promotion.promoted_by} · ${moment(promotion.promoted_at)}`),
    promotion.override_reason && h("p", { class: "note" }, `${t("models.overridden")} ${promotion.override_reason}`),
  );
}

/** @param {Labeller} owner */
export function ownerRow(owner) {
  return h(
    "li",
    {},
    h(
      "p",
      {},
      h("strong", {}, owner.confirmed_by),
      owner.careless && h("span", { class: "careless" }, icon("alert"), t("models.careless")),
    ),
    h("p", { class: "meta" }, t("models.labels", { count: owner.labels, corrected: owner.corrected })),
    owner.new_labels !== null &&
      h(
        "p",
        { class: "meta" },
        t("models.contradicted", {
          labels: owner.new_labels,
          corrections: owner.corrections ?? "–",
          contradicted: owner.contradicted,
          contrary: owner.contrary,
        }),
      ),
  );
}
