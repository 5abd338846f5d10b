// Questions to whoever sits there. A dialog of the browser's own: it keeps the focus, and Escape ends it.

import { find } from "./elements.mjs";
import { failed } from "./words.mjs";

/**
 * A dialog with one field. It stays until what was entered is taken.
 *
 * @param {string} id
 * @param {(value: string) => Promise<string | undefined>} take gives what is wrong with it
 */
export function question(id, take) {
  const dialog = /** @type {HTMLDialogElement} */ (find(`#${id}-dialog`));
  const field = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
  const problem = /** @type {HTMLElement} */ (dialog.querySelector("[role=alert]"));

  /**
   * @param {string} value
   * @param {string} [wrong] what is wrong with it
   */
  function ask(value, wrong = "") {
    field.value = value;
    problem.textContent = wrong;
    if (!dialog.open) {
      dialog.showModal();
    }
    field.select();
  }

  /** @param {string} value */
  async function submit(value) {
    dialog.ariaBusy = "true";
    const wrong = await take(value).catch((error) => `${failed(error)} Try again.`);
    dialog.ariaBusy = null;
    if (wrong === undefined) {
      dialog.close();
    } else {
      ask(value, wrong);
    }
  }

  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    if (dialog.ariaBusy === null) {
      void submit(field.value.trim());
    }
  });

  return { dialog, ask, submit };
}
