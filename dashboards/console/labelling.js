// Saying what a wallet is, and taking that back.

import { ask, Refused } from "./api.js";
import { authorField, formDialog } from "./dialog.js";
import { attempt, done, remembered } from "./done.js";
import { h } from "./dom.js";
import { knows, plain, short } from "./words.js";

/** Label a wallet at once. */
export async function setLabel({ address, label, alertId = "", note = "", author = remembered() }) {
  const body = { address, label, author, note, from_alert: alertId };
  const said = await ask("/api/v1/labels", { method: "POST", body });
  if (said.new) {
    done(`${short(said.address)} is labelled ${plain(said.label)}`,
      () => withdraw(said.address, said.label, author, "undone in the console"));
  } else {
    done(`${short(said.address)} was labelled ${plain(said.label)} before`);
  }
}

/** Take an analyst's label back. */
export async function withdraw(address, label, author = remembered(), note = "") {
  const query = new URLSearchParams({ address, label, author, note });
  await ask(`/api/v1/labels?${query}`, { method: "DELETE" });
  done(`the label ${plain(label)} of ${short(address)} is taken back`);
}

/** The alert was wrong: its suspect is labelled so, from this alert. */
export function dismiss(alertId) {
  return attempt(async () => {
    const { suspect } = await ask(`/api/v1/alerts/${encodeURIComponent(alertId)}/explanation`);
    if (suspect === null) throw new Refused(0, "the alert is about no wallet: there is nothing to label", "");
    await setLabel({ address: suspect, label: "false_positive", alertId, note: "dismissed in the console" });
  });
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
  const author = authorField();
  formDialog({
    title: "Label a wallet",
    content: [
      h("p", null, h("code", { class: "whole" }, address)),
      h("label", { for: "label-word" }, "Label"),
      label,
      h("datalist", { id: "label-words" }, choices.map((one) => h("option", { value: one }))),
      h("p", { class: "dim", id: "label-hint" },
        "phishing, scam … call it bad; benign trusts it; false_positive only says that the alert was wrong."),
      h("label", { for: "label-note" }, "Why (optional)"),
      note,
      author.parts,
    ],
    act: "Label",
    apply: () => setLabel({ address, label: label.value, alertId, note: note.value, author: author.keep() }),
  });
  label.select();
}
