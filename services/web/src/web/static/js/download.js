// Hands something to the person as a file.

import { h } from "./dom.js";

// A browser may begin to read only after the click is over.
const READ_MS = 60000;

/**
 * @param {string} name of the file
 * @param {Blob} content
 */
export function download(name, content) {
  const url = URL.createObjectURL(content);
  const link = h("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), READ_MS);
}
