// The filters of the list. Their home is the address of the page, not this form.

import { h } from "./dom.js";
import { knows } from "./words.js";

/** The names that the list's address and the API share. */
export const FILTERS = ["rule", "severity", "status", "acknowledged", "subject", "label", "since", "until"];

export function filterForm(parameters) {
  const { rules, severities } = knows();
  const rule = parameters.get("rule");
  const choices = {
    rule: [["", "any"], ...[...new Set(rule ? [...rules, rule] : rules)].sort().map((one) => [one, one])],
    severity: [["", "any"], ...severities.map((one) => [one, one === "critical" ? one : `${one} or above`])],
    status: [["", "active"], ["retracted", "retracted"], ["all", "all"]],
    acknowledged: [["", "any"], ["no", "nobody"], ["yes", "somebody"]],
  };
  const fields = [
    select("rule", "Rule", choices.rule, parameters),
    select("severity", "Severity", choices.severity, parameters),
    select("status", "Status", choices.status, parameters),
    select("acknowledged", "In hand", choices.acknowledged, parameters),
    input("subject", "Wallet", { type: "text", placeholder: "0x…", spellcheck: "false", autocomplete: "off", size: "14" }, parameters),
    input("label", "Label", { type: "text", placeholder: "phishing", spellcheck: "false", autocomplete: "off", size: "12" }, parameters),
    input("since", "Since (UTC)", { type: "datetime-local" }, parameters),
    input("until", "Until (UTC)", { type: "datetime-local" }, parameters),
  ];
  const form = h(
    "form",
    { class: "filters", role: "search", "aria-label": "Filter alerts", onsubmit: apply, onchange: apply },
    fields,
  );

  function apply(event) {
    event.preventDefault();
    const wanted = new URLSearchParams();
    for (const name of FILTERS) {
      const value = form.elements[name].value.trim();
      if (value) wanted.set(name, value);
    }
    location.hash = wanted.size ? `#/alerts?${wanted}` : "#/alerts";
  }

  return form;
}

function select(name, label, choices, parameters) {
  const chosen = parameters.get(name) ?? "";
  return field(
    name, label,
    h("select", { id: `filter-${name}`, name }, choices.map(([value, text]) => h("option", { value, selected: value === chosen }, text))),
  );
}

function input(name, label, attributes, parameters) {
  return field(name, label, h("input", { id: `filter-${name}`, name, value: parameters.get(name) ?? "", ...attributes }));
}

function field(name, label, control) {
  return h("div", { class: "field" }, h("label", { for: `filter-${name}` }, label), control);
}
