/** Speech drawn as it is made; what has been heard is in the page's accent. */

/** Samples of one bar. */
const BAR = 480;
/** Pixels from bar to bar. */
const PITCH = 3;

/** A canvas that shows the loudest sample of each 20 ms. */
export class Waveform {
  readonly #canvas: HTMLCanvasElement;
  #bars: number[] = [];
  #rest: number[] = [];
  #rate = 1;
  #heard = 0;
  #frame = 0;

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#plan()).observe(canvas);
    // Its colours are those of the page.
    new MutationObserver(() => this.#plan()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plan());
  }

  /** Begins anew with samples of this rate. */
  begin(rate: number): void {
    [this.#bars, this.#rest, this.#rate, this.#heard] = [[], [], rate, 0];
    this.#plan();
  }

  /** Adds samples. */
  add(samples: Float32Array): void {
    for (const sample of samples) {
      this.#rest.push(Math.abs(sample));
      if (this.#rest.length === BAR) {
        this.#bars.push(Math.max(...this.#rest));
        this.#rest = [];
      }
    }
    this.#plan();
  }

  /** Moves on to the second that is heard now. */
  at(seconds: number): void {
    this.#heard = seconds;
    this.#plan();
  }

  #plan(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint(): void {
    const canvas = this.#canvas;
    const [width, height, scale] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio];
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d");
    if (!context) return;
    context.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const [heard, waiting] = [style.getPropertyValue("accent-color"), style.color];
    const now = Math.floor((this.#heard * this.#rate) / BAR);
    const room = Math.floor(width / PITCH);
    // The place that is heard stays in view.
    const start = Math.max(0, Math.min(now - Math.floor(room / 2), this.#bars.length - room));
    this.#bars.slice(start, start + room).forEach((loudness, index) => {
      const tall = Math.max(2, Math.min(1, 2 * loudness) * height);
      context.fillStyle = start + index < now ? heard : waiting;
      context.fillRect(index * PITCH, (height - tall) / 2, PITCH - 1, tall);
    });
  }
}
