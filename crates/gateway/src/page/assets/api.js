// The gateway's HTTP interface: answers, problems, and streams that come back where they broke.

/** What the gateway says when it refuses. */
export class Problem extends Error {
  constructor({ status, code, detail, next }) {
    super(detail);
    Object.assign(this, { status, code, detail, next });
  }
}

const TOKEN = "session-journal-token";
/** A stream that says nothing for so long is taken for dead. */
const SILENCE_MS = 60_000;
const PAUSES_MS = [200, 500, 1000, 2000, 5000];

let askForToken = async () => false;
let asking = null;

/** `ask` gets whether a token was refused, and gives one; none where nobody wants to. */
export function onMissingToken(ask) {
  askForToken = async (refused) => {
    const token = await ask(refused);
    if (token !== null) sessionStorage.setItem(TOKEN, token);
    return token !== null;
  };
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;
export const forgetToken = () => sessionStorage.removeItem(TOKEN);

const headersOf = (extra) => {
  const token = sessionStorage.getItem(TOKEN);
  return token === null ? extra : { ...extra, authorization: `Bearer ${token}` };
};

const query = (given) => {
  const pairs = Object.entries(given).filter(([, value]) => value !== null && value !== undefined);
  return pairs.length > 0 ? `?${new URLSearchParams(pairs)}` : "";
};

/** The path of a session. */
export const pathOf = (session) => `/v1/sessions/${encodeURIComponent(session)}`;

async function send(target, headers, signal) {
  for (;;) {
    const used = sessionStorage.getItem(TOKEN);
    const response = await fetch(target, { headers: headersOf(headers), signal, cache: "no-store" });
    if (response.status !== 401) return response;
    await response.body?.cancel();
    // Another request may have got one meanwhile.
    if (sessionStorage.getItem(TOKEN) !== used) continue;
    asking ??= askForToken(used !== null).finally(() => { asking = null; });
    if (!await asking) {
      throw new Problem({
        status: 401, code: "unauthorized", detail: "This gateway asks for a token.", next: "Enter one.",
      });
    }
  }
}

async function problemOf(response) {
  try {
    return new Problem(await response.json());
  } catch {
    return new Problem({ status: response.status, code: "unknown", detail: "The answer is no problem that this page can read.", next: "" });
  }
}

/** An answer. A problem is thrown. */
export async function get(target, given = {}, signal) {
  const response = await send(target + query(given), { accept: "application/json" }, signal);
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

/**
 * Follows a session from behind a mark. Gives `{name, data}` for every event, each once, in order,
 * however often the connection breaks; `state` is told `live`, `lost`. Ends where nothing comes any
 * more, with the problem that says why.
 */
export async function* follow(session, mark, signal, state) {
  let [last, failures] = [mark, 0];
  while (!signal.aborted) {
    try {
      for await (const event of connect(session, last, signal, () => { failures = 0; state("live"); })) {
        if (event.name === "end") {
          const problem = new Problem(event.data);
          if (!isPassing(problem)) return problem;
          break;
        }
        yield event;
        last = event.id ?? last;
      }
    } catch (error) {
      if (signal.aborted) return null;
      if (error instanceof Problem && !isPassing(error)) return error;
    }
    state("lost");
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)], signal);
    failures += 1;
  }
  return null;
}

/** Whether it is worth to try again by itself. */
const isPassing = (problem) =>
  problem.status >= 500 || problem.status === 429 || ["shutting-down", "busy", "internal", "io"].includes(problem.code);

function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

async function* connect(session, mark, signal, opened) {
  const broken = new AbortController();
  const both = AbortSignal.any([signal, broken.signal]);
  const headers = { accept: "text/event-stream", "last-event-id": mark };
  const response = await send(`${pathOf(session)}/events`, headers, both);
  if (!response.ok) throw await problemOf(response);
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const silence = setTimeout(() => broken.abort(), SILENCE_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      const whole = (rest + value).split("\n\n");
      rest = whole.pop();
      for (const event of whole.map(parse)) if (event) yield event;
    }
  } finally {
    broken.abort();
  }
}

/** One event; none where it is only a sign of life. */
function parse(text) {
  const event = { id: null, name: "", data: "" };
  for (const line of text.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const value = line.slice(at + 1).replace(/^ /u, "");
    if (line.startsWith("id:")) event.id = value;
    else if (line.startsWith("event:")) event.name = value;
    else if (line.startsWith("data:")) event.data += value;
  }
  return event.name === "" ? null : { ...event, data: JSON.parse(event.data) };
}
