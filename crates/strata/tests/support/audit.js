// Run in a page by tests: passes to done() what a person would complain about, one line each.
const problems = [];
const root = document.documentElement;
const shown = (element) => element.outerHTML.slice(0, 120);

// Nothing is wider than the screen.
if (root.scrollWidth > root.clientWidth) {
  const wide = [...document.body.querySelectorAll("*")].filter((element) =>
    element.getBoundingClientRect().right > root.clientWidth + 1 && !element.closest(".scroll, pre, .copy code"));
  problems.push(`scrolls sideways (${root.scrollWidth} > ${root.clientWidth}): ${wide.slice(0, 3).map(shown).join(" | ")}`);
}

// Nothing that people wrote became markup, and nothing comes from elsewhere.
if (window.ran) { problems.push("a script that somebody stored has run"); }
for (const element of document.querySelectorAll("*")) {
  const isForeign = ["IFRAME", "OBJECT", "EMBED", "BASE"].includes(element.tagName)
    || (element.tagName === "SCRIPT" && !element.src) || element.tagName === "STYLE";
  const isActive = [...element.attributes].some(({ name, value }) =>
    name.startsWith("on") || name === "style" || (/^(href|src|action|formaction|xlink:href)$/.test(name) && /^\s*(javascript|data|vbscript):/i.test(value)));
  if (isForeign || isActive) { problems.push(`does not belong into a page: ${shown(element)}`); }
}
for (const { name } of performance.getEntriesByType("resource")) {
  if (new URL(name).origin !== location.origin) { problems.push(`loaded from another host: ${name}`); }
}

// What a page says of itself.
const meta = (property) => document.querySelector(`meta[property="${property}"], meta[name="${property}"]`)?.content ?? "";
if (document.title.length < 5) { problems.push(`title ${document.title}`); }
for (const name of ["description", "og:title", "og:description", "og:type", "og:url", "og:site_name"]) {
  if (!meta(name)) { problems.push(`no ${name}`); }
}
if (meta("og:url") && new URL(meta("og:url")).origin !== location.origin) { problems.push(`og:url ${meta("og:url")}`); }
if (document.querySelectorAll("h1").length !== 1) { problems.push("not exactly one first heading"); }
for (const time of document.querySelectorAll("time")) {
  if (!time.title || !time.dateTime) { problems.push(`a time without its exact form: ${shown(time)}`); }
}
const names = [...document.querySelectorAll("[id]")].map(({ id }) => id);
for (const id of names.filter((id, at) => names.indexOf(id) !== at)) { problems.push(`two elements are called ${id}`); }

// What moved after it was first drawn, as a part of the screen; less than a thousandth is not seen. The observer tells
// what happened before it, a moment later.
let shift = 0;
const moved = [];
const place = ({ x, y, width, height }) => [x, y, width, height].map(Math.round).join(" ");
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries()) {
    shift += value;
    moved.push(...sources.map(({ node, previousRect, currentRect }) =>
      `${(node?.outerHTML ?? node?.textContent ?? "what is gone").slice(0, 80)} (${place(previousRect)} -> ${place(currentRect)})`));
  }
})
  .observe({ type: "layout-shift", buffered: true });

const afterTwoFrames = (next) => requestAnimationFrame(() => requestAnimationFrame(next));
afterTwoFrames(async () => {
  if (shift > 0.001) { problems.push(`the page moved while it was loaded: ${shift}: ${moved.join("; ")}`); }
  if (window.axe) {
    const rules = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] };
    const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ["violations"], preload: false });
    for (const { id, help, nodes } of violations) {
      const first = nodes[0];
      const why = [...first.any, ...first.all, ...first.none][0]?.message ?? "";
      problems.push(`axe ${id}: ${help} (${nodes.length}): ${first.html.slice(0, 160)} ${why}`);
    }
  }
  done(problems);
});
