// Keeps what last happened on a page, for who reads why a test failed.
(() => {
  const MOST = 40;
  const seen = [];
  window.lastSeen = () => seen.join("\n");
  const note = (...what) => {
    seen.push(`${Math.round(performance.now())} ms: ${what.join(" ")}`);
    if (seen.length > MOST) seen.shift();
  };
  const brief = (node) => `${node?.nodeName ?? node} "${(node?.textContent ?? "").trim().slice(0, 30)}"`;
  for (const type of ["mousedown", "mouseup", "click", "scroll"])
    window.addEventListener(type, ({ target }) => note(type, brief(target), "at", scrollY), true);
  if (PerformanceObserver.supportedEntryTypes.includes("layout-shift"))
    new PerformanceObserver((list) => {
      for (const { value, sources } of list.getEntries())
        note(
          "moved by",
          value.toFixed(3),
          ...sources.map(({ node, previousRect: was, currentRect: is }) => `${brief(node)} ${was.y}→${is.y}`),
        );
    }).observe({ type: "layout-shift", buffered: true });
  const { fetch } = window;
  window.fetch = async (...asked) => {
    const address = asked[0]?.url ?? asked[0];
    try {
      const answer = await fetch(...asked);
      note(answer.status, address);
      return answer;
    } catch (error) {
      note(error, address);
      throw error;
    }
  };
})();
