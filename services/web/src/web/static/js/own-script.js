// The addresses of scripts that are not imported (a service worker, a worker) pass the one policy that there is.

export const SHRINK_WORKER = new URL("./shrink-worker.js", import.meta.url).pathname;
const OURS = ["/sw.js", SHRINK_WORKER];
const policy = window.trustedTypes?.createPolicy("laundry", {
  createScriptURL: (address) => {
    if (OURS.includes(address)) return address;
    throw new TypeError(`not a script of ours: ${address}`);
  },
});

/** @param {string} address */
export function ownScript(address) {
  return policy ? policy.createScriptURL(address) : address;
}
