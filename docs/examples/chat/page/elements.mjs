// Elements of the page. Texts become text nodes, and never HTML.

/**
 * The one that index.html has.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} selector
 */
export function find(selector) {
  return /** @type {T} */ (document.querySelector(selector));
}

/**
 * A new one.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} properties
 * @param {(Node | string)[]} children
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * The round sign of somebody.
 *
 * @param {{nick: string, color: number}} member
 */
export function face({ nick, color }) {
  const made = element("span", { className: "face", ariaHidden: "true" }, ([...nick][0] ?? "").toUpperCase());
  return colored(made, color);
}

/**
 * @template {HTMLElement} T
 * @param {T} made
 * @param {number} color
 */
export function colored(made, color) {
  made.style.setProperty("--hue", `${color * 150 + 280}`); // one after another they are far apart
  return made;
}
