/** Copying, and saying so on the button that was pressed. */

/** Milliseconds for which the button says what has happened. */
const SHOWN = 1500;

/** Copies a text; the button says whether that went well. */
export async function copyFrom(button: HTMLButtonElement, text: string): Promise<void> {
  const name = button.dataset["name"] ?? button.textContent ?? "";
  button.dataset["name"] = name;
  button.textContent = (await copied(text)) ? "Copied" : "Not copied";
  setTimeout(() => (button.textContent = name), SHOWN);
}

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return selectedAndCopied(text);
  }
}

/** Pages that were not loaded by https, and browsers that refuse the newer way, have only this one. */
function selectedAndCopied(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hidden";
  // In a dialog that is open, nothing outside of it can be selected.
  (before?.closest("dialog") ?? document.body).append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    field.remove();
    if (before instanceof HTMLElement) before.focus();
  }
}
