// The list of alerts: filters that live in the address, pages, and what is new while one looks.

import { ask, problem, Refused } from "./api.js";
import { fill, h, say } from "./dom.js";
import { filterForm } from "./filters.js";
import { watch } from "./live.js";
import { marks } from "./triage.js";
import { brief, plain, severity, short, tags, time } from "./words.js";

const PAGE = 50;
const GONE = "gone"; // the version of a row that the filter no longer lets through
const MOST = 2000; // rows; whoever wants older ones narrows the filter

/** The ids in the order they were last listed: an alert's page steps through them. */
export let order = [];

/** Draws the list for these parameters; the signal ends it. */
export function alertsPage(main, parameters, signal) {
  const rows = new Map(); // by id, in the order they are shown
  const list = h("ol", { class: "alerts", "aria-label": "Alerts, newest first" });
  const found = h("p", { class: "dim", id: "found" }, "Loading …");
  const fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: showFresh });
  const older = h("button", { type: "button", hidden: true, onclick: more }, "Older alerts");
  const errors = h("div");
  let waiting = []; // what is new and not shown yet, newest first
  let next = null;
  let turn = Promise.resolve();
  let due = false;
  let afterWaiting = null;

  fill(
    main,
    h("h1", { tabindex: "-1" }, "Alerts"),
    filterForm(parameters),
    h("div", { class: "found" }, found, parameters.size > 0 && h("a", { href: "#/alerts" }, "Clear the filters")),
    errors, fresh, list,
    h("p", { class: "actions" }, older),
  );

  function path() {
    const query = new URLSearchParams(parameters);
    query.set("limit", PAGE);
    return `/api/v1/alerts?${query}`;
  }

  async function first() {
    try {
      const answer = await ask(path(), { signal });
      rows.clear();
      list.replaceChildren();
      for (const alert of answer.alerts) add(alert);
      next = answer.next;
      fill(errors);
      told();
      watch(renew, signal).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  function add(alert) {
    const row = drawn(alert);
    rows.set(alert.id, row);
    list.append(row);
  }

  // One question after the other: an older page and what is new must not mix up the rows.
  function inTurn(work) {
    turn = turn.then(() => (signal.aborted ? undefined : work())).catch(failed);
  }

  function more() {
    inTurn(async () => {
      if (next === null) return;
      const answer = await ask(next, { signal });
      const known = rows.size;
      for (const alert of answer.alerts) if (!rows.has(alert.id)) add(alert);
      next = rows.size < MOST ? answer.next : null;
      told();
      say(`${rows.size - known} older alerts`);
      list.children[known]?.querySelector("a").focus();
    });
  }

  function renew() {
    if (due) return;
    due = true; // rings that come before it is this one's turn are answered by it, too
    inTurn(async () => {
      due = false;
      const answer = await ask(path(), { signal });
      const { alerts } = answer;
      const heard = new Set(waiting.map((alert) => alert.id));
      waiting = [];
      afterWaiting = answer.next;
      let above = null; // the row that the alert comes after
      for (const alert of alerts) {
        const shown = rows.get(alert.id);
        if (shown && shown.dataset.version !== version(alert)) replace(shown, alert);
        else if (!shown && above === null) waiting.push(alert);
        else if (!shown) putAfter(above, alert); // an older one, for which others made room
        above = rows.get(alert.id) ?? above;
      }
      markGone(answer);
      fill(errors);
      const news = waiting.filter((alert) => !heard.has(alert.id)).length;
      if (calm()) showFresh();
      else offer();
      if (news) say(`${news}${news === alerts.length ? " or more" : ""} new alerts`);
    });
  }

  // What the filter no longer lets through, such as an alert that was taken back, stays and says so.
  function markGone({ alerts, next: more }) {
    const there = new Set(alerts.map((alert) => alert.id));
    const last = alerts.at(-1)?.id;
    for (const [id, row] of rows) {
      if (!there.has(id) && row.dataset.version !== GONE) {
        row.dataset.version = GONE;
        row.classList.add("past");
        row.querySelector(".whom").append(h("span", { class: "tag" }, "no longer so"));
      }
      if (id === last && more !== null) return; // what is older was not asked for
    }
  }

  // Rows move only while nobody is at one: at the top, without a pointer or the focus on the list.
  function calm() {
    return window.scrollY < 8 && !list.contains(document.activeElement) && !list.matches(":hover");
  }

  function offer() {
    fresh.hidden = waiting.length === 0;
    fresh.textContent = `Show ${waiting.length}${waiting.length >= PAGE ? "+" : ""} new`;
  }

  function showFresh() {
    const asked = document.activeElement === fresh;
    if (waiting.length >= PAGE) {
      // There may be more between these and what is shown: the list begins anew.
      rows.clear();
      list.replaceChildren();
      waiting.forEach(add);
      next = afterWaiting;
    } else {
      const newer = waiting.map((alert) => [alert.id, drawn(alert)]);
      const shown = [...rows];
      rows.clear();
      for (const [id, row] of [...newer, ...shown]) rows.set(id, row);
      list.prepend(...newer.map(([, row]) => row));
    }
    waiting = [];
    offer();
    told();
    if (asked) list.querySelector("a")?.focus();
  }

  function putAfter(row, alert) {
    row.after(drawn(alert));
    rows.clear();
    for (const one of list.children) rows.set(one.dataset.id, one);
    told();
  }

  function replace(row, alert) {
    const focused = row.contains(document.activeElement);
    const drawnAnew = drawn(alert);
    row.replaceWith(drawnAnew);
    rows.set(alert.id, drawnAnew);
    if (focused) drawnAnew.querySelector("a").focus();
  }

  function told() {
    order = [...rows.keys()];
    older.hidden = next === null;
    const all = next === null ? "" : ", and there are older ones";
    const none = parameters.size ? "No alert is so. Fewer filters find more." : "No alert yet. New ones appear here by themselves.";
    found.textContent = rows.size ? `${rows.size} shown${all}` : none;
    if (rows.size >= MOST) found.textContent += `: no more than ${MOST} at once, so narrow the filter`;
  }

  function failed(error) {
    if (error.name === "AbortError" || signal.aborted) return;
    if (!(error instanceof Refused)) return reportError(error);
    fill(errors, problem(error));
    if (!rows.size) found.textContent = "";
  }

  document.addEventListener("analyst-said", renew, { signal });
  first();

  const at = () => [...rows.values()].findIndex((row) => row.contains(document.activeElement));
  return {
    step(by) {
      const links = [...rows.values()];
      const to = Math.min(Math.max(at() + by, 0), links.length - 1);
      links[to]?.querySelector("a").focus();
    },
    selected: () => list.children[at()]?.dataset.id,
    held: () => list.children[at()]?.dataset.held === "",
  };
}

function version(alert) {
  return JSON.stringify([alert.status, alert.severity, alert.labels, alert.acknowledged, alert.suppressed_until]);
}

function drawn(alert) {
  const chain = /^0x0{40}$/.test(alert.subject);
  return h(
    "li",
    { "data-id": alert.id, "data-version": version(alert), "data-held": alert.acknowledged !== null, class: alert.status === "active" ? "" : "past" },
    h(
      "a",
      { href: `#/alerts/${encodeURIComponent(alert.id)}` },
      h("span", { class: "level" }, severity(alert.severity)),
      h("span", { class: "rule" }, plain(alert.rule)),
      h("span", { class: "when dim" }, time(alert.block_timestamp)),
      h("span", { class: "what" }, brief(alert.sentence)),
      h(
        "span",
        { class: "whom" },
        chain ? "the chain itself" : h("code", null, short(alert.subject)),
        " ", tags(alert.labels),
        alert.status !== "active" && h("span", { class: "tag" }, plain(alert.status)),
        marks(alert),
      ),
    ),
  );
}
