// The language, and everything that depends on it.

import { now } from "./clock.js";
import { recall, remember } from "./kept.js";
import customerEn from "./texts/customer-en.js";
import customerKo from "./texts/customer-ko.js";
import en from "./texts/en.js";
import faultsEn from "./texts/faults-en.js";
import faultsKo from "./texts/faults-ko.js";
import ko from "./texts/ko.js";
import modelsEn from "./texts/models-en.js";
import modelsKo from "./texts/models-ko.js";
import ownerEn from "./texts/owner-en.js";
import ownerKo from "./texts/owner-ko.js";
import peopleEn from "./texts/people-en.js";
import peopleKo from "./texts/people-ko.js";

const KEY = "laundry.language";
/** @type {Record<string, Record<string, string>>} */
const TEXTS = {
  ko: { ...ko, ...modelsKo, ...ownerKo, ...customerKo, ...peopleKo, ...faultsKo },
  en: { ...en, ...modelsEn, ...ownerEn, ...customerEn, ...peopleEn, ...faultsEn },
};

function preferred() {
  const kept = recall(KEY);
  if (kept !== null && kept in TEXTS) return kept;
  return navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in TEXTS) ?? "en";
}

let current = preferred();
/** @type {Intl.PluralRules} */
let plurals;
/** @type {Intl.RelativeTimeFormat} */
let relative;
/** @type {Intl.NumberFormat} */
let numbers;

export function language() {
  return current;
}

/** @param {string} name */
export function useLanguage(name) {
  current = name;
  plurals = new Intl.PluralRules(name);
  relative = new Intl.RelativeTimeFormat(name, { numeric: "auto", style: "short" });
  numbers = new Intl.NumberFormat(name);
  document.documentElement.lang = name;
}

/** @param {string} name */
export function chooseLanguage(name) {
  remember(KEY, name);
  useLanguage(name);
}

useLanguage(current);

/**
 * Whether there are words for a key.
 *
 * @param {string} key
 */
export function has(key) {
  return key in TEXTS[current];
}

/**
 * The words for a key. `{name}` is filled in; with `count`, the form `key.one` is taken where a language has it.
 *
 * @param {string} key
 * @param {Values} values
 */
export function t(key, values = {}) {
  const texts = TEXTS[current];
  const form = "count" in values ? `${key}.${plurals.select(Number(values.count))}` : key;
  const text = texts[form] ?? texts[key];
  if (text === undefined) throw new Error(`no text for ${key} in ${current}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? numbers.format(value) : value;
  });
}

/**
 * A word of the services (a label, a kind of equipment) in the reader's language, else as it came.
 *
 * @param {string} group
 * @param {string} name
 */
export function word(group, name) {
  return TEXTS[current][`${group}.${name}`] ?? String(name).replaceAll("_", " ");
}

/** @param {number} value */
export function number(value) {
  return new Intl.NumberFormat(current, { maximumSignificantDigits: 12 }).format(value);
}

/** @param {number} share */
export function percent(share) {
  return new Intl.NumberFormat(current, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** @type {Array<[Intl.RelativeTimeFormatUnit, number]>} */
const STEPS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

/**
 * "5 minutes ago", from an RFC 3339 time of a service.
 *
 * @param {string} time
 */
export function ago(time) {
  const seconds = (now() - Date.parse(time)) / 1000;
  if (!Number.isFinite(seconds)) return "";
  for (const [unit, size] of STEPS) {
    if (seconds >= size) return relative.format(-Math.floor(seconds / size), unit);
  }
  return t("time.now");
}

/**
 * A time in full, in the reader's own zone.
 *
 * @param {string} time
 */
export function moment(time) {
  return new Intl.DateTimeFormat(current, { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));
}

/**
 * A calendar day such as "2026-03-09", which no time zone moves.
 *
 * @param {string} day
 */
export function calendarDay(day, { year = false } = {}) {
  return new Intl.DateTimeFormat(current, {
    timeZone: "UTC",
    year: year ? "numeric" : undefined,
    month: "short",
    day: "numeric",
    weekday: "short",
  }).format(new Date(`${day}T00:00:00Z`));
}

/**
 * The time of day to the second, as wide at any hour.
 *
 * @param {string} time
 */
export function clock(time) {
  return new Intl.DateTimeFormat(current, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  }).format(new Date(time));
}

/**
 * "2 shirts, 1 dress" as people of this language write it.
 *
 * @param {Garment[]} labels
 */
export function counted(labels) {
  return (
    labels
      .map(({ label, count }) => t("labels.counted", { label: word("label", label), count: count ?? 1 }))
      // A count stays on the line of its garment.
      .map((text) => text.replaceAll(" ", "\u00a0"))
      .join(", ")
  );
}
