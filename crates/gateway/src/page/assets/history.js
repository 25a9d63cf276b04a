// What happened to the ownership of a session, as a timeline.

import { get, pathOf } from "./api.js";
import { el, icon, momentEl } from "./dom.js";
import { age, bytes, count, counted, moment } from "./format.js";
import { ownerLife, ownerPlace, ownerTitle } from "./words.js";

const REASONS = new Map(Object.entries({
  created: "The journal was created",
  released: "The owner before had released it",
  crashed: "The owner before was gone without a release",
  "taken-over": "Taken from an owner that had not released it",
}));

/** The timeline of a session. */
export async function historyOf(session, signal) {
  const { events } = await get(`${pathOf(session)}/history`, {}, signal);
  return el("ol", { class: "timeline", "aria-label": "History, the newest first" }, stepsOf(events).reverse().map(stepEl));
}

/**
 * Events as steps. A claim that is opened at once is one step with its opening; a generation that
 * was ended by another one, and not by its release, is a fence.
 */
export function stepsOf(events) {
  const steps = [];
  const released = new Set();
  const owners = new Map();
  for (const event of events) {
    if (event.event === "release") released.add(event.generation);
    if (event.event === "opening") {
      const claim = steps.findLast((step) => step.event === "claim" && step.generation === event.generation);
      if (claim) claim.opened = event;
      else steps.push({ ...event, opened: event });
      if (event.reason === "taken-over" && !released.has(event.previous_generation)) {
        const fenced = { event: "fence", generation: event.previous_generation, owner: owners.get(event.previous_generation) ?? null };
        steps.push({ ...fenced, by: event.generation, time_ms: event.time_ms });
      }
    } else steps.push({ ...event });
    if (event.owner) owners.set(event.generation, event.owner);
  }
  return steps;
}

function stepEl(step) {
  const { name, drawing, what } = wordsOf(step);
  const owner = step.owner ?? step.opened?.owner;
  return el("li", { class: `step step-${name}` },
    el("span", { class: "dot" }, icon(drawing)),
    el("article", { tabindex: "-1" },
      el("h3", {}, what, el("span", { class: "generation-number" }, `generation ${count(step.generation)}`)),
      el("p", { class: "step-time" }, momentEl(step.time_ms, moment(step.time_ms)), el("span", {}, ` · ${age(step.time_ms)}${age(step.time_ms) === "now" ? "" : " ago"}`)),
      detailOf(step),
      owner ? ownerEl(owner) : null,
      step.report ? reportEl(step.report) : null));
}

function wordsOf(step) {
  const of = (name, drawing, what) => ({ name, drawing, what });
  switch (step.event) {
    case "claim":
    case "opening": {
      const reason = step.opened?.reason;
      if (reason === "created") return of("created", "claim", "Created");
      if (reason === "taken-over") return of("takeover", "claim", "Taken over");
      return step.opened ? of("opening", "open", "Opened") : of("claim", "claim", "Claimed, not opened yet");
    }
    case "void-claim":
      return of("void", "unreadable", "A claim came too late");
    case "fence":
      return of("fence", "fence", "Fenced");
    case "repair":
      return of("repair", "repair", "Repaired");
    case "release":
      return of("release", "released", "Released");
    case "seal":
      return of("seal", "sealed", "Sealed");
    case "reopen":
      return of("reopen", "open", "The seal was taken back");
    case "compacted":
      return of("compacted", "repair", "The file was compacted");
    default:
      return of("other", "released", step.event);
  }
}

function detailOf(step) {
  const texts = {
    fence: `Generation ${count(step.by ?? 0)} took its place. What this owner appends afterwards is seen by nobody.`,
    "void-claim": "Another one had the generation already. It took nothing.",
    repair: "An opening found what nobody had reported before. Nothing was overwritten.",
  };
  const text = step.opened ? REASONS.get(step.opened.reason) : texts[step.event];
  return text ? el("p", {}, text) : null;
}

const ownerEl = (owner) => el("p", { class: "step-owner" },
  el("strong", {}, ownerTitle(owner)), ` ${ownerPlace(owner)} · ${ownerLife(owner)}`);

function reportEl(report) {
  const lost = report.records_lost > 0 ? `${counted(report.records_lost, "record")} lost` : "No record was lost";
  const hole = (word) => (one) =>
    el("li", {}, `${word}: ${bytes(one.bytes)} at offset ${count(one.offset)}, ${counted(one.records_lost, "record")} from ${count(one.first_seq)} on`);
  return el("div", { class: "report" },
    el("p", {}, el("strong", {}, lost), report.header_damaged ? " · the head of the file was damaged" : ""),
    el("ul", {}, report.damage.map(hole("Damaged")), report.torn.map(hole("Cut off while written"))),
    report.more_holes > 0 ? el("p", {}, `${counted(report.more_holes, "more hole")}.`) : null);
}
