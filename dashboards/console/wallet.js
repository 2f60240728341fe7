// One wallet: its labels, its alerts, its money, and who said what of it.

import { ask, problem } from "./api.js";
import { attempt } from "./done.js";
import { fill, h, dropUnloaded, loading, retold } from "./dom.js";
import { flowsSection } from "./flows.js";
import { moneyGraph } from "./graph.js";
import { askForLabel, withdraw } from "./labelling.js";
import { fact, historyFacts, labelled } from "./subject.js";
import { marks } from "./triage.js";
import { brief, count, decimal, moment, outside, plain, severity, tags, time } from "./words.js";

const ALERTS = 50;

/** Draws a wallet's page; the signal ends it. */
export function walletPage(main, address, signal) {
  const errors = h("div");
  const title = h("h1", { tabindex: "-1" }, "Wallet ", h("code", { class: "whole" }, plain(address)));
  const head = h("header", { class: "head" }, title);
  const graph = section("money", "Money flows");
  const labels = section("labels", "Labels");
  const alerts = section("alerts", "Alerts");
  const flows = section("flows", "Transfers");
  const history = section("said", "Who said what");
  const features = h("details", { class: "card", hidden: true }, h("summary", null, "Features"));
  fill(main, head, errors, graph, h("div", { class: "columns" }, alerts, labels, history), flows, features);
  flows.hidden = true;
  let known = null;

  async function load(first) {
    try {
      known = await ask(`/api/v1/wallets/${encodeURIComponent(address)}?limit=${ALERTS}`, { signal });
      retold(head, title, heading(known, label));
      content(labels, labelList(known));
      content(alerts, alertList(known));
      const said = await ask(`/api/v1/labels/history?address=${known.address}&limit=100`, { signal });
      content(history, changes(said.changes));
      if (!first) return;
      features.hidden = !known.features;
      if (known.features) features.append(...featureTable(known.features));
      // Neither waits for the other: without the picture there are still the transfers.
      const came = await Promise.allSettled([drawGraph(), listFlows()]);
      for (const one of came) if (one.status === "rejected") throw one.reason;
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return;
      fill(errors, problem(error));
      dropUnloaded(main);
    }
  }

  async function drawGraph() {
    const money = await ask(`/api/v1/wallets/${known.address}/graph`, { signal });
    content(graph, moneyGraph(money, signal, {}));
  }

  async function listFlows() {
    flows.hidden = !(await flowsSection(flows, known.address, signal));
  }

  function label() {
    if (known) askForLabel({ address: known.address });
  }

  document.addEventListener("analyst-said", () => load(false), { signal });
  load(true);
  return { label };
}

function section(id, title) {
  return h("section", { class: "card", "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title), loading());
}

function content(where, ...parts) {
  fill(where, where.querySelector("h2"), ...parts);
}

function heading(known, label) {
  return [
    h("p", null, tags([...new Set(known.labels.map((one) => one.label))])),
    h(
      "dl",
      { class: "facts" },
      known.verdict !== undefined && fact("Verdict", `${plain(known.verdict)}, by its labels`),
      fact("Score", score(known.score)),
      fact("Risk", score(known.risk)),
      known.history !== undefined && historyFacts(known.history),
    ),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", class: "main", onclick: label, "aria-keyshortcuts": "l" }, "Label wallet ", h("kbd", null, "l")),
      h("a", { class: "button", href: `#/alerts?subject=${known.address}&status=all` }, "Its alerts as a list"),
      outside("address", known.address, "Block explorer"),
    ),
  ];
}

function score(found) {
  if (!found) return h("span", { class: "dim" }, "none yet: the model is warming up, or never saw it");
  return [`${decimal(found.value)} `, h("span", { class: "dim" }, `of 1, as scored in block ${count(found.block_number)}`)];
}

function featureTable({ block_number: block, values }) {
  return [
    h("p", { class: "dim" }, `As they were read with its newest flow, in block ${count(block)}.`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Features" },
      h("table", null, h("tbody", null, values.map((one) => h("tr", null,
        h("th", { scope: "row" }, plain(one.feature)),
        h("td", { class: "n" }, decimal(one.value)),
        h("td", { class: "dim" }, plain(one.meaning))))))),
  ];
}

function labelList({ address, labels }) {
  if (!labels.length) return h("p", { class: "dim" }, "None.");
  return h("ul", { class: "bare" }, labels.map((one) => {
    const item = labelled(one);
    if (one.source === "analyst") {
      item.append(" ", h("button", { type: "button", class: "plain", onclick: () => attempt(() => withdraw(address, one.label)) },
        "Take back", h("span", { class: "unseen" }, ` the label ${plain(one.label)}`)));
    }
    return item;
  }));
}

function alertList({ alerts, next, address }) {
  if (!alerts.length) return h("p", { class: "dim" }, "None is about it.");
  return [
    h("ol", { class: "bare related" }, alerts.map((one) => h(
      "li",
      null,
      severity(one.severity), " ",
      h("a", { href: `#/alerts/${encodeURIComponent(one.id)}` }, plain(one.rule)), " ",
      h("span", { class: "dim" }, time(one.block_timestamp), one.status === "active" ? "" : ` ${plain(one.status)}`),
      h("div", { class: "says" }, brief(one.sentence)),
      marks(one),
    ))),
    next !== null && h("p", null, h("a", { href: `#/alerts?subject=${address}&status=all` }, "All of them")),
  ];
}

function changes(list) {
  if (!list.length) return h("p", { class: "dim" }, "Nobody said anything of it.");
  return h("ul", { class: "bare" }, [...list].reverse().map((one) => h(
    "li",
    null,
    h("span", { class: "dim" }, when(one.said_at)), " ",
    plain(one.by) || "somebody", ` ${one.act === "withdrawn" ? "took back" : "said"} `, tags([one.label]),
    one.in_force_from !== null && h("span", { class: "dim" }, ` from block ${count(one.in_force_from)}`),
    (one.why || one.note) && h("div", { class: "says dim" }, plain(one.why || one.note)),
  )));
}

function when(at) {
  return typeof at === "number" ? moment(at) : plain(at);
}
