// One photo on its way to the service.

import { Problem, problemOf } from "./api.js";

// Nothing sent and nothing heard for this long: the connection is dead, whatever the phone says.
const SILENCE_MS = 45000;

/**
 * Send a photo: by XMLHttpRequest, since fetch does not tell how much of an upload has gone out. Throws Problem.
 *
 * @param {KeptPhoto} photo
 * @param {Record<string, string>} headers
 * @param {{signal: AbortSignal, onProgress(share: number): void, inPieces?: boolean}} options whether it was sent in
 *   pieces, and is only to be submitted
 * @returns {Promise<Task>}
 */
export function upload(photo, headers, { signal, onProgress, inPieces = false }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let watch = 0;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => request.abort(), SILENCE_MS);
    };
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.open("POST", "/api/helper/tasks");
    const all = { ...headers, Accept: "application/json", "Idempotency-Key": photo.key };
    for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      alive();
      if (!inPieces) onProgress(event.total ? event.loaded / event.total : 0);
    };
    request.onprogress = alive;
    request.onloadend = () => clearTimeout(watch);
    request.onerror = () => reject(new Problem({ code: "no-connection" }));
    request.onabort = () => reject(new Problem({ code: "silence" }));
    request.onload = () => {
      try {
        resolve(taskOf(request));
      } catch (problem) {
        reject(problem);
      }
    };
    alive();
    request.send(formOf(photo, inPieces));
  });
}

/**
 * @param {KeptPhoto} photo
 * @param {boolean} inPieces
 */
function formOf(photo, inPieces) {
  const form = new FormData();
  form.set("branch_id", photo.branchId);
  if (photo.note) form.set("note", photo.note);
  // What an earlier version of these pages has kept knows neither.
  if (photo.loadId) form.set("load_id", photo.loadId);
  for (const each of photo.replaces ?? []) form.append("replaces", each);
  if (inPieces) form.set("pieces", String(photo.blob.size));
  else form.set("photo", photo.blob, photo.name);
  return form;
}

/**
 * The task that a photo became. Throws Problem.
 *
 * @param {XMLHttpRequest} answered
 * @returns {Task}
 */
function taskOf(answered) {
  const { status, responseText } = answered;
  if (status < 200 || status > 299) throw problemOf(status, responseText, answered.getResponseHeader("Retry-After"));
  try {
    const task = JSON.parse(responseText);
    if (task?.id) return task;
  } catch {
    // As below.
  }
  // Something other than the service answered 2xx: that is not a confirmation.
  throw new Problem({ code: "no-connection" });
}
