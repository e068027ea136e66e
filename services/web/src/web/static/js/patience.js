// What a browser may hold back for as long as it likes (a question to the person, a lock, a database) is waited
// for so long and no longer.

/**
 * Resolves as `promise` does, or rejects with a TimeoutError after `milliseconds`.
 *
 * @template Value
 * @param {number} milliseconds
 * @param {Promise<Value>} promise
 * @returns {Promise<Value>}
 */
export function within(milliseconds, promise) {
  let timer = 0;
  /** @type {Promise<never>} */
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new DOMException(`no answer within ${milliseconds} ms`, "TimeoutError")),
      milliseconds,
    );
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
