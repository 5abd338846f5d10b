// A chart of times, drawn by hand: a logarithmic scale, a line and a shade for each direction, and where there was no connection.

/** What is to be seen, in milliseconds. */
const SPAN = 30_000;
/** Points that are further apart are not joined. */
const GAP = 1_600;
const MARGIN = { top: 14, right: 14, bottom: 26, left: 52 };
/** The scale shows at least this, in milliseconds a call. */
const LOWEST = 0.1;
const HIGHEST = 10;

/** @typedef {{at: number, p50: number, p99: number}} Point */

export class Chart {
  #canvas;
  #pen;
  /** @type {Map<string, Point[]>} By the name of the direction, the oldest first. */
  #series;
  /** @type {{from: number, to: number}[]} */
  #lost = [];
  #now = performance.now();

  /**
   * @param {HTMLCanvasElement} canvas whose style has the colours, as --line-NAME of each series, --grid, --quiet and --lost
   * @param {string[]} names of the series
   */
  constructor(canvas, names) {
    this.#canvas = canvas;
    this.#pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#series = new Map(names.map((name) => [name, []]));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** How many points there are to be seen of each series. */
  get counts() {
    return Object.fromEntries([...this.#series].map(([name, points]) => [name, points.length]));
  }

  /**
   * @param {string} name
   * @param {Point} point
   */
  add(name, point) {
    this.#series.get(name)?.push(point);
  }

  /**
   * There is no connection from then on, until `isLost` is false.
   *
   * @param {boolean} isLost
   */
  setLost(isLost) {
    const last = this.#lost.at(-1);
    const now = performance.now();
    if (isLost && last?.to !== Infinity) {
      this.#lost.push({ from: now, to: Infinity });
    } else if (!isLost && last?.to === Infinity) {
      last.to = now;
    }
  }

  /**
   * Forget what has left the picture, and draw the rest.
   *
   * @param {number} [now] if not given, as it was drawn before
   */
  draw(now = this.#now) {
    this.#now = now;
    const oldest = now - SPAN - GAP;
    for (const points of this.#series.values()) {
      while (points.length > 0 && points[0].at < oldest) {
        points.shift();
      }
    }
    this.#lost = this.#lost.filter(({ to }) => to >= oldest);
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.#paint(new Frame(width, height, now, this.#range()), getComputedStyle(this.#canvas));
  }

  /** The whole decades that hold all points. */
  #range() {
    let [low, high] = [HIGHEST, LOWEST];
    for (const points of this.#series.values()) {
      for (const { p50, p99 } of points) {
        low = Math.min(low, p50);
        high = Math.max(high, p99);
      }
    }
    const bottom = 10 ** Math.floor(Math.log10(Math.max(low, LOWEST / 10)));
    return { bottom: Math.min(bottom, LOWEST), top: Math.max(10 ** Math.ceil(Math.log10(high)), HIGHEST) };
  }

  /**
   * @param {Frame} frame
   * @param {CSSStyleDeclaration} style
   */
  #paint(frame, style) {
    const pen = this.#pen;
    pen.font = `12px ${style.fontFamily}`;
    pen.fillStyle = style.getPropertyValue("--lost");
    for (const { from, to } of this.#lost) {
      const left = Math.max(frame.left, frame.x(from));
      pen.fillRect(left, frame.top, Math.max(0, Math.min(frame.right, frame.x(to)) - left), frame.bottom - frame.top);
    }
    this.#paintScales(frame, style);
    pen.save();
    pen.beginPath();
    pen.rect(frame.left, 0, frame.right - frame.left + 4, frame.bottom); // the last dot is whole
    pen.clip();
    for (const [name, points] of this.#series) {
      for (const piece of pieces(points)) {
        this.#paintPiece(frame, piece, style.getPropertyValue(`--line-${name}`));
      }
    }
    pen.restore();
  }

  /**
   * @param {Frame} frame
   * @param {CSSStyleDeclaration} style
   */
  #paintScales(frame, style) {
    const pen = this.#pen;
    pen.lineWidth = 1;
    pen.strokeStyle = style.getPropertyValue("--grid");
    pen.fillStyle = style.getPropertyValue("--quiet");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const { value, isDecade } of frame.ticks()) {
      const y = Math.round(frame.y(value)) + 0.5;
      pen.globalAlpha = isDecade ? 1 : 0.45;
      pen.beginPath();
      pen.moveTo(frame.left, y);
      pen.lineTo(frame.right, y);
      pen.stroke();
      pen.globalAlpha = 1;
      if (isDecade) {
        pen.fillText(value < 1000 ? `${value} ms` : `${value / 1000} s`, frame.left - 8, y); // there is no room for more
      }
    }
    pen.textBaseline = "top";
    const step = frame.right - frame.left < 420 ? 10_000 : 5_000;
    for (let ago = 0; ago <= SPAN; ago += step) {
      pen.textAlign = ago === 0 ? "right" : ago === SPAN ? "left" : "center";
      pen.fillText(ago === 0 ? "now" : `−${ago / 1000} s`, frame.x(this.#now - ago), frame.bottom + 8);
    }
  }

  /**
   * @param {Frame} frame
   * @param {Point[]} piece
   * @param {string} colour
   */
  #paintPiece(frame, piece, colour) {
    const pen = this.#pen;
    pen.fillStyle = pen.strokeStyle = colour;
    pen.lineJoin = "round";
    pen.beginPath();
    piece.forEach(({ at, p99 }) => pen.lineTo(frame.x(at), frame.y(p99)));
    pen.globalAlpha = 0.6;
    pen.lineWidth = 1;
    pen.stroke();
    piece.toReversed().forEach(({ at, p50 }) => pen.lineTo(frame.x(at), frame.y(p50)));
    pen.globalAlpha = 0.07;
    pen.fill();
    pen.globalAlpha = 1;
    pen.beginPath();
    piece.forEach(({ at, p50 }) => pen.lineTo(frame.x(at), frame.y(p50)));
    pen.lineWidth = 2.5;
    pen.stroke();
    const last = piece[piece.length - 1];
    pen.beginPath();
    pen.arc(frame.x(last.at), frame.y(last.p50), piece.length === 1 ? 2 : 3, 0, 2 * Math.PI);
    pen.fill();
  }
}

