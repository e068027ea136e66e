// Keeps the page itself on the phone, so that it opens in a basement without a signal. The newest version is
// taken whenever the network has one; calls to the services never pass through here. And shows what is pushed while
// every page is closed.

const CACHE = "laundry-pages";
const PATIENCE_MS = 3000;
// A line that let one wait is not asked to let each part of a page wait, one after the other.
const SLOW_MS = 20000;
const PAGES = [
  "/",
  "/static/app.webmanifest",
  "/static/icon-192.png",
  "/static/icon-512.png",
  "/static/icon-apple-180.png",
  "/static/icon-badge-96.png",
  "/static/icon-maskable-512.png",
  "/static/pages.css",
  "/static/icon.svg",
  "/static/js/alerts.js",
  "/static/js/api.js",
  "/static/js/branch-names.js",
  "/static/js/branches-part.js",
  "/static/js/chart.js",
  "/static/js/clock.js",
  "/static/js/confirm-card.js",
  "/static/js/confirm-order.js",
  "/static/js/confirm-view.js",
  "/static/js/corrections.js",
  "/static/js/credentials-page.js",
  "/static/js/csv.js",
  "/static/js/customer-page.js",
  "/static/js/days.js",
  "/static/js/dead-letters-page.js",
  "/static/js/dom.js",
  "/static/js/done-list.js",
  "/static/js/download.js",
  "/static/js/drawings.js",
  "/static/js/equipment.js",
  "/static/js/events.js",
  "/static/js/fault-handling.js",
  "/static/js/frame.js",
  "/static/js/helper-page.js",
  "/static/js/history-view.js",
  "/static/js/icons.js",
  "/static/js/intake.js",
  "/static/js/invite-form.js",
  "/static/js/kept.js",
  "/static/js/likes-view.js",
  "/static/js/lineage.js",
  "/static/js/live.js",
  "/static/js/loads.js",
  "/static/js/main.js",
  "/static/js/model-card.js",
  "/static/js/models-page.js",
  "/static/js/models-rows.js",
  "/static/js/one-tab.js",
  "/static/js/operations-rows.js",
  "/static/js/operator-faults-page.js",
  "/static/js/operator-page.js",
  "/static/js/own-script.js",
  "/static/js/owner-page.js",
  "/static/js/paged-list.js",
  "/static/js/patience.js",
  "/static/js/people-page.js",
  "/static/js/person-view.js",
  "/static/js/photo-picker.js",
  "/static/js/photo-store.js",
  "/static/js/photos.js",
  "/static/js/push.js",
  "/static/js/reach.js",
  "/static/js/reading.js",
  "/static/js/retaking.js",
  "/static/js/role-pages.js",
  "/static/js/run-card.js",
  "/static/js/session.js",
  "/static/js/shared-stream.js",
  "/static/js/shortcuts.js",
  "/static/js/shown-once.js",
  "/static/js/shrink-worker.js",
  "/static/js/shrink.js",
  "/static/js/start-page.js",
  "/static/js/stream.js",
  "/static/js/swipe.js",
  "/static/js/taste.js",
  "/static/js/texts.js",
  "/static/js/texts/customer-en.js",
  "/static/js/texts/customer-ko.js",
  "/static/js/texts/en.js",
  "/static/js/texts/faults-en.js",
  "/static/js/texts/faults-ko.js",
  "/static/js/texts/ko.js",
  "/static/js/texts/models-en.js",
  "/static/js/texts/models-ko.js",
  "/static/js/texts/owner-en.js",
  "/static/js/texts/owner-ko.js",
  "/static/js/texts/people-en.js",
  "/static/js/texts/people-ko.js",
  "/static/js/together.js",
  "/static/js/told-view.js",
  "/static/js/undo.js",
  "/static/js/unsubscribe-page.js",
  "/static/js/upload-pieces.js",
  "/static/js/upload-queue.js",
  "/static/js/upload.js",
  "/static/js/views.js",
  "/static/js/waiting-strip.js",
  "/static/js/washed-view.js",
  "/static/js/washed.js",
  "/static/unsubscribe.html",
];

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(PAGES))
      .then(() => worker.skipWaiting()),
  );
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(worker.clients.claim());
});

worker.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const page =
    event.request.mode === "navigate" && ["/", "/helper", "/owner", "/operator", "/customer"].includes(url.pathname);
  const part = url.pathname.startsWith("/static/");
  if (event.request.method !== "GET" || url.origin !== worker.location.origin || !(page || part)) return;
  // All pages are one document.
  event.respondWith(newest(event.request, page ? "/" : url.pathname));
});

let slowUntil = 0;

/**
 * The newest answer, or what was kept, if that does not come in time.
 *
 * @param {Request} request
 * @param {string} key what it is kept under
 * @returns {Promise<Response>}
 */
async function newest(request, key) {
  const cache = await caches.open(CACHE).catch(() => null);
  const kept = await cache?.match(key).catch(() => undefined);
  const fetched = fetch(request).then((response) => {
    // A phone without room shows what came, and keeps what it had.
    if (response.ok) cache?.put(key, response.clone()).catch(() => {});
    return response;
  });
  if (!kept) return fetched;
  let timer = 0;
  const usable = fetched
    .then((response) => (response.ok ? response : kept))
    .catch(() => kept)
    .finally(() => clearTimeout(timer));
  if (!worker.navigator.onLine || Date.now() < slowUntil) return kept;
  /** @type {Promise<Response>} */
  const late = new Promise((resolve) => {
    timer = setTimeout(() => {
      slowUntil = Date.now() + SLOW_MS;
      resolve(kept);
    }, PATIENCE_MS);
  });
  return Promise.race([usable, late]);
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
  // The one that was looked at last. All of them are of who is signed in, and one document, whatever their address says.
  const [page] = await worker.clients.matchAll({ type: "window" });
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
