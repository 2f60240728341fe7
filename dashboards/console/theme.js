// Before anything is drawn: the theme that was chosen on this machine, if any was.
(() => {
  try {
    const chosen = localStorage.getItem("chainwarden.theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch {
    // A browser that keeps nothing follows the system's theme.
  }
})();
