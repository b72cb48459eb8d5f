// The appearance that was chosen, before anything is painted: a script of its own, since the pages' policy allows none inside of them. What another
// tab chooses is followed at once.
const applyTheme = () => {
  const root = document.documentElement;
  delete root.dataset.theme;
  try {
    const theme = JSON.parse(localStorage.getItem("crane:theme") ?? "null");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing follows the system.
  }
};
applyTheme();
addEventListener("storage", ({ key }) => (key === "crane:theme" || key === null) && applyTheme());
