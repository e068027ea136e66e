// Keeps the page itself on the phone, so that it opens at once, in a basement without a signal too. Calls to the
// services never pass through here. And shows what is pushed while every page is closed.

// Filled in by the service: what its files are known by together, and all of them.
const VERSION = "";
/** @type {string[]} */
const FILES = [];
const CACHE = `laundry-pages-${VERSION}`;
const PAGES = ["/", "/helper", "/owner", "/operator", "/customer"];
// The page that is open has the better part of the line.
const AT_ONCE = 2;
// Opened once, for all parts of a page.
const own = caches.open(CACHE);

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener("install", (event) => event.waitUntil(install()));

/** Keep a whole version: its pages name its files, and none of another. */
async function install() {
  const cache = await own;
  const wanted = [...PAGES, ...FILES.map(addressOf)];
  const keepSome = async () => {
    for (let address = wanted.shift(); address; address = wanted.shift()) await keep(cache, address);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, keepSome));
  await worker.skipWaiting();
}

/** @param {string} path */
function addressOf(path) {
  return `/static/${VERSION}/${path}`;
}

/**
 * @param {Cache} cache
 * @param {string} address
 */
async function keep(cache, address) {
  // An install that broke off goes on.
  if (await cache.match(address)) return;
  const response = await fetch(address, /** @type {RequestInit} */ ({ priority: "low" }));
  // While a new version is rolled out, another server may answer with the one before it: the next visit tries again.
  const fits = PAGES.includes(address)
    ? (await response.clone().text()).includes(addressOf(""))
    : response.headers.get("Cache-Control")?.includes("immutable");
  if (!response.ok || !fits) throw new Error(`${address} is not of ${VERSION}`);
  await cache.put(address, response);
}

worker.addEventListener("activate", (event) => event.waitUntil(Promise.all([worker.clients.claim(), forgetOld()])));

/** A tab that is open longer may need a part of the version before this one. */
async function forgetOld() {
  const old = (await caches.keys()).filter((name) => name !== CACHE);
  await Promise.all(old.slice(0, -1).map((name) => caches.delete(name)));
}

worker.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  const page = mode === "navigate" && PAGES.includes(pathname);
  if (method !== "GET" || origin !== worker.location.origin || !(page || pathname.startsWith("/static/"))) return;
  event.respondWith(kept(event.request, pathname));
});

/**
 * What is on the phone, at once and whatever the line is like. A new version comes by a new worker, for the next visit.
 *
 * @param {Request} request
 * @param {string} path
 * @returns {Promise<Response>}
 */
async function kept(request, path) {
  // Addresses without a version, such as those of icons, are answered with this one.
  const [, name] = path.match(/^\/static\/(?![0-9a-f]{16}\/)(.+)$/) ?? [];
  const address = name ? addressOf(name) : path;
  // A phone may give its store no longer.
  const found = await own.then((cache) => cache.match(address)).catch(() => undefined);
  return found ?? (await caches.match(address).catch(() => undefined)) ?? fetch(request);
}

// One after another; and counted when they stand on the screen: an alert that Chromium is asked of before is forgotten.
const STANDS_MS = 1000;
let before = Promise.resolve();
let pushes = 0;
worker.addEventListener("push", (event) => {
  before = before.catch(() => {}).then(() => notify(event.data));
  event.waitUntil(before.then(countSoon));
});

/** Count once no other has come for a moment. */
async function countSoon() {
  pushes += 1;
  const mine = pushes;
  await new Promise((resolve) => setTimeout(resolve, STANDS_MS));
  if (mine === pushes) await countAlerts();
}

/**
 * Show what was pushed. Something must be shown whatever came: a browser ends a subscription that stays silent.
 *
 * @param {PushMessageData | null} pushed
 */
async function notify(pushed) {
  /** @type {{title?: string, body?: string, tag?: string, renotify?: boolean, silent?: boolean, data?: object}} */
  let said = {};
  try {
    said = pushed?.json() ?? {};
  } catch {
    // Not of this version.
  }
  const {
    title = "스마트 세탁 · Smart Laundry",
    body = "",
    tag = "",
    renotify = false,
    silent = false,
    data = {},
  } = said;
  const shown = {
    body,
    tag,
    data,
    silent,
    renotify: renotify && tag !== "",
    icon: "/static/icon-192.png",
    badge: "/static/icon-badge-96.png",
    actions: actionsOf(data),
  };
  await worker.registration.showNotification(title, shown);
}

