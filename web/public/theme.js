// The appearance that was chosen, before anything is painted: a script of its own, since the pages' policy allows none inside of them.
try {
  const theme = JSON.parse(localStorage.getItem("crane:theme") ?? "null");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing follows the system.
}
