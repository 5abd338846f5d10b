// Calls without end, and how long they take.

/** After a call that failed, in milliseconds. */
const PAUSE = 100;

/**
 * The smallest of the numbers that is not less than so many of a hundred: null, if there are none.
 *
 * @param {number[]} ordered
 * @param {number} share
 */
export function percentile(ordered, share) {
  return ordered[Math.max(0, Math.ceil(share * ordered.length) - 1)] ?? null;
}

/** Keeps some calls going, each caller one after the other. */
export class Calling {
  #call;
  /** @type {number[]} */
  #took = [];
  #failed = 0;
  #since = performance.now();
  /** The callers of an earlier round see that there is a new one, and end. */
  #round = 0;

  /** @param {(data: Uint8Array, isWanted: () => boolean) => Promise<number | undefined>} call makes one: its milliseconds */
  constructor(call) {
    this.#call = call;
  }

  /**
   * So many calls at a time from now on, each with so many bytes. None: no calls.
   *
   * @param {{outstanding: number, size: number}} load
   */
  start({ outstanding, size }) {
    const round = ++this.#round;
    const data = new Uint8Array(size);
    for (let caller = 0; caller < outstanding; caller++) {
      void this.#keepCalling(data, () => round === this.#round);
    }
  }

  /**
   * @param {Uint8Array} data
   * @param {() => boolean} isWanted
   */
  async #keepCalling(data, isWanted) {
    while (isWanted()) {
      try {
        const milliseconds = await this.#call(data, isWanted);
        if (milliseconds !== undefined) {
          this.#took.push(milliseconds);
        }
      } catch {
        this.#failed += isWanted() ? 1 : 0;
        await new Promise((resolve) => setTimeout(resolve, PAUSE)); // what fails at once would do so without end
      }
    }
  }

  /** What has been measured since the last look, as Python measures it. */
  take() {
    const took = this.#took.sort((a, b) => a - b);
    const now = performance.now();
    const measured = {
      calls: took.length,
      failed: this.#failed,
      seconds: (now - this.#since) / 1000,
      p50: percentile(took, 0.5),
      p99: percentile(took, 0.99),
    };
    this.#took = [];
    this.#failed = 0;
    this.#since = now;
    return measured;
  }
}
