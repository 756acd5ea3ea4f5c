// Keeps the page up to date from the worker's stream of Server-Sent Events.
"use strict";

const REOPEN_AFTER = 2000; // milliseconds
const CHANGES_SHOWN = 12;
const STATES = {
  live: "Live",
  paused: "Paused",
  reconnecting: "Reconnecting…",
};

const view = document.getElementById("view");
const status = document.getElementById("status");
const pause = document.getElementById("pause");
const changes = document.getElementById("changes");

let state = "reconnecting";
let paused = false;
let held = null; // the latest view that came while paused

function showState() {
  const shown = paused && state === "live" ? "paused" : state;
  if (status.dataset.state !== shown) {
    status.dataset.state = shown;
    status.textContent = STATES[shown];
  }
}

function members(root) {
  const rows = root.querySelectorAll("tbody tr");
  return new Map(Array.from(rows, (row) => [row.id, row]));
}

function leader(root) {
  return root.querySelector("tr:has(.leader)");
}

function tell(kind, text) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const now = new Date();
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString([], { hour12: false });
  item.dataset.kind = kind;
  item.append(time, text);
  changes.prepend(item);
  while (changes.children.length > CHANGES_SHOWN) changes.lastChild.remove();
  document.getElementById("no-changes").hidden = true;
}

function tellDifference(before, after) {
  const [old, present] = [members(before), members(after)];
  for (const [id, row] of old) {
    if (!present.has(id)) tell("left", `Worker ${row.dataset.pid} left`);
  }
  for (const [id, row] of present) {
    if (old.has(id)) continue;
    row.classList.add("arrived");
    tell("joined", `Worker ${row.dataset.pid} joined`);
  }
  const leads = leader(after);
  if (leads && leads.id !== leader(before)?.id) tell("leads", `Worker ${leads.dataset.pid} leads`);
}

function show(html) {
  const next = document.createElement("template");
  next.innerHTML = html;
  tellDifference(view, next.content);
  // The table can hold the keyboard's focus, to be scrolled; its successor takes it over.
  const focused = view.contains(document.activeElement);
  view.replaceChildren(next.content);
  if (focused) view.querySelector("[tabindex]").focus();
}

function receive(event) {
  if (paused) held = event.data;
  else show(event.data);
}

function open() {
  const source = new EventSource("/events");
  source.addEventListener("view", receive);
  source.onopen = () => {
    state = "live";
    showState();
  };
  source.onerror = () => {
    state = "reconnecting";
    showState();
    // The browser tries again by itself, but not after an answer such as 503.
    if (source.readyState === EventSource.CLOSED) setTimeout(open, REOPEN_AFTER);
  };
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (!paused && held !== null) show(held);
  held = null;
  showState();
});

pause.hidden = false;
document.getElementById("history").hidden = false;
showState();
open();
