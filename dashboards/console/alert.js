// One alert: what it says, why, what shows it, where the money went, and what to do about it.

import { ask, problem } from "./api.js";
import { order } from "./alerts.js";
import { fill, h, dropUnloaded, loading, retold } from "./dom.js";
import { moneyGraph } from "./graph.js";
import { askForLabel, dismiss } from "./labelling.js";
import { fact, subjectFacts } from "./subject.js";
import { askToSuppress, inHand, suppressedBy, takeOrGiveBack } from "./triage.js";
import { brief, count, decimal, exactAmount, linked, outside, plain, severity, tags, time, wallet } from "./words.js";

/** Draws an alert's page; the signal ends it. */
export function alertPage(main, id, signal) {
  const errors = h("div");
  // The heading stays one element: it has the focus when the page is opened by a key.
  const title = h("h1", { tabindex: "-1" }, "Alert");
  const head = h("header", { class: "head" }, title, loading());
  const body = h("div", { class: "columns" });
  const graph = h("section", { class: "card", "aria-labelledby": "money-title" },
    h("h2", { id: "money-title" }, "Money flows"), loading());
  let explained = null;
  let asked = 0;
  let drawn = 0;
  fill(main, head, errors, graph, body);

  async function load(first) {
    const turn = ++asked;
    try {
      const found = await ask(`/api/v1/alerts/${encodeURIComponent(id)}/explanation`, { signal });
      const quiet = await suppressedBy(found.alert, signal);
      if (turn > drawn) draw(turn, found, quiet);
      if (!first) return;
      document.title = `${plain(explained.alert.rule)} – chainwarden`;
      const money = await ask(`/api/v1/alerts/${encodeURIComponent(explained.alert.id)}/graph`, { signal });
      fill(graph, graph.querySelector("h2"), moneyGraph(money, signal, { alertId: explained.alert.id }));
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return;
      fill(errors, problem(error));
      dropUnloaded(main);
      if (explained === null) retold(head, title, [h("p", null, h("code", null, plain(id)))]);
    }
  }

  // What was asked for later may come earlier.
  function draw(turn, found, quiet) {
    drawn = turn;
    explained = found;
    fill(title, severity(found.alert.severity), " ", plain(found.alert.rule));
    retold(head, title, heading(found, quiet, { label, dismiss: dismissed, hand, suppress }));
    fill(body, ...sections(found));
  }

  function label() {
    if (explained?.suspect) askForLabel({ address: explained.suspect, word: explained.bad_label, alertId: explained.alert.id });
  }

  function dismissed() {
    if (explained) dismiss(explained.alert.id);
  }

  function hand() {
    if (explained) takeOrGiveBack(explained.alert.id, explained.alert.acknowledged !== null);
  }

  function suppress() {
    if (explained) askToSuppress({ rule: explained.alert.rule, subject: explained.subject?.address ?? null });
  }

  document.addEventListener("analyst-said", () => load(false), { signal });
  load(true);
  return {
    label,
    dismiss: dismissed,
    hand,
    suppress,
    wallet: () => { if (explained?.subject) location.hash = `#/wallets/${explained.subject.address}`; },
    step(by) {
      const at = order.indexOf(explained?.alert.id);
      const to = order[at + by];
      if (at >= 0 && to !== undefined) location.hash = `#/alerts/${to}`;
    },
  };
}

function heading({ alert, suspect, subject }, quiet, acts) {
  const retracted = alert.status !== "active" && `taken back${alert.retraction_reason ? `: ${plain(alert.retraction_reason)}` : ""}`;
  return [
    retracted && h("p", { class: "note" }, retracted),
    quiet,
    h("p", { class: "sentence" }, linked(alert.sentence)),
    h(
      "dl",
      { class: "facts" },
      fact("Subject", subject === null ? "the chain itself" : [wallet(subject.address, true), " ", tags(alert.labels)]),
      fact("Role", plain(alert.role)),
      fact("Score", decimal(alert.score)),
      fact("Time", [time(alert.block_timestamp), " UTC"]),
      fact("Block", [String(alert.block_number), " ", outside("block", alert.block_number)]),
      fact("Transaction", alert.transaction_hash ? [h("code", { class: "whole" }, alert.transaction_hash), " ", outside("tx", alert.transaction_hash)] : "none"),
      fact("Alert", h("code", { class: "whole" }, plain(alert.id))),
      fact("In hand", inHand(alert)),
    ),
    h(
      "div",
      { class: "actions" },
      suspect !== null && [button("l", "Label wallet", acts.label, "main"), button("d", "Dismiss", acts.dismiss)],
      button("h", alert.acknowledged === null ? "Take in hand" : "Give back", acts.hand),
      button("s", "Suppress …", acts.suppress),
      suspect !== null && subject !== null && outside("address", subject.address, "Block explorer"),
    ),
  ];
}

