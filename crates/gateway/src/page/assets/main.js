// Which view is shown, the keys, the colours, and the token.

import { forgetToken, hasToken, onMissingToken } from "./api.js";
import { byId, el, icon, isTyping } from "./dom.js";
import * as list from "./list.js";
import * as session from "./session.js";

const THEME = "session-journal-theme";
const THEMES = [["auto", "Automatic"], ["light", "Light"], ["dark", "Dark"]];

// ---- views ---------------------------------------------------------------------------------

function parse(hash) {
  const [, name, tab] = /^#\/session\/([^/]+)(\/history)?$/u.exec(hash) ?? [];
  if (name === undefined) return null;
  try {
    return { name: decodeURIComponent(name), tab: tab ? "history" : "conversation" };
  } catch {
    return null;
  }
}

function route() {
  const wanted = parse(location.hash);
  byId("sessions").hidden = wanted !== null;
  byId("session").hidden = wanted === null;
  trouble(null);
  if (wanted) session.show(wanted.name, wanted.tab, trouble);
  else {
    session.leave();
    document.title = "session journal";
    list.show();
  }
}

/** Shows what the gateway refused, and what to do; takes it away where nothing is wrong. */
function trouble(error) {
  const place = byId("trouble");
  place.hidden = !error;
  if (!error) {
    place.replaceChildren();
    return;
  }
  const what = error.code ? error.message : "The gateway does not answer.";
  const next = error.code ? error.next : "This page tries again by itself.";
  place.replaceChildren(icon("damage"), el("div", {},
    el("p", {}, el("strong", {}, what), error.code ? el("code", {}, error.code) : null), next ? el("p", {}, next) : null));
  byId("sign-out").hidden = !hasToken();
}

// ---- keys ----------------------------------------------------------------------------------

function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const isList = !byId("sessions").hidden;
  let isKnown = true;
  if (event.key === "?") byId("help").showModal();
  else if (event.key === "t") turnTheme();
  else if (event.key === "Escape" && !isList) location.hash = "#/";
  else if (event.key === "/" && !isList) {
    window.addEventListener("hashchange", () => byId("search").focus(), { once: true });
    location.hash = "#/";
  } else isKnown = isList ? list.key(event) : session.key(event);
  if (isKnown) event.preventDefault();
}

// ---- colours -------------------------------------------------------------------------------

const theme = () => document.documentElement.dataset.theme ?? "auto";

function turnTheme() {
  const at = THEMES.findIndex(([name]) => name === theme());
  const [name] = THEMES[(at + 1) % THEMES.length];
  if (name === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(THEME);
  } else {
    document.documentElement.dataset.theme = name;
    localStorage.setItem(THEME, name);
  }
  tellTheme();
}

function tellTheme() {
  const [, word] = THEMES.find(([name]) => name === theme());
  byId("theme-name").textContent = word;
  byId("theme").setAttribute("aria-label", `Colours: ${word.toLowerCase()}`);
}

// ---- the token -----------------------------------------------------------------------------

function askForToken(refused) {
  const dialog = byId("token");
  if (refused) byId("token-why").textContent = "The gateway did not accept this token. Is it whole?";
  byId("token-text").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const token = dialog.returnValue === "given" ? byId("token-text").value.trim() : "";
      byId("token-text").value = "";
      byId("sign-out").hidden = token === "";
      resolve(token === "" ? null : token);
    }, { once: true });
  });
}

function start() {
  byId("gateway").textContent = location.host;
  tellTheme();
  byId("theme").addEventListener("click", turnTheme);
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    (byId("sessions").hidden ? byId("conversation") : byId("grid"))?.focus();
  });
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("token").close("given");
  });
  byId("token-cancel").addEventListener("click", () => byId("token").close(""));
  byId("token").addEventListener("cancel", () => { byId("token").returnValue = ""; });
  byId("sign-out").hidden = !hasToken();
  byId("sign-out").addEventListener("click", () => {
    forgetToken();
    location.reload();
  });
  onMissingToken(askForToken);
  list.start((name) => { location.hash = list.hrefOf(name); });
  window.addEventListener("hashchange", route);
  document.addEventListener("keydown", pressed);
  route();
  list.keepUp((error) => { if (!byId("sessions").hidden) trouble(error); });
}

start();
