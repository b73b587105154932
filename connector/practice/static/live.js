// Keeps the page current: when the tracker's state has changed, the parts marked data-live are fetched and replaced.
// A form in which something was typed is left alone until it is saved.
"use strict";
let state = document.documentElement.dataset.state;
const touched = new WeakSet();
document.addEventListener("input", (event) => {
  const part = event.target.closest("[data-live]");
  if (part) touched.add(part);
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("click", (event) => {
  const input = event.target.dataset.fill && document.getElementById(event.target.dataset.fill);
  if (!input) return;
  input.value = event.target.dataset.value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
});

async function refresh() {
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const twin = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    const busy = touched.has(part) || part.querySelector("details[open]") ||
      (part.contains(document.activeElement) && part.dataset.live === "form");
    if (twin && !busy && part.innerHTML !== twin.innerHTML) part.replaceWith(document.adoptNode(twin));
  }
}

async function watch() {
  try {
    const latest = (await (await fetch("/practice/state")).json()).state;
    if (latest !== state) {
      await refresh();
      state = latest;
    }
  } catch {
    // The tracker is restarting; the next round will tell.
  }
  setTimeout(watch, 1500);
}
setTimeout(watch, 1500);
