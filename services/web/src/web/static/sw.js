// Keeps the page itself on the phone, so that it opens in a basement without a signal. The newest version is
// taken whenever the network has one; calls to the services never pass through here.

const CACHE = "laundry-pages";
const PATIENCE_MS = 3000;
// A line that let one wait is not asked to let each part of a page wait, one after the other.
const SLOW_MS = 20000;
const PAGES = [
  "/",
  "/static/app.webmanifest",
  "/static/css/base.css",
  "/static/css/controls.css",
  "/static/css/customer.css",
  "/static/css/dead-letters.css",
  "/static/css/helper.css",
  "/static/css/models.css",
  "/static/css/owner.css",
  "/static/css/parts.css",
  "/static/css/people.css",
  "/static/css/start.css",
  "/static/css/views.css",
  "/static/css/watch.css",
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
  "/static/js/reading.js",
  "/static/js/retaking.js",
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
  "/static/js/upload-queue.js",
  "/static/js/upload.js",
  "/static/js/views.js",
  "/static/js/waiting-strip.js",
  "/static/js/washed-view.js",
  "/static/js/washed.js",
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
