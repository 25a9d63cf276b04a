// What stands beside a conversation: who has the session, its figures, where it comes from, and the
// tree of its branches.

import { el, icon, momentEl } from "./dom.js";
import { age, bytes, count, counted, line, moment } from "./format.js";
import { hrefOf } from "./list.js";
import { plain } from "./said.js";
import { ownerLife, ownerPlace, ownerTitle } from "./words.js";

const fact = (name, ...value) => (value.some((one) => one !== null && one !== undefined && one !== "")
  ? el("div", {}, el("dt", {}, name), el("dd", {}, ...value)) : null);
const times = (ms) => [el("span", { title: age(ms) }, momentEl(ms, moment(ms)))];

/** Owner and figures. */
export function factsEl(info) {
  const { owner, attributes } = info;
  return el("div", { class: "facts-groups" },
    el("section", { "aria-labelledby": "owner-title" },
      el("h2", { id: "owner-title" }, "Owner"),
      owner ? el("dl", {},
        fact("Label", ownerTitle(owner)),
        fact("Host, process", ownerPlace(owner)),
        fact("Life", info.held_here ? "this gateway" : ownerLife(owner)),
        fact("Program", owner.program),
        fact("Began", ...times(owner.started_ms))) : el("p", { class: "none" }, "Nobody has it open.")),
    el("section", { "aria-labelledby": "journal-title" },
      el("h2", { id: "journal-title" }, "Journal"),
      el("dl", {},
        fact("Generation", count(info.generation)),
        fact("Records", count(info.records)),
        fact("Size", bytes(info.bytes)),
        info.void_bytes > 0 ? fact("Dead bytes", bytes(info.void_bytes)) : null,
        fact("Created", ...times(info.created_ms)),
        fact("Changed", ...times(info.updated_ms)),
        fact("Lost to damage", info.damage.length > 0 ? `${counted(info.damage.reduce((sum, hole) => sum + hole.records_lost, 0), "record")} in ${counted(info.damage.length, "hole")}` : null),
        fact("Cut off at the end", info.torn.length > 0 ? bytes(info.torn.reduce((sum, hole) => sum + hole.bytes, 0)) : null),
        info.header_damaged ? fact("Head of the file", "damaged") : null,
        fact("Journal id", el("code", {}, info.id)))),
    attributes ? attributesEl(attributes) : null);
}

function attributesEl(known) {
  const from = (one) => el("li", {}, `${one.relation} `,
    one.session ? el("a", { href: hrefOf(one.session) }, one.session) : el("code", {}, one.key ?? one.id ?? "not known"),
    one.inferred ? " (inferred)" : null);
  return el("section", { "aria-labelledby": "known-title" },
    el("h2", { id: "known-title" }, "Known of it"),
    el("dl", {},
      fact("Key", known.key ? el("code", {}, known.key) : null),
      fact("Agent", known.agent), fact("Channel", known.channel),
      fact("Model", [known.provider, known.model].filter(Boolean).join(" / ")),
      fact("Status", known.status)),
    known.lineage.length > 0 ? el("ul", { class: "lineage" }, known.lineage.map(from)) : null);
}

/** The branches as a nested list. */
export function branchesEl(view, select) {
  const isOne = view.roots.length <= 1 && (view.roots[0]?.children.length ?? 0) === 0;
  if (isOne) return el("p", { class: "none" }, "One line, no branches in what is loaded.");
  const draw = (segments) => el("ul", {}, segments.map((segment) => {
    const { words } = segment;
    const text = words ? line(plain(words.told), 60) || "a message without text" : "The beginning";
    const button = el("button", {
      type: "button", class: segment.on ? "branch on" : "branch", "aria-current": segment.on ? "true" : null,
      onclick: () => select(segment.leaf.seq),
    }, icon("branch"), el("span", { class: "branch-text" }, text),
    el("span", { class: "branch-count" }, segment.says === 0 ? "" : counted(segment.says, "message")));
    return el("li", {}, button, segment.children.length > 0 ? draw(segment.children) : null);
  }));
  return draw(view.roots);
}
