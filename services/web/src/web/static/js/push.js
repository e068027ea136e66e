// Pushes with the page closed: whether this browser can take them, and its subscription at its push service.

import { forget, recall, remember } from "./kept.js";

const KEY = "laundry.push";
const PATH = "/api/notification/devices/web-push";
const WORKER_MS = 10000;

/** Why a browser cannot be subscribed now: a text key. */
export class CannotSubscribe extends Error {
  /** @param {string} key */
  constructor(key) {
    super(key);
    this.key = key;
  }
}

/**
 * Whether this browser takes pushes: "install" on an iPhone or iPad, where only pages on the home screen do.
 *
 * @returns {"yes" | "install" | "no"}
 */
export function support() {
  if (window.PushManager && window.Notification && "serviceWorker" in navigator) return "yes";
  // An iPad calls itself a Mac, and no Mac has a touch screen.
  const apple =
    /iPhone|iPad/.test(navigator.userAgent) || (/Mac/.test(navigator.userAgent) && navigator.maxTouchPoints > 1);
  return apple && !matchMedia("(display-mode: standalone)").matches ? "install" : "no";
}

/** What this browser is called in a list of devices: "Chrome · Android". */
export function deviceName() {
  const { userAgent } = navigator;
  /** @param {Array<[string, string]>} names */
  const first = (names) => names.find(([mark]) => userAgent.includes(mark))?.[1];
  const browser = first([
    ["SamsungBrowser/", "Samsung Internet"],
    ["Whale/", "Whale"],
    ["Edg", "Edge"],
    ["OPR/", "Opera"],
    ["Firefox/", "Firefox"],
    ["FxiOS/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["CriOS/", "Chrome"],
    ["Safari/", "Safari"],
  ]);
  const system = first([
    ["iPhone", "iPhone"],
    ["iPad", "iPad"],
    ["Android", "Android"],
    ["Windows", "Windows"],
    ["Mac OS", navigator.maxTouchPoints > 1 ? "iPad" : "Mac"],
    ["CrOS", "ChromeOS"],
    ["Linux", "Linux"],
  ]);
  return [browser, system].filter(Boolean).join(" · ");
}

/** @returns {{who: string, endpoint: string} | null} */
function kept() {
  try {
    return JSON.parse(recall(KEY) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Session} session */
function nameOf({ role, sub }) {
  return `${role} ${sub}`;
}

async function manager() {
  const patience = new Promise((_, reject) => {
    setTimeout(reject, WORKER_MS, new CannotSubscribe("reach.failed"));
  });
  const registration = await Promise.race([navigator.serviceWorker.ready, patience]);
  return /** @type {ServiceWorkerRegistration} */ (registration).pushManager;
}

/** @returns {Promise<PushSubscription | null>} */
async function current() {
  if (support() !== "yes") return null;
  const registration = await navigator.serviceWorker.getRegistration();
  return (await registration?.pushManager.getSubscription()) ?? null;
}

/**
 * The id by which the list of devices knows this browser, if it is subscribed for this person.
 *
 * @param {Session} session
 * @returns {Promise<string | null>}
 */
export async function thisDevice(session) {
  const subscription = kept()?.who === nameOf(session) ? await current() : null;
  if (!subscription) return null;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(subscription.endpoint));
  return [...new Uint8Array(digest, 0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Subscribe this browser for who is signed in. Call it from a tap: the browser asks for permission.
 *
 * @param {import("./api.js").Api} api
 * @throws {CannotSubscribe} with what to tell people; Problem of the service
 */
export async function turnOn(api) {
  const able = support();
  if (able !== "yes") throw new CannotSubscribe(able === "install" ? "reach.install" : "reach.unable");
  // Before anything is waited for: Safari lets only the tap itself ask.
  const permission = await Notification.requestPermission();
  if (permission !== "granted") throw new CannotSubscribe(permission === "denied" ? "reach.blocked" : "reach.asked");
  await register(api);
}

/** @param {import("./api.js").Api} api */
async function register(api) {
  const { public_key: key } = await api.json(`${PATH}/key`);
  const pushes = await manager();
  let subscription = await pushes.getSubscription();
  if (subscription && keyOf(subscription) !== key) {
    // Made for another key, with which nobody pushes any more.
    await subscription.unsubscribe();
    subscription = null;
  }
  try {
    subscription ??= await pushes.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  } catch {
    throw new CannotSubscribe("reach.failed");
  }
  const before = kept();
  const who = nameOf(api.session);
  const replaces = before?.who === who && before.endpoint !== subscription.endpoint ? before.endpoint : null;
  const json = { ...subscription.toJSON(), name: deviceName(), replaces };
  try {
    await api.json(`${PATH}/subscriptions`, { method: "POST", json });
  } catch (problem) {
    // Nobody would push to it, and the next one who signs in here must not find it.
    if (before?.who !== who) await subscription.unsubscribe().catch(() => false);
    throw problem;
  }
  remember(KEY, JSON.stringify({ who, endpoint: subscription.endpoint }));
}

/** @param {PushSubscription} subscription */
function keyOf({ options }) {
  const bytes = new Uint8Array(options.applicationServerKey ?? new ArrayBuffer(0));
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Renew a subscription at the start of a page, with the branches and the language of now; end one that somebody else
 * left in this browser.
 *
 * @param {import("./api.js").Api} api
 */
export async function renew(api) {
  const before = kept();
  if (!before || support() !== "yes") return;
  if (before.who !== nameOf(api.session)) await turnOff();
  else if (Notification.permission === "granted") await register(api);
}

/** End the subscription of this browser. The push service says so to whoever pushes the next time. */
export async function turnOff() {
  forget(KEY);
  const subscription = await current();
  await subscription?.unsubscribe();
}
