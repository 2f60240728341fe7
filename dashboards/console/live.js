// Rings when there may be something new: the server's stream where it has one, else every 5 s.
// A ring only says "ask again", so that no alert is shown that a filter would have kept out.

import { Refused, send } from "./api.js";
import { answers } from "./words.js";

const STREAM = "/api/v1/alerts/stream";
const POLL = 5000;
const RETRY = 3000;
const LONGEST = 60000;
const MOST = 1 << 22; // characters of one event

/** Calls ring() until the signal is aborted. */
export async function watch(ring, signal) {
  if (!answers(STREAM)) return poll(ring, signal);
  let wait = RETRY;
  while (!signal.aborted) {
    // A browser has few connections to one server: a page that nobody sees holds none of them.
    if (document.visibilityState === "hidden") await shown(signal);
    if (signal.aborted) return;
    const seen = new AbortController();
    const hide = () => document.visibilityState === "hidden" && seen.abort();
    document.addEventListener("visibilitychange", hide, { signal: seen.signal });
    try {
      await listen(() => {
        wait = RETRY;
        ring();
      }, AbortSignal.any([signal, seen.signal]));
    } catch (error) {
      if (signal.aborted) return;
      if (seen.signal.aborted) continue;
      if (!(error instanceof Refused)) throw error;
      wait = Math.min(LONGEST, wait * 2);
    } finally {
      seen.abort();
    }
    await pause(wait, signal);
    if (!signal.aborted) ring();
  }
}

async function listen(ring, signal) {
  const answer = await send(STREAM, { signal, headers: { Accept: "text/event-stream" } });
  ring(); // what came since the list was asked for
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (signal.aborted) throw error;
      return; // cut off: asked again
    }
    if (part.done) return;
    const events = (rest + part.value.replaceAll("\r", "")).split("\n\n");
    rest = events.pop();
    if (rest.length > MOST) throw new Refused(0, "the stream of alerts is none", "");
    // A comment only keeps the connection open.
    if (events.some((event) => event.split("\n").some((line) => line.startsWith("data:")))) ring();
  }
}

function shown(signal) {
  return new Promise((done) => {
    const look = () => {
      if (document.visibilityState === "hidden" && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
  });
}

async function poll(ring, signal) {
  while (!signal.aborted) {
    await pause(POLL, signal);
    if (!signal.aborted && document.visibilityState === "visible") ring();
  }
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    }, { once: true });
  });
}
