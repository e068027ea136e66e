// A photo over the limit is made smaller on the phone, before it is sent.

import { ownScript, SHRINK_WORKER } from "./own-script.js";
import { within } from "./patience.js";

// As the service has it (`laundry_reading.photo.MAX_BYTES`).
const MOST_BYTES = 30_000_000;
// Of 200 megapixels, on a phone of some years.
const SHRINK_MS = 60000;

/** A photo is over the limit, and this browser cannot make it smaller. */
export class TooLarge extends Error {}

/**
 * The photo as it is, or a smaller copy of one that is over the limit. Rejects with TooLarge.
 *
 * @param {Blob} photo
 * @returns {Promise<Blob>}
 */
export async function fitting(photo) {
  if (photo.size <= MOST_BYTES) return photo;
  try {
    return await smaller(photo);
  } catch (error) {
    throw new TooLarge(String(error));
  }
}

/**
 * A smaller copy, as JPEG, turned as the photo is shown and without what its file tells of place and camera.
 *
 * In a worker: the page goes on meanwhile, and the memory that it takes is given back at its end. Rejects if the
 * browser cannot read the photo, or has not the memory for it.
 *
 * @param {Blob} photo
 * @returns {Promise<Blob>}
 */
export async function smaller(photo) {
  const worker = new Worker(ownScript(SHRINK_WORKER));
  try {
    const answered = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.photo ? resolve(data.photo) : reject(new Error(data.error)));
      worker.onerror = (event) => reject(new Error(event.message || "the worker did not start"));
    });
    worker.postMessage(photo);
    return await within(SHRINK_MS, answered);
  } finally {
    worker.terminate();
  }
}
