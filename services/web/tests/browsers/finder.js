// Finds elements of a page as Playwright's locators do, and tells of them what its assertions ask.
(() => {
  const shown = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return width > 0 && height > 0 && getComputedStyle(element).visibility === "visible";
  };
  const plain = (text) =>
    (text ?? "")
      .replace(/[\u200b\u00ad]/g, "")
      .replace(/\s+/g, " ")
      .trim();
  const fits = (text, { wanted, exact }) => {
    if (exact) return plain(text) === plain(wanted);
    return plain(text).toLowerCase().includes(plain(wanted).toLowerCase());
  };
  const referred = (element, attribute) =>
    (element.getAttribute(attribute) ?? "")
      .split(/\s+/)
      .map((id) => document.getElementById(id)?.textContent ?? "")
      .join(" ");
  const given = (element) => plain(referred(element, "aria-labelledby")) || plain(element.getAttribute("aria-label"));
  const labelled = (element) => [...(element.labels ?? [])].map((label) => label.textContent).join(" ");

  const ROLES = {
    alert: "[role=alert]",
    button: "button, [role=button]",
    dialog: "dialog, [role=dialog]",
    heading: "h1, h2, h3, h4, h5, h6, [role=heading]",
    link: "a[href]",
    img: "img:not([alt='']), [role=img]",
    log: "[role=log]",
    progressbar: "progress, [role=progressbar]",
    region: "section, [role=region]",
    row: "tr, [role=row]",
    textbox: "textarea, input:not([type]), input[type=text], [role=textbox]",
  };
  // These are called by what stands in them.
  const NAMED_BY_CONTENT = ["link", "button", "heading"];

  // What stands in blocks of their own are words of their own.
  const content = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const inside = [...node.childNodes].map(content).join("");
    const inline = node.nodeType !== Node.ELEMENT_NODE || getComputedStyle(node).display === "inline";
    return inline ? inside : ` ${inside} `;
  };

  const nameOf = (element, role) =>
    given(element) ||
    plain(labelled(element)) ||
    plain(element.getAttribute("alt")) ||
    (NAMED_BY_CONTENT.includes(role) ? plain(content(element)) : "");

  const within = (roots, selector) => {
    const all = new Set(roots.flatMap((root) => [...root.querySelectorAll(selector)]));
    return [...all].sort((a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  };

  const STEPS = {
    css: (roots, { selector }) => within(roots, selector),
    // The innermost elements that hold the words.
    text: (roots, step) => {
      const holds = (element) => fits(element.textContent, step);
      return within(roots, "body, body *").filter((element) => holds(element) && ![...element.children].some(holds));
    },
    role: (roots, { role, name, exact, level }) =>
      within(roots, ROLES[role]).filter((element) => {
        if (!element.checkVisibility({ visibilityProperty: true }) || element.closest("[aria-hidden=true]"))
          return false;
        if (level && element.localName !== `h${level}`) return false;
        const called = nameOf(element, role);
        if (role === "region" && !called) return false;
        return name === null || fits(called, { wanted: name, exact });
      }),
    label: (roots, step) =>
      within(roots, "body *").filter((element) => fits(given(element), step) || fits(labelled(element), step)),
    title: (roots, step) => within(roots, "[title]").filter((element) => fits(element.title, step)),
    holding: (roots, step) => roots.filter((element) => fits(element.textContent, step)),
    nth: (roots, { index }) => roots.slice(index, index + 1 || undefined),
  };

  const find = (steps) => steps.reduce((roots, step) => STEPS[step.by](roots, step), [document]);

  const describe = (element, asked) => ({
    shown: shown(element),
    text: plain(element.textContent),
    value: element.value ?? null,
    disabled: element.matches(":disabled"),
    focused: document.activeElement === element,
    attribute: asked === null ? null : element.getAttribute(asked),
    property: asked === null ? null : (element[asked] ?? null),
  });

  /**
   * The one element that a person could click now, or null: in view, at rest and not behind another. Whether it was
   * clicked stands in `window.wasClicked` then.
   */
  const clickable = async (steps) => {
    const found = find(steps).filter(shown);
    if (found.length > 1) throw new Error(`all these are meant: ${found.map((each) => each.outerHTML)}`);
    const [element] = found;
    if (!element || element.matches(":disabled")) return null;
    element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const before = element.getBoundingClientRect();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const { x, y, width, height } = element.getBoundingClientRect();
    if (!element.isConnected || x !== before.x || y !== before.y) return null;
    const top = document.elementFromPoint(x + width / 2, y + height / 2);
    if (!top || !(element.contains(top) || top.contains(element))) return null;
    window.wasClicked = false;
    // A list that is drawn again has another element in its place.
    const note = ({ target }) => {
      window.wasClicked = find(steps).some((each) => each.contains(target));
    };
    window.addEventListener("click", note, { once: true, capture: true });
    return element;
  };

  return { find, describe, clickable };
})();
