// What asks the phone for photos.

import { h } from "./dom.js";
import { icon } from "./icons.js";

// Any: the service names what it does not take. An iPhone asked for "image/*" sends its HEIC as JPEG, of less work.
const ACCEPT = "image/*";

/**
 * An input; `attributes` say whether the camera opens, and whether several may be chosen.
 *
 * @param {Attributes} attributes
 * @param {(files: File[]) => void} onFiles
 */
export function photoInput(attributes, onFiles) {
  const input = h("input", { type: "file", accept: ACCEPT, class: "unseen", ...attributes });
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length) onFiles(files);
  });
  return input;
}

/**
 * A button with an input in it.
 *
 * @param {{kind: string, icon: string, text: string, attributes: Attributes, onFiles(files: File[]): void}} options
 */
export function photoPicker({ kind, icon: name, text, attributes, onFiles }) {
  return h("label", { class: `button ${kind}` }, photoInput(attributes, onFiles), icon(name), h("span", {}, text));
}
