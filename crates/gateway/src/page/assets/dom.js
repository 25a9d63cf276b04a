// Elements, made of text. Nothing here takes markup, and the page's policy forbids it as well.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `el("p", {class: "note", onclick}, "text", other)`. */
export function el(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A drawing from the sprite in the document. It says nothing: a word stands beside it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A moment, with the machine's form beside it. */
export function momentEl(ms, shown) {
  const known = Number.isFinite(ms) && ms > 0 && ms < 8.64e15;
  return known ? el("time", { datetime: new Date(ms).toISOString() }, shown) : el("span", {}, shown);
}

export const byId = (id) => document.getElementById(id);

/** Says something to those who hear the page. What comes in between is left out. */
export const announce = (() => {
  let [waiting, next] = [null, null];
  const say = () => {
    byId("announcements").textContent = next ?? "";
    waiting = next === null ? null : setTimeout(say, 1500);
    next = null;
  };
  return (text) => {
    next = text;
    if (waiting === null) say();
  };
})();

/** Whether somebody is writing. */
export const isTyping = (target) =>
  target instanceof HTMLElement && target.matches("input, select, textarea, [contenteditable]");
