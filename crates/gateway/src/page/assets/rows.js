// The rows of a conversation: messages, what says nothing, gaps, and where branches begin.

import { el, icon, momentEl } from "./dom.js";
import { bytes, count, counted, date, line, moment, time } from "./format.js";
import { plain } from "./said.js";
import { branchesOf } from "./thread.js";

const NAMES = new Map(Object.entries({
  user: "User", assistant: "Assistant", tool: "Tool", system: "System", summary: "Summary", note: "Text",
}));

/** A text that is longer is folded. */
const FOLD_CHARACTERS = 1600;
const FOLD_LINES = 18;

/** The rows for a view: `{key, sign, make}` each. A row is made anew where its sign changes. */
export function rowsOf(view, tools) {
  const rows = [];
  let [day, generation] = [null, null];
  for (const entry of view.shown) {
    if (entry.gap) {
      rows.push({ key: entry.key, sign: "gap", make: () => gapRow(entry.gap) });
      continue;
    }
    const { record } = entry;
    const today = date(record.time_ms);
    if (today !== day) {
      day = today;
      rows.push({ key: `day-${entry.seq}`, sign: today, make: () => el("li", { class: "day" }, el("span", {}, today)) });
    }
    if (generation !== null && record.generation !== generation) {
      const now = record.generation;
      rows.push({ key: `generation-${entry.seq}`, sign: String(now), make: () => generationRow(now) });
    }
    generation = record.generation;
    const sign = `${entry.version}/${entry.missing ?? ""}`;
    rows.push({ key: entry.key, sign, make: () => (entry.told.role ? messageRow(entry) : compactRow(entry)) });
    const branches = entry.told.node ? branchesOf(entry) : [];
    if (branches.length > 1) {
      const at = branches.findIndex((branch) => view.path.has(branch));
      const ends = branches.map((branch) => branch.newest.seq);
      rows.push({
        key: `fork-${entry.seq}`, sign: `${at}/${ends.join()}`,
        make: () => forkRow(at, ends, tools.select),
      });
    }
  }
  return rows;
}

/** Makes the list hold these rows, and keeps the elements that stay as they are. */
export function place(list, rows, drawn) {
  const wanted = new Set(rows.map((row) => row.key));
  for (const [key, { element }] of drawn) {
    if (wanted.has(key)) continue;
    element.remove();
    drawn.delete(key);
  }
  let before = null;
  for (const row of rows) {
    const known = drawn.get(row.key);
    let element = known?.element;
    if (known?.sign !== row.sign) {
      element = row.make();
      known?.element.replaceWith(element);
      drawn.set(row.key, { element, sign: row.sign });
    }
    const next = before === null ? list.firstElementChild : before.nextElementSibling;
    if (next !== element) list.insertBefore(element, next);
    before = element;
  }
}

/** One line for those who hear the page. */
export function heard(entry) {
  if (entry.gap) return `${counted(entry.gap.records_lost, "record")} lost`;
  const { role, label, brief } = entry.told;
  return role ? `${NAMES.get(role)}: ${line(plain(entry.told), 200)}` : `${label} ${brief}`;
}

// ---- rows ----------------------------------------------------------------------------------

const facts = (record) =>
  [`record ${count(record.seq)}`, `generation ${record.generation}`, bytes(record.bytes), record.key && `key ${record.key}`]
    .filter(Boolean).join(" · ");

const head = (entry, ...names) => el("header", {}, ...names,
  entry.record.parent && entry.missing ? el("span", { class: "aside-note" }, `follows ${line(entry.missing, 40)}, which is not loaded`) : null,
  el("span", { class: "when", title: facts(entry.record) },
    el("span", { class: "number" }, `#${entry.seq}`),
    el("span", { title: moment(entry.record.time_ms) }, momentEl(entry.record.time_ms, time(entry.record.time_ms)))));

function messageRow(entry) {
  const { role, from, blocks } = entry.told;
  const labelled = `who-${entry.seq}`;
  const names = [el("span", { class: "who", id: labelled }, NAMES.get(role))];
  if (from) names.push(el("span", { class: "from" }, `from ${line(from, 80)}`));
  if (entry.updated) names.push(el("span", { class: "from" }, `as of record ${count(entry.updated)}`));
  if (role === "note" && entry.record.kind) names.push(el("span", { class: "from" }, line(entry.record.kind, 80)));
  const shown = blocks.filter((block) => block.text !== "" || block.type !== "text");
  const body = shown.length > 0 ? shown.map(blockEl) : el("p", { class: "none" }, "an empty message");
  return el("li", { class: `message role-${role}` },
    el("article", { tabindex: "-1", "aria-labelledby": labelled, "data-seq": entry.seq }, head(entry, ...names), el("div", { class: "body" }, body)));
}

function compactRow(entry) {
  const { label, brief, opaque } = entry.told;
  const size = opaque ? ` ${bytes(entry.record.bytes)}` : "";
  const summary = el("summary", {},
    el("span", { class: "kind" }, line(label, 60)),
    el("span", { class: "brief" }, opaque ? `${brief},${size}` : brief),
    el("span", { class: "when" }, el("span", { class: "number" }, `#${entry.seq}`), momentEl(entry.record.time_ms, time(entry.record.time_ms))));
  const open = lazily(summary, () => [
    el("p", { class: "facts" }, facts(entry.record)),
    folded(opaque ? dump(entry.record.payload_base64) : raw(entry.record.payload), "code"),
  ]);
  return el("li", { class: "compact" }, el("article", { tabindex: "-1", "data-seq": entry.seq, "aria-label": heard(entry) }, open));
}

