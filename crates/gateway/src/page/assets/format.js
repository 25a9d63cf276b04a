// Numbers, sizes and times as people read them. Pure.

const grouped = new Intl.NumberFormat("en");
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "full" });
const exact = new Intl.DateTimeFormat("en-CA", {
  year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const clock = new Intl.DateTimeFormat("en-CA", {
  hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

/** 12345 as "12,345". */
export const count = (number) => grouped.format(number);

/** A number and its word: "1 record", "2 records". */
export const counted = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** Bytes with three digits at most: "812 B", "1.4 KiB", "38 MiB". */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [size, unit] = [number, 0];
  while (size >= 1000 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  const text = unit === 0 || size >= 10 ? String(Math.round(size)) : size.toFixed(1);
  return `${text} ${units[unit]}`;
}

const known = (ms) => Number.isFinite(ms) && ms > 0 && ms < 8.64e15;

/** How long ago: "now", "5 min", "3 h", "12 d", "2 y". */
export function age(ms, now = Date.now()) {
  if (!known(ms)) return "not known";
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  const steps = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [31557600, 86400, "d"]];
  if (seconds < 5) return "now";
  for (const [below, unit, word] of steps) {
    if (seconds < below) return `${Math.floor(seconds / unit)} ${word}`;
  }
  return `${Math.floor(seconds / 31557600)} y`;
}

/** Date and time of day to the second. */
export const moment = (ms) => (known(ms) ? exact.format(ms).replace(",", "") : "time not known");

/** The time of day. */
export const time = (ms) => (known(ms) ? clock.format(ms) : "");

/** The day in words. */
export const date = (ms) => (known(ms) ? day.format(ms) : "Day not known");

/** A text in one line, and not longer than this. */
export function line(text, most = 160) {
  const flat = text.slice(0, most * 4).replace(/\s+/gu, " ").trim();
  const points = Array.from(flat);
  return points.length > most ? `${points.slice(0, most - 1).join("")}…` : flat;
}
