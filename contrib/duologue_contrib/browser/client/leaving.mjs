// A page that is left, and that the browser may keep, to show it again when somebody goes back to it.

/**
 * Call this when that happens. What the page holds open then stays open for minutes, and nobody is at home: the remote would not learn
 * of it. A page that is left for good is ended by the browser.
 *
 * @param {() => void} then
 * @returns {() => void} to have it not called any more
 */
export function whenLeft(then) {
  /** @param {Event} event */
  const onPageHide = (event) => {
    if ("persisted" in event && event.persisted) {
      then();
    }
  };
  globalThis.addEventListener?.("pagehide", onPageHide); // in Node.js there are no pages
  return () => globalThis.removeEventListener?.("pagehide", onPageHide);
}
