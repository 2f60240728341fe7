// The console: which page the address names, the theme, the search.

import { alertPage } from "./alert.js";
import { alertsPage } from "./alerts.js";
import { ask, problem } from "./api.js";
import { fill, h } from "./dom.js";
import { FILTERS } from "./filters.js";
import { listen, showKeys } from "./keyboard.js";
import { askForLabel, dismiss } from "./labelling.js";
import { askToSuppress, takeOrGiveBack } from "./triage.js";
import { knows, learn, plain } from "./words.js";
import { walletPage } from "./wallet.js";

const main = document.getElementById("main");
let page = {};
let listAddress = "#/alerts";
let ending = new AbortController();
let places = 0;

function route() {
  ending.abort();
  ending = new AbortController();
  const { signal } = ending;
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [, what = "alerts", id] = path.split("/");
  if (what === "alerts" && !id) {
    listAddress = location.hash || "#/alerts";
    const parameters = new URLSearchParams(query);
    for (const name of [...parameters.keys()]) if (!FILTERS.includes(name)) parameters.delete(name);
    page = listActions(alertsPage(main, parameters, signal));
    titled("Alerts");
  } else if (what === "alerts") {
    page = { back, ...alertPage(main, decoded(id), signal) };
    titled("Alert");
  } else if (what === "wallets" && id) {
    page = { back, ...walletPage(main, decoded(id), signal) };
    titled("Wallet");
  } else {
    page = { back };
    fill(main, h("h1", { tabindex: "-1" }, "There is no such page"), h("p", null, h("a", { href: "#/alerts" }, "To the alerts")));
    titled("No such page");
  }
  window.scrollTo(0, 0);
  // Whoever cannot see the page change hears its heading; not at the first one, which is read anyway.
  if (places++) main.querySelector("h1")?.focus({ preventScroll: true });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function titled(text) {
  document.title = `${text} – chainwarden`;
  for (const link of document.querySelectorAll("nav a")) {
    if (text === "Alerts") link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function back() {
  location.hash = listAddress;
}

// On the list the keys act on the row that has the focus.
function listActions(list) {
  const explained = async (then) => {
    const id = list.selected();
    if (id === undefined) return;
    try {
      then(await ask(`/api/v1/alerts/${encodeURIComponent(id)}/explanation`), id);
    } catch (error) {
      main.prepend(problem(error));
    }
  };
  return {
    step: list.step,
    label: () => explained(({ suspect, bad_label: word }, id) => suspect && askForLabel({ address: suspect, word, alertId: id })),
    dismiss: () => list.selected() !== undefined && dismiss(list.selected()),
    hand: () => list.selected() !== undefined && takeOrGiveBack(list.selected(), list.held()),
    suppress: () => explained(({ alert, subject }) => askToSuppress({ rule: alert.rule, subject: subject?.address ?? null })),
    wallet: () => explained(({ suspect }) => { if (suspect) location.hash = `#/wallets/${suspect}`; }),
  };
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("chainwarden.theme", theme);
  } catch {
    // It lasts as long as the page.
  }
  themeName();
}

function themeName() {
  fill(document.getElementById("theme"), isDark() ? "Light" : "Dark", h("span", { class: "unseen" }, " theme"));
}

function find(event) {
  event.preventDefault();
  const field = document.getElementById("find-text");
  const text = field.value.trim().toLowerCase();
  if (!text) return;
  field.value = "";
  location.hash = text.startsWith("0x") ? `#/wallets/${encodeURIComponent(text)}` : `#/alerts/${encodeURIComponent(text)}`;
}

async function start() {
  document.getElementById("theme").addEventListener("click", switchTheme);
  document.getElementById("keys").addEventListener("click", showKeys);
  document.getElementById("find").addEventListener("submit", find);
  // The hash is the pages' address, so the link must not change it.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  themeName();
  listen(() => page, { theme: switchTheme });
  try {
    learn(await ask("/console/known.json"));
  } catch (error) {
    fill(main, problem(error));
    return;
  }
  document.getElementById("chain").textContent = plain(knows().chain.name);
  window.addEventListener("hashchange", route);
  route();
}

start();
