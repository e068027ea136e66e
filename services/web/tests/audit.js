// Run in a page, for what axe-core does not ask: targets of at least 44 px, no sideways scrolling and no control that
// its card cuts off. Returns what falls short.
() => {
  const shown = (element) => element.checkVisibility() && !element.closest(".unseen, .skip");
  const controls = [...document.querySelectorAll("button, select, label:is(.button, .check), input[type=text]")].filter(
    shown,
  );
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
  return {
    small: small.map((element) => element.outerHTML.slice(0, 120)),
    cut: controls.filter(cutOff).map((element) => element.outerHTML.slice(0, 120)),
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
};
