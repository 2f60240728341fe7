// How the console writes amounts, times, addresses and whatever an attacker may have written.

import { h } from "./dom.js";

const MOST = 2000;
// Controls, what is invisible or turns a line around, lone surrogates, private and unassigned.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
const ADDRESS = /0x[0-9a-fA-F]{40}(?![0-9a-fA-F])/g;

let known = null;

/** What the server says of tokens, label words and rules; once, at the start. */
export function learn(answer) {
  known = answer;
}

export function knows() {
  return known;
}

/** Whether this server answers there; paths are as the API's documentation writes them. */
export function answers(path) {
  return known.paths.includes(path);
}

/** One line of printable text; what would not be seen is shown as a replacement character. */
export function plain(text) {
  const cut = String(text ?? "");
  const line = cut.slice(0, MOST).replace(/[\r\n\t]/g, " ").replace(UNSEEN, "\ufffd");
  return cut.length > MOST ? line + "…" : line;
}

export function short(address) {
  return `${address.slice(0, 10)}…${address.slice(-8)}`;
}

/** Block time, to the second, in UTC. */
export function moment(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "–";
  return date.toISOString().replace("T", " ").slice(0, 19);
}

export function time(seconds) {
  const text = moment(seconds);
  if (text === "–") return text;
  return h("time", { datetime: text.replace(" ", "T") + "Z", title: "UTC" }, text);
}

/** From when to when, to the minute, with no more said than needed. */
export function span(first, last) {
  const from = moment(first).slice(0, 16);
  const to = moment(last).slice(0, 16);
  if (from === to) return from;
  return from.slice(0, 10) === to.slice(0, 10) ? `${from}–${to.slice(11)}` : `${from.slice(0, 10)} – ${to.slice(0, 10)}`;
}

export function count(number) {
  return typeof number === "number" ? number.toLocaleString("en") : "–";
}

/** A measure to four significant digits. */
export function decimal(number) {
  if (number === null || number === undefined) return "–";
  if (typeof number !== "number") return plain(number);
  const size = Math.abs(number);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return number.toExponential(3);
  if (size >= 10000) return Math.round(number).toLocaleString("en");
  return Number(number.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 8 });
}

function tokenOf(amount) {
  return amount.token === null ? known.coin : known.tokens[amount.token];
}

/** The exact amount: no digit is lost, as they are text from the ledger to here. */
export function exactAmount(amount) {
  const token = tokenOf(amount);
  if (!token) return `${amount.amount} units of ${amount.token}`;
  const digits = amount.amount.padStart(token.decimals + 1, "0");
  const whole = digits.slice(0, digits.length - token.decimals);
  const rest = digits.slice(digits.length - token.decimals).replace(/0+$/, "");
  return `${BigInt(whole).toLocaleString("en")}${rest ? "." + rest : ""} ${token.symbol}`;
}

/** The amount to four significant digits, for where there is little room. */
export function briefAmount(amount) {
  const token = tokenOf(amount);
  const size = Number(amount.amount);
  if (!token) return `${compact(size)} of ${amount.token.slice(0, 6)}…`;
  return `${decimal(size / 10 ** token.decimals)} ${token.symbol}`;
}

function compact(size) {
  return size < 1e15 ? decimal(size) : size.toExponential(2);
}

/** A wallet as a link to its page. */
export function wallet(address, whole = false) {
  return h(
    "a",
    { class: "address", href: `#/wallets/${address}`, title: address },
    h("code", { class: whole ? "whole" : null }, whole ? address : short(address)),
  );
}

/** A sentence whose addresses lead to wallets. */
export function linked(text) {
  const line = plain(text);
  const parts = [];
  let at = 0;
  for (const found of line.matchAll(ADDRESS)) {
    parts.push(line.slice(at, found.index), wallet(found[0].toLowerCase()));
    at = found.index + found[0].length;
  }
  return [...parts, line.slice(at)];
}

/** A sentence with its addresses cut to their ends. */
export function brief(text) {
  return plain(text).replace(ADDRESS, short);
}

/** To the block explorer, where there is one; kind is tx, address or block. */
export function outside(kind, id, text) {
  if (!known.explorer.startsWith("https://")) return null;
  return h(
    "a",
    { href: `${known.explorer}/${kind}/${encodeURIComponent(id)}`, target: "_blank", rel: "noopener noreferrer" },
    text ?? "explorer",
    h("span", { "aria-hidden": "true" }, "\u00a0↗"),
    h("span", { class: "unseen" }, " (opens another site)"),
  );
}

export function severity(level) {
  return h("span", { class: `badge ${plain(level)}` }, plain(level));
}

export function tags(words) {
  return words.map((word) => h("span", { class: known.bad_labels?.includes(word) ? "tag bad" : "tag" }, plain(word)));
}
