// A button that does its work once, however often it is tapped meanwhile.

/** Whether nothing has the focus: what had it is gone, or cannot have it. */
export function isFocusLost() {
  const { activeElement } = document;
  return !activeElement || activeElement === document.body;
}

/**
 * Do the work of a button, unless it is under way: until it is done, the button is disabled.
 *
 * @param {HTMLButtonElement} button
 * @param {() => Promise<unknown>} work
 */
export async function once(button, work) {
  if (button.disabled) return;
  const held = button === document.activeElement;
  button.disabled = true;
  try {
    await work();
  } finally {
    button.disabled = false;
    // What is disabled loses the focus in most browsers.
    if (held && isFocusLost()) button.focus({ preventScroll: true });
  }
}
