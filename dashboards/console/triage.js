// Who has an alert in hand, and of which alerts nobody is told for a while.

import { ask, hasToken } from "./api.js";
import { authorField, formDialog } from "./dialog.js";
import { attempt, done, remembered } from "./done.js";
import { h } from "./dom.js";
import { moment, plain, short } from "./words.js";

const HOUR = 3600;
const SPANS = [["1 hour", HOUR], ["8 hours", 8 * HOUR], ["24 hours", 24 * HOUR], ["7 days", 168 * HOUR]];
const PAGE = 1000; // the server lets no more hold at once

/** What a list says of an alert's triage, as tags. */
export function marks(alert) {
  return [
    alert.acknowledged !== null && h("span", { class: "tag" }, `in hand: ${holder(alert)}`),
    alert.suppressed_until !== null && h("span", { class: "tag" }, `suppressed until ${end(alert.suppressed_until)}`),
  ];
}

/** Who has an alert in hand, since when and why, as text. */
export function inHand(alert) {
  if (alert.acknowledged === null) return "nobody";
  const { at, note } = alert.acknowledged;
  return `${holder(alert)}, since ${moment(at)} UTC${note ? `: ${plain(note)}` : ""}`;
}

/** Take an alert in hand, or give it back where the screen says that somebody has it. */
export function takeOrGiveBack(id, held) {
  if (held) return attempt(() => giveBack(id));
  if (remembered() || hasToken()) return attempt(() => take(id));
  return askForName(id);
}

// The screen may be old, and the server lets anyone take over: nobody does so unawares.
async function take(id) {
  const alert = await ask(`/api/v1/alerts/${encodeURIComponent(id)}`);
  if (alert.acknowledged !== null) {
    done(`${holder(alert)} has it in hand already`);
    return;
  }
  const taken = await acknowledge(id, { author: remembered() });
  done(`${holder(taken)} has ${plain(taken.rule)} in hand`, () => giveBack(id, false));
}

async function giveBack(id, undoable = true) {
  const { acknowledged } = await ask(`/api/v1/alerts/${encodeURIComponent(id)}`);
  const query = new URLSearchParams({ author: remembered() });
  const given = await ask(`${acknowledgement(id)}?${query}`, { method: "DELETE" });
  const again = acknowledged && (async () => {
    const taken = await acknowledge(id, { author: acknowledged.by, note: acknowledged.note });
    done(`${holder(taken)} has ${plain(taken.rule)} in hand again`);
  });
  done(`nobody has ${plain(given.rule)} in hand now`, undoable ? again : null);
}

function acknowledge(id, body) {
  return ask(acknowledgement(id), { method: "POST", body });
}

function acknowledgement(id) {
  return `/api/v1/alerts/${encodeURIComponent(id)}/acknowledgement`;
}

function holder(alert) {
  return plain(alert.acknowledged.by) || "somebody";
}

function askForName(id) {
  const author = authorField();
  author.field.required = true;
  author.field.pattern = ".*\\S.*";
  formDialog({
    title: "Take in hand",
    content: [h("p", null, "Others see by your name who works on it. It is asked for once."), author.parts],
    act: "Take in hand",
    apply: async () => {
      author.keep();
      await take(id);
    },
  });
  author.field.focus();
}

/** Ask of which alerts nobody is to be told, and for how long; subject is null where it is of no wallet. */
export function askToSuppress({ rule, subject }) {
  const scopes = [
    subject !== null && { rule, subject },
    subject !== null && { subject },
    { rule },
  ].filter(Boolean);
  const scope = h("select", { id: "suppress-scope" }, scopes.map((one, at) => h("option", { value: at }, covers(one))));
  const span = h("select", { id: "suppress-span" }, SPANS.map(([text, seconds]) => h("option", { value: seconds }, text)));
  const note = h("input", { id: "suppress-note", maxlength: "2000", autocomplete: "off" });
  const author = authorField();
  formDialog({
    title: "Suppress alerts",
    content: [
      h("p", { class: "dim" }, "They are raised and kept as ever, and listed here; no receiver is told of them."),
      h("label", { for: "suppress-scope" }, "Which"), scope,
      h("label", { for: "suppress-span" }, "For"), span,
      h("label", { for: "suppress-note" }, "Why (optional)"), note,
      author.parts,
    ],
    act: "Suppress",
    apply: () => {
      const until = Math.floor(Date.now() / 1000) + Number(span.value);
      return suppress({ ...scopes[scope.value], until, note: note.value, author: author.keep() });
    },
  });
  scope.focus();
}

async function suppress(body) {
  const made = await ask("/api/v1/suppressions", { method: "POST", body });
  done(`${covers(made)}: suppressed until ${end(made.until)} UTC`, () => endSuppression(made));
}

async function endSuppression({ id }) {
  const query = new URLSearchParams({ author: remembered() });
  const ended = await ask(`/api/v1/suppressions/${id}?${query}`, { method: "DELETE" });
  done(`${covers(ended)}: suppressed no longer`);
}

/** What suppresses an alert, each with the button that ends it; nothing where nothing does. */
export async function suppressedBy(alert, signal) {
  if (alert.suppressed_until === null) return [];
  const { suppressions } = await ask(`/api/v1/suppressions?limit=${PAGE}`, { signal });
  return suppressions
    .filter((one) => (one.rule ?? alert.rule) === alert.rule && (one.subject ?? alert.subject) === alert.subject)
    .map((one) => h(
      "p",
      { class: "note" },
      `${covers(one)}: suppressed until ${end(one.until)} UTC`,
      one.by && `, by ${plain(one.by)}`, one.note && `: ${plain(one.note)}`, " ",
      h("button", { type: "button", class: "plain", id: `end-${one.id}`, onclick: () => attempt(() => endSuppression(one)) },
        "End", h("span", { class: "unseen" }, ` the suppression of ${covers(one)}`)),
    ));
}

function covers({ rule, subject }) {
  if (!subject) return `all ${plain(rule)} alerts`;
  return `${rule ? plain(rule) : "all"} alerts about ${short(subject)}`;
}

function end(until) {
  return moment(until).slice(0, 16);
}
