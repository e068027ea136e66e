// Of the tabs of a person one does what only one should.

import { within } from "./patience.js";

const LOCK_MS = 3000;

/**
 * Ask for the lead: `mine` tells whether this tab has it, until `release()`. Where a browser has no locks, or gives
 * none in time, every tab has it.
 *
 * @param {string} name
 */
export async function lead(name) {
  /** @type {PromiseWithResolvers<void>} */
  const { promise: released, resolve: release } = Promise.withResolvers();
  try {
    const granted = new Promise((resolve, reject) => {
      /** @param {Lock | null} lock */
      const hold = (lock) => {
        resolve(Boolean(lock));
        return lock && released;
      };
      navigator.locks.request(name, { ifAvailable: true }, hold).catch(reject);
    });
    return { mine: await within(LOCK_MS, granted), release };
  } catch {
    // A lock that comes late is let go at once.
    release();
    return { mine: true, release };
  }
}
