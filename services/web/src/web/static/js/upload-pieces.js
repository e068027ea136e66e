// A photo in pieces: what has arrived stays there, whatever the line does.

import { Problem } from "./api.js";

export const PIECE_BYTES = 512 * 1024;
// The slowest line that the service waits for, and some patience.
const PIECE_MS = 90000;
const PATH = "/api/helper/tasks/uploads";

/**
 * Send what the service has not got of a photo; it is to be submitted then. Throws Problem.
 *
 * @param {KeptPhoto} photo
 * @param {import("./api.js").Api} api
 * @param {{signal: AbortSignal, onProgress(share: number): void}} options
 */
export async function sendPieces({ key, blob }, api, { signal, onProgress }) {
  const headers = { "Idempotency-Key": key };
  let sent = await received(api.fetch(PATH, { headers, signal, cache: "no-store" }));
  while (sent < blob.size) {
    onProgress(sent / blob.size);
    const piece = blob.slice(sent, sent + PIECE_BYTES);
    const more = { ...headers, "Upload-Offset": String(sent), "Content-Type": "application/octet-stream" };
    const options = { method: "PUT", body: piece, headers: more, signal, timeoutMs: PIECE_MS };
    sent = await received(api.fetch(PATH, options));
  }
  onProgress(1);
}

/** @param {Promise<Response>} answered */
async function received(answered) {
  const body = await (await answered).json().catch(() => null);
  // Something other than the service answered.
  if (typeof body?.bytes !== "number") throw new Problem({ code: "no-connection" });
  return body.bytes;
}
