// Keys, and the age of what is shown. The page does everything without it; it changes nothing, and keeps nothing.
(() => {
  "use strict";
  const OLD = 3;
  const here = (selector) => document.querySelector(selector);
  const writes = (element) => element && (/^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName) || element.isContentEditable);

  // The age is what the manager said last; once it has said nothing for longer than it ever does, that time is added.
  const QUIET = 2500;
  let since = performance.now();
  const heard = () => { since = performance.now(); };
  const show = () => {
    const age = here("#age");
    const quiet = performance.now() - since;
    if (!age || age.dataset.age === undefined || quiet < QUIET) return;
    const seconds = Number(age.dataset.age) + quiet / 1000;
    age.querySelector(".n").textContent = (seconds < 9.95 ? seconds.toFixed(1) : Math.floor(seconds)) + " s old";
    age.classList.toggle("old", seconds > OLD);
    age.querySelector("use").setAttribute("href", seconds > OLD ? "#m-warn" : "#m-ok");
  };
  document.addEventListener("htmx:sseOpen", (event) => {
    heard();
    for (const name of ["snapshot", "overview", "ping"]) event.detail.source.addEventListener(name, heard);
  });
  setInterval(show, 500);

  // What is made anew keeps the place of who reads it.
  let kept = null;
  let opened = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id !== "live") return;
    const focused = document.activeElement;
    const live = here("#live");
    kept = live && live.contains(focused) ? { href: focused.getAttribute("href"), label: focused.getAttribute("aria-label") } : null;
    opened = live ? [...live.querySelectorAll("details")].map((one) => one.open) : [];
    scrolled = live ? [...live.querySelectorAll(".scroll")].map((one) => one.scrollLeft) : [];
  });
  let scrolled = [];
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "live") return;
    const live = here("#live");
    if (!live) return;
    [...live.querySelectorAll("details")].forEach((one, at) => { one.open = opened[at] || false; });
    [...live.querySelectorAll(".scroll")].forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
    if (!kept) return;
    const same = [...live.querySelectorAll("a, button, [tabindex]")].find((one) => one.getAttribute("href") === kept.href && one.getAttribute("aria-label") === kept.label);
    if (same) same.focus({ preventScroll: true });
  });

  // Rows by j and k, cells of a matrix by the arrows.
  const links = () => [...document.querySelectorAll("#live .rows tbody tr, #live .list > li, #live .tile")].map((row) => (row.matches("a") ? row : row.querySelector("a[href]"))).filter(Boolean);
  const step = (by) => {
    const all = links();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    next.focus();
    document.querySelectorAll("tr.here").forEach((row) => row.classList.remove("here"));
    const row = next.closest("tr");
    if (row) row.classList.add("here");
  };
  const arrow = (event) => {
    const cell = event.target.closest && event.target.closest(".matrix td");
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!cell || !way) return false;
    const rows = [...cell.closest("tbody").rows];
    let [y, x] = [rows.indexOf(cell.parentElement), cell.cellIndex];
    for (;;) {
      [y, x] = [y + way[0], x + way[1]];
      const next = rows[y] && rows[y].cells[x];
      if (!next || x < 1) return true;
      const link = next.querySelector("a");
      if (link) { link.focus(); return true; }
    }
  };

  const help = here("#help");
  const button = here("[data-help]");
  const toggle = () => { if (help.open) help.close(); else help.showModal(); };
  if (button && help) { button.hidden = false; button.addEventListener("click", toggle); }
  const views = { o: "/", n: "/networks", h: "/hosts", k: "/keys", e: "/events", d: "/holds", f: "/faults", p: "/path" };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && writes(event.target)) { event.target.blur(); return; }
    if (writes(event.target)) return;
    if (arrow(event)) { event.preventDefault(); return; }
    if (Date.now() - going < 1500) {
      going = 0;
      const to = views[event.key] && here(`.views a[href="${views[event.key]}"]`);
      if (to) { event.preventDefault(); to.click(); }
      return;
    }
    switch (event.key) {
      case "/": { const find = here("#find"); if (find) { event.preventDefault(); find.focus(); find.select(); } break; }
      case "?": if (help) { event.preventDefault(); toggle(); } break;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "g": going = Date.now(); break;
    }
  });
})();