function button(key, text, act, look) {
  return h("button", { type: "button", class: look, id: `act-${key}`, onclick: act, "aria-keyshortcuts": key },
    `${text} `, h("kbd", null, key));
}

function sections({ alert, about, related, subject }) {
  return [
    card("reasons", "Why", reasons(alert.reasons)),
    card("evidence", "Evidence", evidence(alert.evidence)),
    about !== null && card("about", "Before you decide",
      h("p", null, about.what),
      h("h3", null, "It may also be"),
      h("ul", null, about.innocent.map((one) => h("li", null, one))),
      h("h3", null, "To do"),
      h("p", null, about.check)),
    subject !== null && card("subject", "The wallet", subjectFacts(subject)),
    card("related", "Related alerts", relatedList(related)),
  ];
}

function card(id, title, ...content) {
  return h("section", { class: "card", "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), content);
}

function reasons(list) {
  if (!list.length) return h("p", { class: "dim" }, "The rule gives none.");
  const sorted = [...list].sort((a, b) => Math.abs(b.contribution ?? 0) - Math.abs(a.contribution ?? 0));
  const most = Math.abs(sorted[0].contribution ?? 0) || 1;
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Reasons" },
    h(
      "table",
      null,
      h("thead", null, h("tr", null, ["Feature", "Value", "Threshold", "Share of the score"].map((one, at) => h("th", { scope: "col", class: at ? "n" : "" }, one)))),
      h("tbody", null, sorted.map((reason) => h(
        "tr",
        null,
        h("th", { scope: "row" }, plain(reason.feature)),
        h("td", { class: "n" }, decimal(reason.value)),
        h("td", { class: "n" }, decimal(reason.threshold)),
        h("td", { class: "n" }, bar(reason.contribution, most), decimal(reason.contribution)),
      ))),
    ),
  );
}

function bar(share, most) {
  const inside = h("span");
  inside.style.width = `${Math.min(100, (100 * Math.abs(share ?? 0)) / most)}%`;
  return h("span", { class: share < 0 ? "meter down" : "meter", "aria-hidden": "true" }, inside);
}

function evidence({ transactions, addresses, amounts, path }) {
  return [
    amounts.length > 0 && [h("h3", null, "Amounts"), h("ul", { class: "bare" }, amounts.map((one) => h("li", null, exactAmount(one))))],
    transactions.length > 0 && [h("h3", null, "Transactions"),
      h("ul", { class: "bare" }, transactions.map((one) => h("li", null, h("code", { class: "whole" }, one), " ", outside("tx", one))))],
    addresses.length > 0 && [h("h3", null, "Wallets"),
      h("ul", { class: "bare" }, addresses.map((one) => h("li", null, wallet(one, true))))],
    path.length > 0 && [h("h3", null, "Path of the funds"),
      h("ol", null, path.map((hop) => h("li", null, wallet(hop.from), " → ", wallet(hop.to), " ", exactAmount(hop),
        hop.transaction && [" ", outside("tx", hop.transaction, "transaction")])))],
  ];
}

function relatedList(related) {
  if (!related.length) return h("p", { class: "dim" }, "None about this wallet or these transactions.");
  return h("ul", { class: "bare related" }, related.map((one) => h(
    "li",
    null,
    severity(one.severity), " ",
    h("a", { href: `#/alerts/${encodeURIComponent(one.id)}` }, plain(one.rule)), " ",
    h("span", { class: "dim" }, `block ${count(one.block_number)}, ${one.same_subject ? "same wallet" : "same transaction"}${one.status === "active" ? "" : `, ${plain(one.status)}`}`),
    h("div", { class: "says" }, brief(one.sentence)),
  )));
}
