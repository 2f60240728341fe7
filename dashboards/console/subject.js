// What is known of a wallet: what it is called, since when it is there, with whom it dealt.

import { h } from "./dom.js";
import { briefAmount, count, exactAmount, moment, plain, tags, wallet } from "./words.js";

/** The subject of an explanation as elements. */
export function subjectFacts(subject) {
  const { history } = subject;
  return [
    h(
      "dl",
      { class: "facts" },
      fact("Then", [`${plain(subject.verdict_then)}, by what was known`]),
      fact("Listed as", subject.labels.length ? h("ul", { class: "bare" }, subject.labels.map(labelled)) : "nothing"),
      historyFacts(history, subject.history_error),
    ),
  ];
}

/** What the lake has of a wallet, as facts. */
export function historyFacts(history, trouble = "") {
  if (history === null) return fact("History", plain(trouble) || "nothing in the lake moved anything from or to it");
  const since = history.whole ? "" : ` (looked at from block ${count(history.since_block)} on)`;
  return [
    fact("Since", `block ${count(history.first_block)}, ${moment(history.first_time)} UTC${since}`),
    fact("Flows", `${count(history.flows)} with ${count(history.counterparties)} counterparties`),
    fact("Received", sums(history.received)),
    fact("Sent", sums(history.sent)),
    fact("With", h("ul", { class: "bare" }, history.partners.map(partner))),
  ];
}

/** A label with who said it and since when. */
export function labelled(label) {
  const who = label.author || label.source;
  const since = label.valid_from > 0 ? ` from ${moment(label.valid_from).slice(0, 10)}` : "";
  const until = label.valid_to === null ? "" : ` until ${moment(label.valid_to).slice(0, 10)}`;
  return h("li", null, tags([label.label]), " ", h("span", { class: "dim" }, plain(`${who}${since}${until}`)),
    label.note && h("div", { class: "says dim" }, plain(label.note)));
}

function partner(one) {
  const ways = [["←", one.to_subject], ["→", one.from_subject]].filter(([, side]) => side?.amounts.length);
  return h("li", null, wallet(one.address), " ", tags(one.labels), " ",
    ways.map(([arrow, side]) => `${arrow} ${briefAmount(side.amounts[0])} `));
}

function sums(amounts) {
  return amounts.length ? amounts.map(exactAmount).join(", ") : "nothing of known value";
}

export function fact(name, value) {
  return h("div", null, h("dt", null, name), h("dd", null, value));
}
