// All sessions: read page by page in the background, kept in memory, and only the rows that can be
// seen are in the document.

import { get } from "./api.js";
import { announce, byId, el, icon, momentEl } from "./dom.js";
import { age, bytes, count, counted, moment } from "./format.js";
import { damageEl, ownerPlace, ownerTitle, stateEl, stateOf, titleOf } from "./words.js";

const PAGE = 1000;
/** What changed is looked up so often, and everything, so that who is gone is noticed. */
const CHANGES_MS = 4000;
const EVERYTHING_MS = 60_000;
/** Rows above and below what can be seen. */
const MARGIN = 6;

const COLUMNS = [
  ["state", "State", (one) => stateOf(one)],
  ["session", "Session", (one) => titleOf(one).toLowerCase()],
  ["owner", "Owner", (one) => (one.owner ? ownerTitle(one.owner).toLowerCase() : "\uffff")],
  ["generation", "Gen.", (one) => -one.generation],
  ["records", "Records", (one) => -one.records],
  ["bytes", "Size", (one) => -one.bytes],
  ["updated", "Changed", (one) => -one.updated_ms],
];

const all = new Map();
let shown = [];
let active = null;
let order = { column: "updated", turned: false };
let complete = false;
let [grid, rows, space] = [];
let open = () => {};
const drawn = new Map();
let drawnHeight = 0;

/** Sets up the list. `opened` is told which session is asked for. */
export function start(opened) {
  open = opened;
  [grid, rows, space] = [byId("grid"), byId("rows"), byId("space")];
  drawColumns();
  for (const id of ["search", "agent", "state"]) byId(id).addEventListener("input", () => choose());
  byId("order").addEventListener("input", () => sortBy(byId("order").value, false));
  byId("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    grid.focus();
  });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape" && byId("search").value !== "") {
      byId("search").value = "";
      choose();
    } else grid.focus();
  });
  rows.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(rows);
  space.addEventListener("click", clicked);
  grid.addEventListener("focus", () => { active ??= shown[0]?.session ?? null; draw(); });
  setInterval(() => { if (isVisible()) redraw(); }, 20_000);
}

const isVisible = () => !byId("sessions").hidden && !document.hidden;

// ---- reading -------------------------------------------------------------------------------

/** Reads all pages, then keeps up with what changes. Ends only with the page. */
export async function keepUp(trouble) {
  let everything = 0;
  for (;;) {
    try {
      if (isVisible() || !complete) {
        if (Date.now() - everything > EVERYTHING_MS || !await changes()) {
          await readAll();
          everything = Date.now();
        }
        trouble(null);
      }
    } catch (error) {
      trouble(error);
    }
    await new Promise((resolve) => { setTimeout(resolve, CHANGES_MS); });
  }
}

async function readAll() {
  const there = new Set();
  let after = null;
  do {
    const page = await get("/v1/sessions", { limit: PAGE, after });
    for (const one of page.sessions) there.add(one.session);
    const isNew = merge(page.sessions);
    byId("found").dataset.total = page.total;
    // The first page is shown at once, the others when all are there: sorting takes its time.
    if (isNew && after === null) choose(true);
    after = page.next;
  } while (after !== null);
  for (const name of all.keys()) if (!there.has(name)) all.delete(name);
  complete = true;
  choose(true);
}

/** Reads what changed last; false where that cannot be all. */
async function changes() {
  if (!complete) return false;
  const newest = Math.max(0, ...Array.from(all.values(), (one) => one.updated_ms));
  const page = await get("/v1/sessions", { limit: 100 });
  if (merge(page.sessions)) choose(true);
  const oldest = page.sessions.at(-1)?.updated_ms ?? 0;
  return page.total === all.size && (page.next === null || oldest < newest);
}

/** Keeps what was read; true where that says something new. */
function merge(sessions) {
  let isNew = false;
  for (const one of sessions) {
    one.text = JSON.stringify(one);
    if (all.get(one.session)?.text === one.text) continue;
    isNew = true;
    const attributes = one.attributes ?? {};
    const words = [one.session, attributes.title, attributes.key, one.owner?.label, one.owner?.host];
    one.words = words.filter(Boolean).join("\n").toLowerCase();
    all.set(one.session, one);
  }
  return isNew;
}