function gapRow(gap) {
  const last = gap.first_seq + gap.records_lost - 1;
  const which = gap.records_lost > 1 ? `Records ${count(gap.first_seq)} to ${count(last)} are` : `Record ${count(gap.first_seq)} is`;
  const why = gap.verdict === "torn" ? "cut off while it was written" : "damaged in the file";
  return el("li", { class: "gap" }, el("article", { tabindex: "-1", "data-seq": gap.first_seq },
    icon("damage"), el("span", {}, el("strong", {}, `${which} lost`), `: ${why}. What follows is whole.`)));
}

const generationRow = (generation) =>
  el("li", { class: "generation" }, el("span", {}, icon("claim"), `Generation ${count(generation)} from here on`));

function forkRow(at, ends, select) {
  const turn = (by, word, drawing) => el("button", {
    type: "button", class: "quiet small", "aria-label": word,
    onclick: () => select(ends[(at + by + ends.length) % ends.length]),
  }, icon(drawing));
  return el("li", { class: "fork" }, icon("branch"),
    turn(-1, "The branch before", "back"),
    el("span", {}, at < 0 ? `${ends.length} branches go on from here` : `Branch ${at + 1} of ${ends.length}`),
    turn(1, "The next branch", "next"));
}

// ---- blocks --------------------------------------------------------------------------------

function blockEl(block) {
  switch (block.type) {
    case "text":
      return textEl(block.text);
    case "thought":
      return lazily(el("summary", {}, el("span", { class: "kind" }, "Thought"), el("span", { class: "brief" }, line(block.text, 120))),
        () => folded(block.text, "prose"), "thought");
    case "call":
      return lazily(el("summary", {}, icon("tool"), el("span", { class: "kind" }, line(block.name, 60)),
        el("span", { class: "brief" }, line(block.text, 140))), () => folded(block.text, "code"), "call");
    case "result":
      return el("div", { class: block.failed ? "result failed" : "result" },
        el("p", { class: "result-name" }, icon(block.failed ? "damage" : "tool"), `${line(block.name, 60)} ${block.failed ? "failed" : "answered"}`),
        block.text === "" ? el("p", { class: "none" }, "nothing") : folded(block.text, "code"));
    case "image":
      return el("p", { class: "chip" }, block.name);
    default:
      return lazily(el("summary", {}, el("span", { class: "kind" }, line(block.name, 60))), () => folded(block.text, "code"), "call");
  }
}

/** Text, with what stands between ``` as code. */
function textEl(text) {
  const parts = text.split(/^```[^\n]*\n?/mu);
  if (parts.length < 3 || text.length > 200_000) return folded(text, "prose");
  return el("div", {}, parts
    .map((part, at) => (at % 2 === 1 ? folded(part.replace(/\n$/u, ""), "code") : part.trim() && folded(part.trim(), "prose")))
    .filter(Boolean));
}

/** A text; the beginning of it where it is long. */
function folded(text, name) {
  const holder = el(name === "code" ? "pre" : "p", { class: name, tabindex: name === "code" ? "0" : null });
  const cut = cutOf(text);
  if (cut === text.length) {
    holder.textContent = text;
    return holder;
  }
  holder.textContent = `${text.slice(0, cut).trimEnd()} …`;
  const more = el("button", { type: "button", class: "quiet small unfold", "aria-expanded": "false" }, `Show all ${count(text.length)} characters`);
  more.addEventListener("click", () => {
    const opens = more.getAttribute("aria-expanded") === "false";
    holder.textContent = opens ? text : `${text.slice(0, cut).trimEnd()} …`;
    more.setAttribute("aria-expanded", opens);
    more.textContent = opens ? "Show less" : `Show all ${count(text.length)} characters`;
  });
  return el("div", { class: "foldable" }, holder, more);
}

function cutOf(text) {
  let cut = 0;
  for (let lines = 0; lines < FOLD_LINES; lines += 1) {
    const end = text.indexOf("\n", cut);
    if (end < 0 || end > FOLD_CHARACTERS) {
      cut = text.length;
      break;
    }
    cut = end + 1;
  }
  const most = text.length > FOLD_CHARACTERS * 1.25 ? FOLD_CHARACTERS : text.length;
  cut = Math.min(cut, most);
  // Not within a pair of surrogates.
  return /[\uD800-\uDBFF]/u.test(text[cut - 1] ?? "") && cut < text.length ? cut + 1 : cut;
}

/** Something that is made when it is opened. */
function lazily(summary, make, name = "") {
  const details = el("details", { class: name }, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...[make()].flat());
  });
  return details;
}

function raw(payload) {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}

/** The first bytes as hexadecimal digits. */
function dump(base64) {
  const all = atob(base64);
  const rows = [];
  for (let at = 0; at < Math.min(all.length, 512); at += 16) {
    const part = Array.from(all.slice(at, at + 16), (one) => one.charCodeAt(0));
    const digits = part.map((one) => one.toString(16).padStart(2, "0")).join(" ");
    const letters = part.map((one) => (one >= 32 && one < 127 ? String.fromCharCode(one) : ".")).join("");
    rows.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  return all.length > 512 ? `${rows.join("\n")}\n${count(all.length - 512)} more bytes` : rows.join("\n");
}
