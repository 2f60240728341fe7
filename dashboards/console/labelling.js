// Saying what a wallet is, and taking that back.

import { ask, problem, Refused } from "./api.js";
import { fill, h, say } from "./dom.js";
import { knows, plain, short } from "./words.js";

const AUTHOR = "chainwarden.author";
let last = null; // what undo takes back

function remembered() {
  try {
    return localStorage.getItem(AUTHOR) ?? "";
  } catch {
    return "";
  }
}

/** Label a wallet at once. Returns whether that was done. */
export async function setLabel({ address, label, alertId = "", note = "", author = remembered() }) {
  const body = { address, label, author, note, from_alert: alertId };
  const done = await ask("/api/v1/labels", { method: "POST", body });
  last = done.new ? { address: done.address, label: done.label, author } : null;
  const text = done.new
    ? `${short(done.address)} is labelled ${plain(done.label)}`
    : `${short(done.address)} was labelled ${plain(done.label)} before`;
  toast(text, Boolean(last));
  document.dispatchEvent(new CustomEvent("labels-changed"));
}

/** Take back what was said last. */
export async function undo() {
  const said = last;
  if (said === null) return;
  last = null;
  try {
    await withdraw(said.address, said.label, said.author, "undone in the console");
  } catch (error) {
    if (error instanceof Refused) failed(error);
    else throw error;
  }
}

/** Take an analyst's label back. */
export async function withdraw(address, label, author = remembered(), note = "") {
  const query = new URLSearchParams({ address, label, author, note });
  await ask(`/api/v1/labels?${query}`, { method: "DELETE" });
  toast(`the label ${plain(label)} of ${short(address)} is taken back`, false);
  document.dispatchEvent(new CustomEvent("labels-changed"));
}

/** The alert was wrong: its suspect is labelled so, from this alert. */
export async function dismiss(alertId) {
  try {
    const { suspect } = await ask(`/api/v1/alerts/${encodeURIComponent(alertId)}/explanation`);
    if (suspect === null) throw new Refused(0, "the alert is about no wallet: there is nothing to label", "");
    await setLabel({ address: suspect, label: "false_positive", alertId, note: "dismissed in the console" });
  } catch (error) {
    if (error instanceof Refused) failed(error);
    else throw error;
  }
}

/** Tell what was done; it stays until the next thing is done or it is closed. */
export function toast(text, undoable) {
  const box = document.getElementById("toast");
  fill(
    box,
    h("span", null, text),
    undoable && h("button", { type: "button", onclick: undo, "aria-keyshortcuts": "u" }, "Undo ", h("kbd", null, "u")),
    h("button", { type: "button", class: "plain", onclick: () => (box.hidden = true) }, "Close"),
  );
  box.hidden = false;
  say(undoable ? `${text}. Press u to undo.` : text);
}

export function failed(error) {
  toast(error.hint ? `${error.message}: ${error.hint}` : error.message, false);
}

/** Ask which label a wallet is to have. */
export function askForLabel({ address, word = "", alertId = "" }) {
  const { bad_labels: bad, good_labels: good, false_positive: wrong } = knows();
  const choices = [...new Set([word, ...bad, ...good, ...wrong.slice(0, 1), "exchange", "bridge", "mixer", "bot"])].filter(Boolean);
  const label = h("input", {
    id: "label-word", value: word, required: true, maxlength: "64", list: "label-words",
    autocomplete: "off", spellcheck: "false", "aria-describedby": "label-hint",
  });
  const note = h("input", { id: "label-note", maxlength: "2000", autocomplete: "off" });
  const author = h("input", { id: "label-author", maxlength: "100", value: remembered(), autocomplete: "off" });
  const errors = h("div");
  const dialog = h(
    "dialog",
    { "aria-labelledby": "label-title" },
    h(
      "form",
      { onsubmit: apply },
      h("h2", { id: "label-title" }, "Label a wallet"),
      h("p", null, h("code", { class: "whole" }, address)),
      h("label", { for: "label-word" }, "Label"),
      label,
      h("datalist", { id: "label-words" }, choices.map((one) => h("option", { value: one }))),
      h("p", { class: "dim", id: "label-hint" },
        "phishing, scam … call it bad; benign trusts it; false_positive only says that the alert was wrong."),
      h("label", { for: "label-note" }, "Why (optional)"),
      note,
      h("label", { for: "label-author" }, "Your name (a token's name goes before it)"),
      author,
      errors,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "main" }, "Label"),
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      ),
    ),
  );

  async function apply(event) {
    event.preventDefault();
    try {
      localStorage.setItem(AUTHOR, author.value.trim());
    } catch {
      // It is asked for again.
    }
    try {
      await setLabel({ address, label: label.value, alertId, note: note.value, author: author.value.trim() });
      dialog.close();
    } catch (error) {
      fill(errors, problem(error));
    }
  }

  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  label.select();
}
