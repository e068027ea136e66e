// Rows of the operator's page of queues: a queue as it is now, and what operators did.

import { h } from "./dom.js";
import { ago, t } from "./texts.js";

const ACTS_SHOWN = 20;

/** @param {BrokerQueue} queue */
export function queueRow(queue) {
  const figures = [
    ["ready", queue.ready],
    ["unacked", queue.unacked],
    ["retry", queue.waiting_for_retry],
    ["dead", queue.dead_letters],
    ["consumers", queue.consumers],
    ["in", `${queue.publish_rate.toFixed(1)}/s`],
    ["out", `${queue.deliver_rate.toFixed(1)}/s`],
    [
      "oldest",
      queue.oldest_age_s === null
        ? "–"
        : `${queue.oldest_age_bound === "at_least" ? "≥" : "≤"} ${Math.round(queue.oldest_age_s)} s`,
    ],
  ];
  return h(
    "li",
    { class: "queue", "data-queue": queue.name },
    h("h3", {}, queue.name),
    queue.warnings.map((code) => h("p", { class: "again" }, t(`dlq.warning.${code}`))),
    h(
      "dl",
      {},
      figures.map(([name, value]) => h("div", {}, h("dt", {}, t(`dlq.figure.${name}`)), h("dd", {}, String(value)))),
    ),
  );
}

/** @param {AuditRecord[]} records of all services, in any order */
export function auditRows(records) {
  const newest = records.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0)).slice(0, ACTS_SHOWN);
  if (!newest.length) return [h("li", { class: "meta" }, t("dlq.noAudit"))];
  return newest.map((record) =>
    h(
      "li",
      {},
      h("strong", {}, record.by),
      ` ${t(`dlq.did.${record.action}`)} `,
      h("code", {}, record.id ?? record.object ?? "–"),
      h("span", { class: "meta" }, ` ${[record.queue, ago(record.at), record.reason].filter(Boolean).join(" · ")}`),
    ),
  );
}
