// One session: its conversation, live, and its history.

import { follow, get, pathOf } from "./api.js";
import { announce, byId, el, icon } from "./dom.js";
import { bytes, count, counted } from "./format.js";
import { branchesEl, factsEl } from "./facts.js";
import { historyOf } from "./history.js";
import { heard, place, rowsOf } from "./rows.js";
import { Thread, ordered } from "./thread.js";
import { damageEl, ownerTitle, stateEl, titleOf } from "./words.js";

const PAGE = 100;
/** So many records are kept at most; what is far from where one reads is read again when it is needed. */
const MOST = 1500;
const INFO_MS = 4000;
/** So near to the edge the next page is read, and so near to the end what comes is scrolled to. */
const NEAR = 600;
const AT_END = 60;

let now = null;

/** Shows a session. `tab` is `conversation` or `history`. */
export async function show(name, tab, trouble) {
  if (now?.name === name) {
    now.turnTo(tab);
    return;
  }
  leave();
  now = new Open(name, tab, trouble);
  await now.begin();
}

/** Nothing is shown any more. */
export function leave() {
  now?.abort.abort();
  clearInterval(now?.timer);
  now = null;
  byId("session").replaceChildren();
}

/** A key that was pressed while a session is shown; true where it meant something. */
export const key = (event) => now?.key(event) ?? false;

class Open {
  thread = new Thread();
  abort = new AbortController();
  drawn = new Map();
  info = null;
  view = null;
  reading = false;
  atEnd = true;
  drawing = 0;
  /** Messages that came and were not drawn yet; that were drawn and not seen. */
  fresh = 0;
  unseen = 0;
  /** The end is kept in sight, whatever comes and however high it turns out to be. */
  sticks = true;
  top = 0;

  constructor(name, tab, trouble) {
    Object.assign(this, { name, tab, trouble });
  }

  async begin() {
    this.frame();
    try {
      await Promise.all([this.readInfo(), this.readEnd()]);
    } catch (error) {
      if (!this.abort.signal.aborted) this.trouble(error);
      return;
    }
    this.turnTo(this.tab);
    this.timer = setInterval(() => { if (!document.hidden) this.readInfo().catch(() => {}); }, INFO_MS);
    if (this.tab === "conversation") this.list.closest(".scroller").focus({ preventScroll: true });
  }

  // ---- the frame ---------------------------------------------------------------------------

