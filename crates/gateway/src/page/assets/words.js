// The words for owners and states, the same everywhere on the page.

import { el, icon } from "./dom.js";

const STATES = new Map(Object.entries({
  open: "Somebody has it open",
  released: "Its last owner has released it",
  orphaned: "Its owner is gone and never released it; whoever opens it next takes it",
  sealed: "Nothing can be appended any more",
  unreadable: "The file cannot be read",
}));

/** The state of a session, for filters as well. */
export const stateOf = (session) => (session.error ? "unreadable" : session.state);

/** An icon and a word. */
export function stateEl(session) {
  const state = stateOf(session);
  return el("span", { class: `state state-${state}`, title: STATES.get(state) ?? state }, icon(state), state);
}

/** What is wrong with it, if anything. */
export function damageEl(session) {
  if (session.error) return el("span", { class: "flag", title: `Reading it answers ${session.error}` }, icon("damage"), session.error);
  if (!session.damaged) return null;
  return el("span", { class: "flag", title: "Records are lost, or the head of the file is damaged" }, icon("damage"), "damaged");
}

/** What a session is called by people; its name where nobody gave it another. */
export const titleOf = (session) =>
  session.attributes?.title || session.attributes?.key || session.session;

/** What an owner says of itself; its program where it says nothing. */
export const ownerTitle = (owner) => owner.label || owner.program || "no label";

export const ownerPlace = (owner) => `${owner.host} · ${owner.pid}`;

const LIVES = new Map([[true, "alive"], [false, "gone"]]);
export const ownerLife = (owner) => LIVES.get(owner.alive) ?? "on another host or boot; not known";