// ---- choosing ------------------------------------------------------------------------------

function choose(isQuiet = false) {
  const wanted = byId("search").value.toLowerCase().split(/\s+/u).filter(Boolean);
  const [agent, state] = [byId("agent").value, byId("state").value];
  const isWanted = (one) =>
    (agent === "" || (one.agent ?? "none") === agent)
    && (state === "" || (state === "damaged" ? one.damaged : stateOf(one) === state))
    && wanted.every((word) => one.words.includes(word));
  const [, , key] = COLUMNS.find(([name]) => name === order.column);
  const turn = order.turned ? -1 : 1;
  const keyed = Array.from(all.values()).filter(isWanted).map((one) => [key(one), one]);
  keyed.sort(([a, x], [b, y]) => (a < b ? -turn : a > b ? turn : x.session < y.session ? -1 : 1));
  shown = keyed.map(([, one]) => one);
  if (!isQuiet) {
    active = shown[0]?.session ?? null;
    rows.scrollTop = 0;
  }
  active ??= shown[0]?.session ?? null;
  tellAgents();
  tellCount(isQuiet);
  redraw();
}

function tellAgents() {
  const select = byId("agent");
  const names = [...new Set(Array.from(all.values(), (one) => one.agent ?? "none"))].sort();
  const known = Array.from(select.options, (option) => option.value).slice(1);
  if (known.join("\n") === names.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(el("option", { value: "" }, "all"), ...names.map((name) => el("option", { value: name }, name)));
  select.value = names.includes(chosen) ? chosen : "";
}

function tellCount(isQuiet) {
  const found = byId("found");
  const total = Math.max(all.size, Number(found.dataset.total ?? 0));
  const some = shown.length === all.size ? counted(total, "session") : `${count(shown.length)} of ${counted(total, "session")}`;
  found.textContent = complete ? some : `${some}, reading`;
  if (!isQuiet) announce(`${counted(shown.length, "session")} found`);
  const empty = byId("empty");
  empty.hidden = shown.length > 0 || !complete;
  grid.hidden = !empty.hidden;
  empty.textContent = all.size === 0
    ? "There is no session yet. One is made by POST /v1/sessions, or by sjournal import."
    : "No session is like that.";
}

function sortBy(column, turned) {
  order = { column, turned };
  byId("order").value = column;
  drawColumns();
  choose();
}

function drawColumns() {
  const cell = ([name, word], at) => {
    const isIt = order.column === name;
    const direction = isIt ? (order.turned ? "descending" : "ascending") : "none";
    const turn = () => sortBy(name, isIt && !order.turned);
    return el("div", { role: "columnheader", class: `cell cell-${name}`, "aria-colindex": at + 1, "aria-sort": direction },
      el("button", { type: "button", onclick: turn }, word, isIt ? icon(order.turned ? "up" : "down") : null));
  };
  const had = document.activeElement?.closest?.("#columns .cell")?.className;
  byId("columns").replaceChildren(...COLUMNS.map(cell));
  if (had) byId("columns").querySelector(`[class="${had}"] button`)?.focus();
}

// ---- drawing -------------------------------------------------------------------------------

const rowHeight = () => Number.parseFloat(getComputedStyle(rows).getPropertyValue("--row")) || 48;

function redraw() {
  clear();
  draw();
}

function clear() {
  for (const row of drawn.values()) row.remove();
  drawn.clear();
}

function draw() {
  if (byId("sessions").hidden) return;
  const height = rowHeight();
  if (height !== drawnHeight) clear();
  drawnHeight = height;
  grid.setAttribute("aria-rowcount", shown.length + 1);
  space.style.height = `${shown.length * height}px`;
  const first = Math.max(0, Math.floor(rows.scrollTop / height) - MARGIN);
  const last = Math.min(shown.length, Math.ceil((rows.scrollTop + rows.clientHeight) / height) + MARGIN);
  const wanted = new Set();
  for (let at = first; at < last; at += 1) wanted.add(at);
  const activeAt = shown.findIndex((one) => one.session === active);
  if (activeAt >= 0) wanted.add(activeAt);
  for (const [at, row] of drawn) {
    if (wanted.has(at)) continue;
    row.remove();
    drawn.delete(at);
  }
  for (const at of wanted) {
    if (!drawn.has(at)) {
      const row = rowOf(shown[at], at, height);
      drawn.set(at, row);
      space.append(row);
    }
    drawn.get(at).setAttribute("aria-selected", at === activeAt);
  }
  if (activeAt >= 0) grid.setAttribute("aria-activedescendant", `row-${activeAt}`);
  else grid.removeAttribute("aria-activedescendant");
}

function rowOf(one, at, height) {
  const cell = (name, ...children) => el("div", { role: "gridcell", class: `cell cell-${name}` }, ...children);
  const title = titleOf(one);
  const below = [title === one.session ? null : one.session, one.attributes?.key === title ? null : one.attributes?.key];
  const row = el("div", { class: "row", role: "row", id: `row-${at}`, "aria-rowindex": at + 2 },
    cell("state", stateEl(one), damageEl(one)),
    cell("session",
      el("a", { class: "title", href: hrefOf(one.session), tabindex: "-1" }, title),
      el("span", { class: "below" }, below.filter(Boolean).join(" · ") || (one.attributes?.channel ?? ""))),
    cell("owner", ...ownerCell(one)),
    cell("generation", count(one.generation)),
    cell("records", isCounted(one) ? count(one.records) : el("span", { title: "As of its last checkpoint" }, `${count(one.records)}+`)),
    cell("bytes", bytes(one.bytes)),
    cell("updated", el("span", { title: moment(one.updated_ms) }, momentEl(one.updated_ms, age(one.updated_ms)))));
  row.style.transform = `translateY(${at * height}px)`;
  row.dataset.at = at;
  return row;
}

/** Whether the file's head knows how many records there are: while somebody appends it lags behind. */
const isCounted = (one) => one.state === "released" || one.state === "sealed";

function ownerCell(one) {
  if (!one.owner) return [el("span", { class: "none" }, "nobody")];
  const here = one.held_here ? el("span", { class: "here" }, "this gateway") : null;
  return [el("span", { class: "title" }, here ?? ownerTitle(one.owner)), el("span", { class: "below" }, ownerPlace(one.owner))];
}

/** Where a session is on the page. */
export const hrefOf = (session) => `#/session/${encodeURIComponent(session)}`;

// ---- moving --------------------------------------------------------------------------------

function clicked(event) {
  const at = event.target.closest(".row")?.dataset.at;
  if (at === undefined) return;
  active = shown[at].session;
  draw();
  // A link is followed by itself, in a new tab where that was asked for.
  if (!event.target.closest("a") && getSelection().isCollapsed) open(active);
}

function step(by) {
  if (shown.length === 0) return;
  const now = shown.findIndex((one) => one.session === active);
  const at = Math.min(shown.length - 1, Math.max(0, now < 0 ? 0 : now + by));
  active = shown[at].session;
  const [top, height] = [at * rowHeight(), rowHeight()];
  if (top < rows.scrollTop) rows.scrollTop = top;
  if (top + height > rows.scrollTop + rows.clientHeight) rows.scrollTop = top + height - rows.clientHeight;
  draw();
}

/** A key that was pressed while the list is shown; true where it meant something. */
export function key(event) {
  const page = Math.max(1, Math.floor(rows.clientHeight / rowHeight()) - 1);
  const steps = new Map(Object.entries({
    j: 1, k: -1, ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
    g: -Infinity, Home: -Infinity, G: Infinity, End: Infinity,
  }));
  const onButton = event.target.closest?.("button, a");
  if (steps.has(event.key)) {
    grid.focus({ preventScroll: true });
    step(Math.max(-shown.length, Math.min(shown.length, steps.get(event.key))));
  } else if (event.key === "Enter" && !onButton && active !== null) open(active);
  else if (event.key === "/") {
    byId("search").focus();
    byId("search").select();
  } else return false;
  return true;
}

/** The list is shown again, where it was left. */
export function show() {
  redraw();
  grid.focus({ preventScroll: true });
}
