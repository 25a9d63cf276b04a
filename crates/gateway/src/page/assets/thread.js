// The records of a session that are loaded: a stretch of the journal without holes, the tree that
// their parents make, and the line of it that is read. Pure.
//
// A record of the conversation follows the one that its parent key names; without a parent, the one
// before it in the journal; where its program says that it has none, nothing.

import { said } from "./said.js";

/** One record or gap, and where it stands in the tree. */
function entryOf(one) {
  if (one.gap) return { seq: one.first_seq, gap: one, key: `gap-${one.first_seq}`, told: null };
  return { seq: one.seq, record: one, key: `record-${one.seq}`, told: said(one), version: 0 };
}

/** The last record that an entry stands for. */
const lastOf = (entry) => (entry.gap ? entry.seq + entry.gap.records_lost - 1 : entry.seq);

export class Thread {
  entries = [];
  /** The entry that ends the line that is read; none follows the newest one. */
  selected = null;
  #ids = new Map();
  #keys = new Map();
  #taken = new Set();

  /** The first record that is there; the one behind the last where none is. */
  first = 1;
  last = 0;

  /** Begins anew with a page of the journal. */
  reset(records, gaps, first, last) {
    this.entries = [];
    this.selected = null;
    this.#ids.clear();
    this.#keys.clear();
    this.#taken.clear();
    [this.first, this.last] = [first, last];
    for (const one of ordered(records, gaps)) this.#put(one, "push");
  }

  /** Adds the page before, in the journal's order. */
  prepend(records, gaps, first) {
    this.first = first;
    for (const one of ordered(records, gaps).reverse()) this.#put(one, "unshift");
  }

  /** Adds what comes behind; false where it is there already. */
  append(one) {
    const isNew = this.#put(one, "push");
    if (isNew) this.last = Math.max(this.last, lastOf(this.entries.at(-1)));
    return isNew;
  }

  /** Forgets the oldest, so that so many stay; true where there were more. */
  forgetOldest(most) {
    return this.#forget(0, this.entries.length - most, (kept) => { this.first = kept[0].seq; });
  }

  /** Forgets the newest, so that so many stay; true where there were more. */
  forgetNewest(most) {
    return this.#forget(most, this.entries.length - most, (kept) => { this.last = lastOf(kept.at(-1)); });
  }

  #forget(from, count, tell) {
    if (count <= 0) return false;
    for (const entry of this.entries.splice(from, count)) {
      this.#taken.delete(entry.key);
      if (this.#keys.get(entry.record?.key) === entry) this.#keys.delete(entry.record.key);
      for (const id of [entry.told?.id, entry.words?.id]) if (this.#ids.get(id) === entry) this.#ids.delete(id);
    }
    tell(this.entries);
    return true;
  }

  #put(one, how) {
    const entry = entryOf(one);
    if (this.#taken.has(entry.key)) return false;
    this.#taken.add(entry.key);
    this.entries[how](entry);
    if (entry.record?.key) this.#keys.set(entry.record.key, entry);
    if (entry.told?.id) this.#update(entry);
    return true;
  }

  /** The last line of an id counts, and stands where the first one stood. */
  #update(entry) {
    const id = entry.told.id;
    const other = this.#ids.get(id);
    if (other === undefined) {
      this.#ids.set(id, entry);
      return;
    }
    const [older, newer] = other.seq < entry.seq ? [other, entry] : [entry, other];
    // Where an older one is loaded later, the newest is known already.
    const words = newer.told.role ? newer.told : newer.words;
    older.told = { ...older.told, role: words.role, blocks: words.blocks };
    older.version += 1;
    older.updated = newer.seq;
    newer.words ??= newer.told;
    newer.told = { ...newer.told, role: null, blocks: [], brief: `an update of record ${older.seq}`, node: false };
    newer.version += 1;
    this.#ids.set(id, older);
  }

  /** What to show, the tree, and whether the line goes on before what is loaded. */
  view() {
    const nodes = this.#link();
    const newest = nodes.findLast((node) => !node.told.side) ?? null;
    const end = this.#end(nodes) ?? newest;
    const path = new Set();
    for (let node = end; node; node = node.parent) path.add(node);
    return {
      shown: this.entries.filter((entry) => !entry.told?.node || path.has(entry)),
      path, end, newest,
      roots: segments(nodes, path),
      hasMessages: nodes.some((node) => node.told.role),
    };
  }

  #link() {
    const nodes = [];
    let before = null;
    for (const entry of this.entries) {
      if (!entry.told?.node) continue;
      [entry.children, entry.branches] = [[], []];
      [entry.parent, entry.missing] = this.#parentOf(entry, before);
      entry.parent?.children.push(entry);
      nodes.push(entry);
      before = entry;
    }
    return nodes;
  }

  /** The entry that this one follows, and the key of one that should be there and is not. */
  #parentOf(entry, before) {
    const key = entry.told.target ?? entry.record.parent;
    if (key !== null && key !== undefined) {
      const parent = this.#keys.get(key);
      const stands = parent && parent.seq < entry.seq && parent.told.node;
      return stands ? [parent, null] : [null, key];
    }
    return [entry.told.root ? null : before, null];
  }

  /** The chosen end, or what came behind it since. */
  #end(nodes) {
    if (this.selected === null) return null;
    let end = nodes.find((node) => node.seq === this.selected) ?? null;
    while (end && end.children.length > 0) end = end.children.at(-1);
    return end;
  }
}

/** Records and gaps in the journal's order. */
export const ordered = (records, gaps) =>
  [...records, ...gaps].sort((a, b) => (a.seq ?? a.first_seq) - (b.seq ?? b.first_seq));

/** Stretches of the tree without a fork. Where nothing is said there is no branch to choose. */
function segments(nodes, path) {
  for (const node of nodes) [node.says, node.newest] = [node.told.role ? 1 : 0, node];
  for (const node of nodes.toReversed()) {
    if (!node.parent) continue;
    node.parent.says += node.says;
    if (node.says > 0 && node.newest.seq > node.parent.newest.seq) node.parent.newest = node.newest;
  }
  const speaking = (list) => list.filter((node) => node.says > 0);
  const roots = [];
  const open = speaking(nodes.filter((node) => !node.parent)).map((node) => [node, roots]).reverse();
  while (open.length > 0) {
    const [first, into] = open.pop();
    const segment = { first, words: null, says: 0, leaf: first.newest, on: path.has(first), children: [] };
    let [node, next] = [first, [first]];
    while (next.length === 1) {
      [node] = next;
      if (node.told.role) [segment.says, segment.words] = [segment.says + 1, segment.words ?? node];
      next = speaking(node.children);
    }
    node.branches = next;
    into.push(segment);
    for (const child of next.toReversed()) open.push([child, segment.children]);
  }
  return roots;
}

/** The other lines that begin where this entry stands. */
export const branchesOf = (entry) => entry.branches;
