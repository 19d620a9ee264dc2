// The shell: which page is shown, for which workload, with which key, and how often it is fetched.

import { setText } from "./dom.js";
import { showClock } from "./format.js";
import { frontierPage } from "./frontier.js";
import { interactionsPage } from "./interactions.js";
import { keysPage } from "./keys.js";
import { learningPage } from "./learning.js";
import { ask, forgetKey, hasKey, keepKey, Refusal } from "./net.js";
import { overviewPage } from "./overview.js";

const byId = (id) => document.getElementById(id);
const PAGES = {
  overview: overviewPage,
  frontier: frontierPage,
  interactions: interactionsPage,
  learning: learningPage,
  keys: keysPage,
};

let chosen = new URLSearchParams(location.search).get("workload") || null;
let shown = null;
let paused = false;
let timer = 0;
let turn = 0;
let updatedAt = null;

/** #/NAME/REST?QUERY */
function readPlace() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const known = Object.hasOwn(PAGES, name) ? name : "overview";
  return { name: known, rest: rest.map(decodeURIComponent), query: new URLSearchParams(query) };
}

const context = {
  get workload() {
    return chosen;
  },
  choose,
  /** Go to another page, or to the same one with another query. */
  go(hash) {
    if (location.hash === hash) show();
    else location.hash = hash;
  },
  reload: () => load(),
  tell(text) {
    setText(byId("told"), text);
    byId("told").hidden = false;
  },
  setWorkloads: showChoices,
};

function setStatus(text, kind) {
  setText(byId("status-text"), text);
  byId("light").className = kind;
}

/** Show the page of the address; the page itself is made when it is first shown. */
function show() {
  const place = readPlace();
  byId("told").hidden = true;
  for (const link of document.querySelectorAll("#pages a")) {
    if (link.dataset.page === place.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const name of Object.keys(PAGES)) byId(`page-${name}`).hidden = name !== place.name;
  const page = PAGES[place.name];
  if (shown !== null && shown !== page) scrollTo(0, 0);
  shown = page;
  setStatus("Loading", "");
  page.ready ??= page.create(byId(`page-${place.name}`), context);
  document.title = place.name === "overview" ? "tutelage" : `${page.title} · tutelage`;
  load();
}

async function load() {
  clearTimeout(timer);
  turn += 1;
  const mine = turn;
  const place = readPlace();
  const page = PAGES[place.name];
  const hash = location.hash;
  const isCurrent = () => mine === turn && location.hash === hash;
  try {
    await page.ready.load(place, isCurrent);
    if (!isCurrent()) return;
    updatedAt = Date.now() / 1000;
    byId("key-form").hidden = true;
    byId("refused").hidden = true;
    byId("main").hidden = false;
    byId("main").dataset.shown = hash;
    setStatus(`${paused ? "Paused at" : "Updated"} ${showClock(updatedAt)}`, paused ? "" : "good");
  } catch (error) {
    if (!isCurrent()) return;
    if (error instanceof Refusal) refuse(error);
    else if (error instanceof TypeError && /fetch|network/i.test(error.message)) {
      setStatus("No connection to the gateway; trying again", "bad");
    } else {
      setStatus("This page failed", "bad");
      throw error;
    }
  } finally {
    if (isCurrent()) schedule();
  }
}

function schedule() {
  clearTimeout(timer);
  const every = PAGES[readPlace().name].refreshMs;
  if (every && !paused && !document.hidden && byId("key-form").hidden) timer = setTimeout(load, every);
}

function refuse({ status, code, message }) {
  const needsKey = status === 401 || code === "admin_key_required";
  if (status === 404 && chosen !== null && shown === overviewPage) {
    choose(null);
    return;
  }
  byId("main").hidden = status === 401 || status === 403;
  byId("refused").hidden = status === 401;
  setText(byId("refused"), message);
  byId("key-form").hidden = !needsKey;
  if (!needsKey) {
    setStatus("No data", "bad");
    return;
  }
  if (status === 401) {
    if (hasKey()) setText(byId("key-why"), "The gateway doesn't know this key. Try another one.");
    forgetKey();
  }
  setStatus("Waiting for a key", "");
  byId("key").focus();
}

let choicesBefore = "";
function showChoices(names, more = 0) {
  byId("chooser").hidden = names.length < 2;
  const all = chosen === null || names.includes(chosen) ? names : [...names, chosen];
  const state = JSON.stringify([all, more]);
  if (state !== choicesBefore) {
    choicesBefore = state;
    const title = more ? `All (first ${names.length} listed)` : "All";
    byId("workload").replaceChildren(new Option(title, ""), ...all.map((name) => new Option(name, `=${name}`)));
  }
  byId("workload").value = chosen === null ? "" : `=${chosen}`;
}

function choose(workload) {
  chosen = workload;
  const address = new URL(location.href);
  if (workload === null) address.searchParams.delete("workload");
  else address.searchParams.set("workload", workload);
  history.replaceState(null, "", address);
  byId("workload").value = chosen === null ? "" : `=${chosen}`;
  load();
}

byId("workload").addEventListener("change", (event) => {
  choose(event.target.value === "" ? null : event.target.value.slice(1));
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(byId("key").value.trim());
  byId("key").value = "";
  load();
});
byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  byId("pause").textContent = paused ? "Resume" : "Pause";
  if (paused) {
    clearTimeout(timer);
    if (updatedAt !== null) setStatus(`Paused at ${showClock(updatedAt)}`, "");
  } else load();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused) load();
});
addEventListener("hashchange", show);
show();