/**
 * What can be done from the alert itself. Of several faults in one alert the page shows which there are.
 *
 * @param {{fault_id?: string, faults?: string, stop_key?: string}} data
 */
function actionsOf({ fault_id: fault, faults, stop_key: key }) {
  const korean = worker.navigator.language.startsWith("ko");
  if (fault && faults === "1") return [{ action: "take", title: korean ? "제가 맡을게요" : "I'll take care of it" }];
  return key ? [{ action: "stop", title: korean ? "그만 받기" : "No more of these" }] : [];
}

/** As many on the icon as there are alerts on the screen. */
async function countAlerts() {
  const alerts = await worker.registration.getNotifications();
  await worker.navigator.setAppBadge?.(alerts.length).catch(() => {});
}

worker.addEventListener("notificationclose", (event) => event.waitUntil(countAlerts()));

worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const alert = event.notification.data ?? {};
  event.waitUntil(Promise.all([act(event.action, alert), countAlerts()]));
});

/**
 * Do what was tapped, or open the page, which says what is in the way.
 *
 * @param {string} action
 * @param {{fault_id?: string, stop_key?: string}} alert
 */
async function act(action, alert) {
  if (!(await isDone(action, alert))) await openPage(alert);
}

/**
 * @param {string} action
 * @param {{fault_id?: string, stop_key?: string}} alert
 */
async function isDone(action, { fault_id: fault = "", stop_key: key = "" }) {
  const path =
    action === "take"
      ? `/api/monitoring/faults/${encodeURIComponent(fault)}/acknowledgement`
      : action === "stop" && "/api/notification/unsubscribe";
  if (!path) return false;
  const asked =
    action === "stop" ? { body: JSON.stringify({ key }), headers: { "Content-Type": "application/json" } } : {};
  try {
    return (await fetch(path, { method: "POST", ...asked })).ok;
  } catch {
    return false;
  }
}

/**
 * Go to the page that an alert is about: an open one, or a new one.
 *
 * @param {{kind?: string, notification_id?: string, fault_id?: string, link?: string}} alert
 */
async function openPage({ kind, notification_id: alert = "", fault_id: fault = "", link }) {
  // The one that was looked at last. All of the app's are of who is signed in, and one document, whatever their address
  // says; others, such as the privacy notice, hear of no alert.
  const windows = await worker.clients.matchAll({ type: "window" });
  const page = windows.find(({ url }) => PAGES.includes(new URL(url).pathname));
  if (!page) {
    const own = kind === "equipment_fault" ? `/owner?alert=${encodeURIComponent(alert)}` : "/";
    const wanted = new URL(link ?? own, worker.location.origin);
    return worker.clients.openWindow(wanted.origin === worker.location.origin ? wanted.href : own);
  }
  page.postMessage({ alert, fault });
  return page.focus();
}

worker.addEventListener("pushsubscriptionchange", (event) => {
  const { oldSubscription, newSubscription } = /** @type {PushSubscriptionChangeEvent} */ (event);
  event.waitUntil(resubscribe(oldSubscription, newSubscription));
});

/**
 * Register the address that the push service has given this browser in place of another. Where nobody is signed in, the
 * page does it at its next start.
 *
 * @param {PushSubscription | null} before
 * @param {PushSubscription | null} after
 */
async function resubscribe(before, after) {
  const path = "/api/notification/devices/web-push";
  let subscription = after;
  if (!subscription) {
    const key = before?.options.applicationServerKey ?? (await (await fetch(`${path}/key`)).json()).public_key;
    subscription = await worker.registration.pushManager.subscribe({
      userVisibleOnly: true,
      applicationServerKey: key,
    });
  }
  const body = JSON.stringify({ ...subscription.toJSON(), replaces: before?.endpoint });
  await fetch(`${path}/subscriptions`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
}
