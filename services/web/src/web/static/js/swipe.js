// Swiping a card with a finger: to one side and to the other. Whatever it does, a button does too.

import { t } from "./texts.js";

// So far, or so fast and half as far, is meant.
const FAR = 0.35;
const FAST_PX_PER_MS = 0.6;
// Before that a finger may still be about to scroll.
const BEGIN_PX = 12;

/** @typedef {"right" | "left"} Side */

/**
 * What a movement means: a side, or null for none.
 *
 * @param {{dx: number, dy: number, ms: number, width: number}} movement in pixels, over so many milliseconds, of a
 *   card so wide
 * @returns {Side | null}
 */
export function sideOf({ dx, dy, ms, width }) {
  const along = Math.abs(dx);
  if (along < 2 * Math.abs(dy)) return null;
  const far = along / width;
  const fast = along / Math.max(ms, 1) >= FAST_PX_PER_MS;
  if (far < FAR && !(fast && far >= FAR / 2)) return null;
  return dx > 0 ? "right" : "left";
}

/**
 * Let a card be swiped. `hints` says what each side does now; a side without a hint does nothing.
 *
 * @param {HTMLElement} card
 * @param {{hints(): Partial<Record<Side, string>>, onSwipe(side: Side): void}} options
 */
export function swipeable(card, { hints, onSwipe }) {
  /** @type {{id: number, x: number, y: number, at: number, begun: boolean} | null} */
  let drag = null;

  /** @param {PointerEvent} event */
  function movement(event) {
    if (!drag) return null;
    const { clientX, clientY, timeStamp } = event;
    return { dx: clientX - drag.x, dy: clientY - drag.y, ms: timeStamp - drag.at, width: card.clientWidth };
  }

  function rest() {
    drag = null;
    card.style.removeProperty("--drag");
    delete card.dataset.drag;
    delete card.dataset.hint;
  }

  card.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" || !event.isPrimary) return;
    drag = { id: event.pointerId, x: event.clientX, y: event.clientY, at: event.timeStamp, begun: false };
  });
  card.addEventListener("pointermove", (event) => {
    const moved = movement(event);
    if (!drag || !moved || event.pointerId !== drag.id) return;
    if (!drag.begun && (Math.abs(moved.dx) < BEGIN_PX || Math.abs(moved.dx) < Math.abs(moved.dy))) return;
    const side = moved.dx > 0 ? "right" : "left";
    const hint = hints()[side];
    if (!drag.begun) {
      drag.begun = true;
      // Or the finger, wherever it ends, would press a button that it began on.
      if (card.isConnected) capture(card, drag.id);
    }
    card.dataset.drag = side;
    card.dataset.hint = hint ?? t("swipe.nothing");
    card.style.setProperty("--drag", String(hint ? moved.dx / moved.width : moved.dx / moved.width / 6));
  });
  card.addEventListener("pointerup", (event) => {
    const moved = movement(event);
    const begun = drag?.begun;
    rest();
    const side = begun && moved ? sideOf(moved) : null;
    if (side && hints()[side]) onSwipe(side);
  });
  card.addEventListener("pointercancel", rest);
}

/**
 * @param {HTMLElement} card
 * @param {number} pointer
 */
function capture(card, pointer) {
  try {
    card.setPointerCapture(pointer);
  } catch {
    // The finger is up already.
  }
}