/** Where a time and a latency are in the picture. */
class Frame {
  #now;
  #range;

  /**
   * @param {number} width
   * @param {number} height
   * @param {number} now
   * @param {{bottom: number, top: number}} range
   */
  constructor(width, height, now, range) {
    this.left = MARGIN.left;
    this.right = width - MARGIN.right;
    this.top = MARGIN.top;
    this.bottom = height - MARGIN.bottom;
    this.#now = now;
    this.#range = range;
  }

  /** @param {number} at */
  x(at) {
    return this.right - ((this.#now - at) / SPAN) * (this.right - this.left);
  }

  /** @param {number} milliseconds */
  y(milliseconds) {
    const { bottom, top } = this.#range;
    const share = Math.log10(Math.max(milliseconds, bottom) / bottom) / Math.log10(top / bottom);
    return this.bottom - share * (this.bottom - this.top);
  }

  /** Lines at 1, 2 and 5 of each decade. */
  *ticks() {
    const { bottom, top } = this.#range;
    const last = Math.round(Math.log10(top));
    for (let exponent = Math.round(Math.log10(bottom)); exponent <= last; exponent++) {
      for (const digit of exponent === last ? [1] : [1, 2, 5]) {
        yield { value: Number(`${digit}e${exponent}`), isDecade: digit === 1 };
      }
    }
  }
}

/**
 * Points that belong together: where some are missing the line is broken.
 *
 * @param {Point[]} points
 */
function pieces(points) {
  /** @type {Point[][]} */
  const found = [];
  for (const point of points) {
    const last = found.at(-1)?.at(-1);
    if (last !== undefined && point.at - last.at <= GAP) {
      found.at(-1)?.push(point);
    } else {
      found.push([point]);
    }
  }
  return found;
}
