// What a test asks of the page, in the browser, before the page's own files are read.
globalThis.seen = {
  all: (selector) => [...document.querySelectorAll(selector)],
  texts: (selector) => seen.all(selector).map((one) => one.textContent.replace(/\s+/gu, " ").trim()),
  holds: (selector, text) => document.querySelector(selector)?.textContent.includes(text) ?? false,
  is: (selector, text) => document.querySelector(selector)?.innerText === text,

  choose(id, value) {
    const one = document.getElementById(id);
    one.value = value;
    one.dispatchEvent(new Event("input", { bubbles: true }));
  },

  // ---- the list ----

  row: (at) => document.querySelector(`#space #row-${at}`),
  /** Where the row leads that keys act on. */
  active: () => document.getElementById(document.querySelector("#grid").getAttribute("aria-activedescendant"))
    .querySelector("a").hash,
  records: () => Array.from({ length: 10 }, (_, at) => Number.parseInt(seen.row(at).querySelector(".cell-records").innerText, 10)),
  /** Whether the rows stand one below the other. */
  touch: () => Array.from({ length: 6 }, (_, at) => seen.row(at).getBoundingClientRect())
    .every((one, at, all) => at === 0 || Math.abs(one.top - all[at - 1].bottom) < 1),

  /** From one end to the other, a step a frame: the most rows at a time, and how long frames took. */
  scrollThrough: () => new Promise((done) => {
    const box = document.querySelector("#rows");
    const frames = [];
    let [last, most] = [performance.now(), 0];
    const step = (now) => {
      frames.push(now - last);
      last = now;
      most = Math.max(most, seen.all("#space .row").length);
      box.scrollTop += 2600;
      if (box.scrollTop + box.clientHeight < box.scrollHeight - 1) {
        requestAnimationFrame(step);
        return;
      }
      frames.sort((a, b) => a - b);
      const of = (part) => Math.round(frames[Math.floor(frames.length * part)] * 10) / 10;
      done({ most, frames: frames.length, median_ms: of(0.5), p99_ms: of(0.99) });
    };
    requestAnimationFrame(step);
  }),

  // ---- a conversation ----

  live: () => seen.is(".live", "Live"),
  scroll: (to) => { document.querySelector("#conversation").scrollTop = to; },
  isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector("#conversation");
    return scrollHeight - scrollTop - clientHeight < 60;
  },
  sequences: () => seen.all("#thread article").map((one) => Number(one.dataset.seq)),
  /** How far below the upper edge a record stands. */
  place: (seq) => document.querySelector(`#thread article[data-seq="${seq}"]`).getBoundingClientRect().top
    - document.querySelector("#conversation").getBoundingClientRect().top,
  first: () => seen.sequences().find((seq) => seen.place(seq) > 0),
  /** What the page's own module makes of records. Halves of surrogate pairs are no text elsewhere. */
  async said(records) {
    const { said } = await import("/page/said.js");
    return JSON.parse(JSON.stringify(records.map(said)), (_, value) => value?.toWellFormed?.() ?? value);
  },
  async steps(events) {
    const { stepsOf } = await import("/page/history.js");
    return stepsOf(events).map((step) => step.event);
  },

  // ---- anywhere ----

  kept: () => [Object.values(sessionStorage), Object.values(localStorage), document.cookie],
  takesMarkup() {
    try {
      document.body.innerHTML = "<p>markup</p>";
      return true;
    } catch {
      return false;
    }
  },
  tooWide: () => (document.documentElement.scrollWidth <= innerWidth ? [] : seen.all("body *")
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
    .map((one) => `${one.tagName}.${one.getAttribute("class")}`)),

  /** Nothing moves or changes its colour. */
  rests: () => document.getAnimations().length === 0,

  /** Texts that can be seen and do not stand out from their ground: 4.5 to 1, 3 to 1 where large. */
  pale() {
    const parse = (text) => {
      const [r, g, b, a = 1] = text.match(/[\d.]+/gu).map(Number);
      return { r, g, b, a };
    };
    const over = (top, below) =>
      Object.fromEntries(["r", "g", "b"].map((c) => [c, top[c] * top.a + below[c] * (1 - top.a)]));
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const light = ({ r, g, b }) =>
      0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const groundOf = (element) => {
      const layers = [];
      for (let at = element; at; at = at.parentElement) layers.unshift(parse(getComputedStyle(at).backgroundColor));
      return layers.reduce((below, top) => over(top, below), { r: 255, g: 255, b: 255 });
    };
    const pale = [];
    let looked = 0;
    const root = document.querySelector("dialog[open]") ?? document.body;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const text = walker.currentNode.data.trim();
      const isSeen = element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().width > 2;
      if (!text || !isSeen || element.closest(".heard, noscript, option, .skip")) continue;
      looked += 1;
      const style = getComputedStyle(element);
      const ground = groundOf(element);
      const [a, b] = [light(over(parse(style.color), ground)), light(ground)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const size = Number.parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (contrast < (isLarge ? 3 : 4.5)) pale.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return looked < 5 ? [`only ${looked} texts were seen`] : pale;
  },
};
