"use strict";
// Filters, search and folding. The page says everything without this.
(() => {
  const box = document.getElementById("filters");
  const search = document.getElementById("q");
  const severity = document.getElementById("fs");
  const cluster = document.getElementById("fc");
  const verdicts = [...box.querySelectorAll("input[name=v]")];
  const shown = document.getElementById("shown");
  const rank = { critical: 4, high: 3, medium: 2, low: 1, none: 0 };
  const items = [...document.querySelectorAll("main [data-v]")].map((node) => ({
    node,
    verdicts: node.dataset.v.split(" "),
    rank: rank[node.dataset.s] ?? 0,
    clusters: node.dataset.c.trim().split(" "),
    text: null,
  }));
  const holders = [...document.querySelectorAll("main tbody, main [data-group]")].filter((node) => node.querySelector("[data-v]"));

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(verdicts.filter((input) => input.checked).map((input) => input.value));
    const least = Number(severity.value);
    const active = words.length > 0 || wanted.size < verdicts.length || least > 1 || cluster.value !== "";
    let count = 0;
    for (const item of items) {
      let keep = item.verdicts.some((verdict) => wanted.has(verdict));
      keep &&= least <= 1 || item.rank >= least;
      keep &&= cluster.value === "" || item.clusters.includes(cluster.value);
      if (keep && words.length) {
        item.text ??= item.node.textContent.toLowerCase();
        keep = words.every((word) => item.text.includes(word));
      }
      if (item.node.hidden === keep) item.node.hidden = !keep;
      count += keep ? 1 : 0;
    }
    for (const holder of holders) holder.hidden = active && !holder.querySelector("[data-v]:not([hidden])");
    if (active) {
      for (const item of items) {
        const fold = item.node.hidden ? null : item.node.parentElement.closest("details");
        if (fold) fold.open = true;
      }
    }
    shown.textContent = active ? `${count} of ${items.length} shown` : "";
  };
  let waiting = 0;
  const later = () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); };
  search.addEventListener("input", later);
  box.addEventListener("change", apply);
  document.getElementById("reset").addEventListener("click", () => {
    search.value = ""; severity.value = "1"; cluster.value = "";
    for (const input of verdicts) input.checked = true;
    apply();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(input|select|textarea)$/i.test(event.target.tagName)) { event.preventDefault(); search.focus(); }
  });
  // What is linked to may lie inside something folded.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
  box.hidden = false;
  box.open = matchMedia("(min-width: 1001px)").matches;
  reveal();
})();
