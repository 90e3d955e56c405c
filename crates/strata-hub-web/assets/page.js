// What a script adds to pages that work without one: "/" goes to the search field, suggestions below it, buttons that copy,
// tables that filter as one types. Nothing here makes HTML out of text.
"use strict";

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const field = document.getElementById("search");
    if (field) { event.preventDefault(); field.focus(); field.select(); }
  }
});

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const text = source.dataset.text ?? source.textContent;
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}

for (const field of document.querySelectorAll("input[data-filters]")) {
  const rows = document.querySelectorAll(`#${field.dataset.filters} [data-filter]`);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of rows) { row.hidden = !row.dataset.filter.toLowerCase().includes(wanted); }
  });
}

const search = document.getElementById("search");
const list = document.getElementById("suggestions");
if (search && list) {
  let latest = 0;
  search.addEventListener("input", async () => {
    const asked = ++latest;
    const text = search.value.trim();
    if (text.length < 2) { list.replaceChildren(); return; }
    const answer = await fetch(`/suggest?q=${encodeURIComponent(text)}`).catch(() => null);
    if (!answer || !answer.ok || asked !== latest) { return; }
    const found = await answer.json();
    if (asked !== latest) { return; }
    list.replaceChildren(...found.map(({ name, url }) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = url;
      link.textContent = name;
      item.append(link);
      return item;
    }));
  });
  search.form.addEventListener("keydown", (event) => {
    const links = [...list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    // The first one takes the suggestions away, and leaves what was typed.
    if (event.key === "Escape" && links.length) { event.preventDefault(); list.replaceChildren(); search.focus(); }
    if (event.key === "ArrowDown" && links.length) { event.preventDefault(); links[Math.min(at + 1, links.length - 1)].focus(); }
    if (event.key === "ArrowUp" && at >= 0) { event.preventDefault(); (at === 0 ? search : links[at - 1]).focus(); }
  });
}