  frame() {
    this.head = el("div", { class: "session-head" });
    this.list = el("ol", { class: "thread", id: "thread", "aria-label": "Conversation" });
    this.edge = el("p", { class: "edge" });
    this.tail = el("p", { class: "edge" });
    this.newer = el("button", { type: "button", class: "newer", hidden: true, onclick: () => this.toEnd() });
    this.scroller = el("div", { class: "scroller", id: "conversation", tabindex: "0", role: "region", "aria-label": "Conversation" },
      el("div", { class: "column" }, this.edge, this.list, this.tail));
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.keepEnd()).observe(this.list);
    new ResizeObserver(() => this.keepEnd()).observe(this.scroller);
    this.facts = el("div");
    this.branches = el("nav", { class: "branches", id: "branches", "aria-label": "Branches", tabindex: "-1" });
    this.past = el("div", { class: "scroller past", id: "history", hidden: true, tabindex: "0", role: "region", "aria-label": "History" });
    const beside = el("aside", { class: "beside", "aria-label": "About this session" },
      el("details", { open: matchMedia("(min-width: 901px)").matches },
        el("summary", {}, "About this session"),
        el("section", {}, el("h2", {}, "Branches"), this.branches), this.facts));
    byId("session").replaceChildren(this.head, el("div", { class: "panes" }, el("div", { class: "main-pane" }, this.scroller, this.past, this.newer), beside));
    this.headFrame();
  }

  headFrame() {
    const link = (tab, word, keys) => el("a", { href: `#/session/${encodeURIComponent(this.name)}${tab === "history" ? "/history" : ""}`, class: "tab", "data-tab": tab, "aria-keyshortcuts": keys }, word);
    this.title = el("h1", { id: "session-title", tabindex: "-1" }, this.name);
    this.sub = el("p", { class: "sub" });
    this.live = el("span", { class: "live", role: "status" });
    this.chips = el("p", { class: "chips" });
    this.tabs = el("nav", { class: "tabs", "aria-label": "Views of this session" }, link("conversation", "Conversation", "c"), link("history", "History", "h"), this.live);
    this.head.replaceChildren(
      el("a", { class: "back quiet", href: "#/", "aria-label": "Back to all sessions" }, icon("back"), el("span", {}, "Sessions")),
      el("div", { class: "names" }, this.title, this.sub), this.chips, this.tabs);
  }

  turnTo(tab) {
    this.tab = tab;
    for (const one of this.tabs.querySelectorAll("a")) {
      if (one.dataset.tab === tab) one.setAttribute("aria-current", "page");
      else one.removeAttribute("aria-current");
    }
    this.scroller.hidden = tab !== "conversation";
    this.past.hidden = tab !== "history";
    if (tab === "history") this.readPast();
    else {
      this.tellNewer();
      this.keepEnd();
    }
  }

  async readInfo() {
    const info = await get(pathOf(this.name), {}, this.abort.signal);
    const was = this.info;
    this.info = info;
    const title = titleOf(info);
    this.title.textContent = title;
    document.title = `${title} · session journal`;
    this.sub.textContent = [title === info.session ? null : info.session, info.attributes?.key === title ? null : info.attributes?.key].filter(Boolean).join(" · ");
    const damaged = info.header_damaged || info.damage.length > 0;
    this.chips.replaceChildren(stateEl(info), damageEl({ damaged }) ?? "",
      el("span", {}, info.owner ? (info.held_here ? "this gateway" : ownerTitle(info.owner)) : "no owner"),
      el("span", {}, `generation ${count(info.generation)}`), el("span", {}, counted(info.records, "record")), el("span", {}, bytes(info.bytes)));
    this.facts.replaceChildren(factsEl(info));
    const hasChanged = was && (was.generation !== info.generation || was.state !== info.state);
    if (hasChanged && this.tab === "history") this.readPast();
  }

  async readPast() {
    if (!this.past.firstChild) this.past.replaceChildren(el("p", { class: "edge" }, "Reading every claim, opening, repair and release …"));
    try {
      this.past.replaceChildren(el("div", { class: "column" }, await historyOf(this.name, this.abort.signal)));
    } catch (error) {
      if (!this.abort.signal.aborted) this.trouble(error);
    }
  }

  // ---- reading -----------------------------------------------------------------------------

  async readEnd() {
    const page = await this.page({ last: PAGE });
    const first = firstOf(page) ?? page.last_seq + 1;
    this.thread.reset(page.records, page.gaps, first, page.last_seq);
    this.started(page, true);
    this.follow(page.mark);
  }

  async readBeginning() {
    this.pause();
    const page = await this.page({ from: 1 });
    this.thread.reset(page.records, page.gaps, 1, lastOf(page) ?? page.last_seq);
    this.started(page, page.next === null);
    if (page.next === null) this.follow(page.mark);
    this.scroller.scrollTop = 0;
  }

  page(which) {
    return get(`${pathOf(this.name)}/records`, { limit: PAGE, ...which }, this.abort.signal);
  }

  started(page, atEnd) {
    this.atEnd = atEnd;
    this.unseen = 0;
    this.sticks = atEnd;
    this.draw();
    this.keepEnd();
    this.fill();
  }

  /** Reads the page before what is loaded, and keeps what is read in its place. */
  async readOlder() {
    if (this.reading || this.thread.first <= 1) return;
    this.reading = true;
    try {
      const page = await this.page({ before: this.thread.first });
      this.inPlace(() => {
        this.thread.prepend(page.records, page.gaps, page.next ?? 1);
        if (!this.sticks && this.thread.forgetNewest(MOST)) this.pause();
      });
    } catch (error) {
      if (!this.abort.signal.aborted) this.trouble(error);
      return;
    } finally {
      this.reading = false;
    }
    this.fill();
  }

  /** Changes what is loaded, and keeps the row that is read where it is. */
  inPlace(change) {
    const { top } = this.scroller.getBoundingClientRect();
    const read = Array.from(this.list.querySelectorAll("article")).find((row) => row.getBoundingClientRect().bottom > top);
    const was = read?.getBoundingClientRect().top;
    change();
    this.draw();
    if (read?.isConnected && !this.sticks) this.scroller.scrollTop += read.getBoundingClientRect().top - was;
  }

  /** The newest are not loaded: what comes is not followed until they are. */
  pause() {
    this.following?.abort();
    [this.atEnd, this.sticks] = [false, false];
    this.tell("paused");
  }

  async readNewer() {
    if (this.reading || this.atEnd) return;
    this.reading = true;
    try {
      const page = await this.page({ from: this.thread.last + 1 });
      this.inPlace(() => {
        for (const one of ordered(page.records, page.gaps)) this.thread.append(one);
        this.thread.forgetOldest(MOST);
        this.atEnd = page.next === null;
      });
      if (this.atEnd) this.follow(page.mark);
    } catch (error) {
      if (!this.abort.signal.aborted) this.trouble(error);
    } finally {
      this.reading = false;
    }
  }

  /** Where what is loaded does not fill the window, or nothing of it is on the line. */
  fill() {
    const isShort = this.scroller.clientHeight > 0 && this.scroller.scrollTop < NEAR;
    if (isShort && this.atEnd && this.thread.entries.length < MOST) this.readOlder();
  }

  async follow(mark) {
    this.following?.abort();
    this.following = new AbortController();
    const signal = AbortSignal.any([this.abort.signal, this.following.signal]);
    const events = follow(this.name, mark, signal, (state) => { if (!signal.aborted) this.tell(state); });
    for (;;) {
      const { value, done } = await events.next();
      if (signal.aborted) return;
      if (done) {
        await this.ended(value);
        return;
      }
      this.came(value.data);
    }
  }

  async ended(problem) {
    this.tell("ended");
    // The journal is not the one that was read: it begins anew.
    if (problem?.code === "diverged") await this.readEnd();
    else if (problem) this.trouble(problem);
  }

  came(one) {
    if (!this.thread.append(one)) return;
    const entry = this.thread.entries.at(-1);
    if (entry.gap || entry.told.role) {
      announce(heard(entry));
      this.fresh += 1;
    }
    if (this.drawing === 0) this.drawing = requestAnimationFrame(() => this.drawFresh());
  }

  // ---- drawing -----------------------------------------------------------------------------

  isAtBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < AT_END;
  }

  drawFresh() {
    this.noteScroll();
    if (!this.sticks) this.unseen += this.fresh;
    [this.fresh, this.drawing] = [0, 0];
    if (this.sticks) this.thread.forgetOldest(MOST);
    this.draw();
  }

  keepEnd() {
    if (!this.sticks || !this.atEnd) return;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.top = this.scroller.scrollTop;
  }

  draw() {
    this.view = this.thread.view();
    place(this.list, rowsOf(this.view, { select: (seq) => this.select(seq) }), this.drawn);
    this.branches.replaceChildren(branchesEl(this.view, (seq) => this.select(seq)));
    this.tellEdges();
    this.tellNewer();
    this.keepEnd();
  }

  tellEdges() {
    const { first } = this.thread;
    const isEmpty = this.thread.entries.length === 0;
    const button = (word, act) => el("button", { type: "button", class: "quiet small", onclick: act }, word);
    if (first > 1) this.edge.replaceChildren(`${counted(first - 1, "record")} before `, button("Older", () => this.readOlder()), button("Beginning", () => this.readBeginning()));
    else this.edge.textContent = isEmpty ? "" : "The journal begins here";
    if (!this.atEnd) this.tail.replaceChildren(button("Newer", () => this.readNewer()), button("End", () => this.readEnd()));
    else this.tail.textContent = isEmpty ? "No record yet. What is appended appears here." : "";
  }

  tellNewer() {
    const other = this.thread.selected !== null && this.view && this.view.end !== this.view.newest;
    this.newer.hidden = this.tab !== "conversation" || (this.unseen === 0 && !other);
    this.newer.textContent = other ? "Another branch is the newest" : `${counted(this.unseen, "new message")}`;
  }

  tell(state) {
    const words = { live: ["open", "Live"], lost: ["orphaned", "Connecting"], paused: ["released", "Not at the end"], ended: ["sealed", "Ended"] };
    const [drawing, word] = words[state];
    if (this.live.dataset.state === state) return;
    this.live.dataset.state = state;
    this.live.replaceChildren(icon(drawing), word);
  }

  select(seq) {
    this.thread.selected = seq;
    this.sticks = false;
    this.draw();
    if (this.view.end) this.list.querySelector(`[data-seq="${this.view.end.seq}"]`)?.scrollIntoView({ block: "nearest" });
    announce(`Branch that ends with record ${seq}`);
  }

  async toEnd() {
    this.thread.selected = null;
    if (!this.atEnd) await this.readEnd();
    this.unseen = 0;
    this.sticks = true;
    this.draw();
    this.scroller.focus({ preventScroll: true });
  }

  /** What grows without being scrolled is no reason to let the end go. */
  noteScroll() {
    const { scrollTop } = this.scroller;
    if (this.isAtBottom()) this.sticks = this.atEnd;
    else if (scrollTop < this.top) this.sticks = false;
    this.top = scrollTop;
  }

  scrolled() {
    this.noteScroll();
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    if (this.sticks && this.unseen > 0) {
      this.unseen = 0;
      this.tellNewer();
    }
    if (scrollTop < NEAR) this.readOlder();
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.readNewer();
  }

  // ---- keys --------------------------------------------------------------------------------

  key(event) {
    switch (event.key) {
      case "j":
      case "k":
        this.step(event.key === "j" ? 1 : -1);
        return true;
      case "g":
      case "Home":
        if (this.tab === "history") this.past.scrollTop = 0;
        else if (this.thread.first > 1) this.readBeginning();
        else this.scroller.scrollTop = 0;
        return true;
      case "G":
      case "End":
        if (this.tab === "history") this.past.scrollTop = this.past.scrollHeight;
        else this.toEnd();
        return true;
      case "c":
      case "h":
        location.hash = `#/session/${encodeURIComponent(this.name)}${event.key === "h" ? "/history" : ""}`;
        return true;
      case "b":
        this.branches.closest("details").open = true;
        (this.branches.querySelector("[aria-current]") ?? this.branches).focus();
        return true;
      case "Enter": {
        const article = document.activeElement?.closest?.("article");
        const first = article?.querySelector(".unfold, summary");
        if (document.activeElement !== article || !first) return false;
        first.click();
        return true;
      }
      default:
        return false;
    }
  }

  /** To the next or the previous article; to the first that is seen where none is in focus. */
  step(by) {
    this.sticks = false;
    const pane = this.tab === "history" ? this.past : this.scroller;
    const articles = Array.from(pane.querySelectorAll("article"));
    const at = articles.indexOf(document.activeElement?.closest?.("article"));
    const top = pane.getBoundingClientRect().top;
    const seen = articles.findIndex((one) => one.getBoundingClientRect().bottom > top + 8);
    const next = at < 0 ? (by > 0 ? seen : articles.length - 1) : at + by;
    const article = articles[Math.max(0, Math.min(articles.length - 1, next))];
    article?.focus({ preventScroll: true });
    article?.scrollIntoView({ block: "nearest" });
  }
}

const ends = (page, of) => [...page.records.map((one) => one.seq), ...page.gaps.map(of)];
const firstOf = (page) => {
  const all = ends(page, (gap) => gap.first_seq);
  return all.length > 0 ? Math.min(...all) : null;
};
const lastOf = (page) => {
  const all = ends(page, (gap) => gap.first_seq + gap.records_lost - 1);
  return all.length > 0 ? Math.max(...all) : null;
};
