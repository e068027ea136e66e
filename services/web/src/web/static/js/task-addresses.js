// Where photos that were registered are: asked for before the modules that show them have come, and by these.

export const WAITING = ["read", "unreadable"];
export const PAGE = 100;

/**
 * Where a page of what waits is.
 *
 * @param {import("./confirm-order.js").Filter} filter
 * @param {string | null} cursor
 */
export function waitingAddress({ branch }, cursor = null) {
  const query = new URLSearchParams({ limit: String(PAGE), ...(cursor && { cursor }) });
  for (const status of WAITING) query.append("status", status);
  if (branch) query.set("branch_id", branch);
  return `/api/helper/tasks?${query}`;
}

/**
 * @param {string} id
 * @param {"display" | "thumbnail"} size
 */
export function pictureAddress(id, size) {
  return `/api/helper/tasks/${encodeURIComponent(id)}/photo?size=${size}`;
}
