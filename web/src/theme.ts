/** Light, dark, or as the system has it; `theme.js` applies what was chosen before the page is painted. */
import { element } from "./elements.js";
import { recall, remember } from "./memory.js";

const choice = element("theme", HTMLFieldSetElement);

/** Shows what was chosen, and applies and keeps what is chosen; other tabs follow. */
export function startTheme(): void {
  const show = (): void => {
    const theme = recall("theme");
    apply(theme);
    for (const radio of choice.querySelectorAll("input")) radio.checked = radio.value === (theme ?? "auto");
  };
  show();
  choice.addEventListener("change", () => {
    const chosen = choice.querySelector<HTMLInputElement>("input:checked")?.value;
    const theme = chosen === "light" || chosen === "dark" ? chosen : "auto";
    apply(theme);
    remember("theme", theme);
  });
  addEventListener("storage", ({ key }) => key === "crane:theme" && show());
}

function apply(theme: string | undefined): void {
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset["theme"] = theme;
  else delete root.dataset["theme"];
}
