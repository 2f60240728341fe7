// A wallet's transfers, newest first, where the server tells them.

import { ask, problem, Refused } from "./api.js";
import { fill, h, say } from "./dom.js";
import { answers, count, decimal, exactAmount, outside, plain, tags, time, wallet } from "./words.js";

const PAGE = 25;

/** Fills a section; false where this server has no such answer. */
export async function flowsSection(where, address, signal) {
  if (!answers("/api/v1/wallets/{address}/flows")) return false;
  const rows = h("tbody");
  const more = h("button", { type: "button", onclick: load }, "Older transfers");
  const errors = h("div");
  const found = h("p", { class: "dim" });
  let next = `/api/v1/wallets/${address}/flows?limit=${PAGE}`;

  async function load() {
    try {
      const answer = await ask(next, { signal });
      const before = rows.children.length;
      rows.append(...answer.flows.map(row));
      next = answer.next;
      more.hidden = next === null;
      // The lake is looked through for a few seconds at a time; a wallet may have been silent long.
      found.textContent = next !== null && answer.flows.length < PAGE ? `Looked through down to block ${count(answer.searched_to)}.` : "";
      if (before) say(`${rows.children.length - before} older transfers`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fill(errors, problem(error));
    }
  }

  await load();
  fill(
    where,
    where.querySelector("h2"),
    rows.children.length || next !== null
      ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of transfers" },
        h("table", null,
          h("thead", null, h("tr", null, ["Time (UTC)", "", "With", "Amount", "Score", "Transaction"].map((one) =>
            one ? h("th", { scope: "col" }, one) : h("th", { scope: "col" }, h("span", { class: "unseen" }, "Direction"))))),
          rows))
      : h("p", { class: "dim" }, "The lake has none."),
    found, errors,
    h("p", { class: "actions" }, more),
  );
  return true;
}

const WAYS = { in: "from", out: "to", self: "itself" };

function row(flow) {
  const hash = flow.transaction;
  const item = flow.token_id === null ? "" : ` #${plain(flow.token_id)}`;
  return h(
    "tr",
    null,
    h("td", { class: "nowrap" }, time(flow.block_timestamp)),
    h("td", null, WAYS[flow.direction] ?? ""),
    h("td", null, wallet(flow.counterparty), " ", flow.counterparty_label && tags([flow.counterparty_label])),
    h("td", null, exactAmount(flow), item),
    h("td", { class: "n" }, decimal(flow.score)),
    h("td", { class: "nowrap" }, hash ? [h("code", { title: hash }, `${plain(hash).slice(0, 12)}…`), " ", outside("tx", hash)] : plain(flow.kind)),
  );
}
