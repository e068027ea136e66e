// Run in a page: targets of at least 44 px, a name for every control, WCAG AA contrast of all text, no sideways
// scrolling and no control that its card cuts off. Returns what falls short.
async () => {
  // Colours in the middle of a transition belong to nobody.
  await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  const shown = (element) => element.checkVisibility() && !element.closest(".unseen, .skip");
  const controls = [...document.querySelectorAll("button, select, label.button, input:not([type=file])")].filter(shown);
  const name = (element) =>
    element.getAttribute("aria-label") ||
    element.innerText?.trim() ||
    element.labels?.[0]?.innerText.trim() ||
    element.querySelector("img")?.alt;
  const small = controls.filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width < 44 || box.height < 44;
  });
  const cutOff = (element) => {
    const box = element.getBoundingClientRect();
    for (let at = element.parentElement; at; at = at.parentElement) {
      const overflow = getComputedStyle(at).overflowX;
      if (overflow === "auto" || overflow === "scroll") return false;
      const frame = at.getBoundingClientRect();
      if (overflow !== "visible" && (box.right > frame.right + 1 || box.left < frame.left - 1)) return true;
    }
    return false;
  };
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const linear = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba("white");
  };
  const pale = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !shown(element) || element.closest(":disabled")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(rgba(style.color)), light(ground(element))].sort((a, b) => b - a);
    const big = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < (big ? 3 : 4.5)) pale.push(`${element.innerText} ${ratio.toFixed(2)}`);
  }
  return {
    small: small.map((element) => element.outerHTML.slice(0, 120)),
    nameless: controls.filter((element) => !name(element)).map((element) => element.outerHTML.slice(0, 120)),
    pale,
    cut: controls.filter(cutOff).map((element) => element.outerHTML.slice(0, 120)),
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
};
