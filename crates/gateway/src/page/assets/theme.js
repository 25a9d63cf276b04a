// Before anything is painted: the colours that were chosen last, if any were.
(() => {
  const chosen = localStorage.getItem("session-journal-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
