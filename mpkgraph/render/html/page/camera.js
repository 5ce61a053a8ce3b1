// From the world (CSS pixels at scale 1) to the screen.

const MIN_SCALE = 0.004;
const MAX_SCALE = 60;
const GLIDE_MS = 220;

export class Camera {
  constructor() {
    this.x = 0;
    this.y = 0;
    this.scale = 1;
  }

  toWorld(px, py) {
    return [(px - this.x) / this.scale, (py - this.y) / this.scale];
  }

  toScreen(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  zoomAt(px, py, factor) {
    const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, this.scale * factor));
    const [x, y] = this.toWorld(px, py);
    this.stop();
    Object.assign(this, { scale, x: px - x * scale, y: py - y * scale });
  }

  pan(dx, dy) {
    this.stop();
    this.x += dx;
    this.y += dy;
  }

  stop() {
    this.glide = null;
  }

  // Moves so that a rectangle of the world fills the screen, up to `maxScale`.
  show(rect, size, { maxScale = 1.25, margin = 24, smooth = true } = {}) {
    const scale = Math.max(MIN_SCALE, Math.min(
      maxScale, (size.width - 2 * margin) / rect.width, (size.height - 2 * margin) / rect.height,
    ));
    this.goTo({
      scale,
      x: size.width / 2 - (rect.x + rect.width / 2) * scale,
      y: size.height / 2 - (rect.y + rect.height / 2) * scale,
    }, smooth);
  }

  goTo(target, smooth = true) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!smooth || still) {
      this.stop();
      Object.assign(this, target);
    } else {
      this.glide = { from: { x: this.x, y: this.y, scale: this.scale }, to: target, start: performance.now() };
    }
  }

  // One step of a movement; whether there are more.
  step(now) {
    if (!this.glide) return false;
    const { from, to, start } = this.glide;
    const t = Math.min(1, (now - start) / GLIDE_MS);
    const ease = t * (2 - t);
    this.scale = from.scale * (to.scale / from.scale) ** ease;
    // The point that stays put lets a zoom run along a straight line
    const share = to.scale === from.scale ? ease : (this.scale - from.scale) / (to.scale - from.scale);
    this.x = from.x + (to.x - from.x) * share;
    this.y = from.y + (to.y - from.y) * share;
    if (t === 1) this.stop();
    return true;
  }

  // The middle of the screen and the scale: the same place on a screen of any size.
  text(size) {
    const [x, y] = this.toWorld(size.width / 2, size.height / 2);
    return `${x.toFixed(1)},${y.toFixed(1)},${this.scale.toPrecision(4)}`;
  }

  set(text, size) {
    const [x, y, scale] = text.split(",").map(Number);
    if (![x, y, scale].every(Number.isFinite) || scale < MIN_SCALE || scale > MAX_SCALE) return false;
    this.goTo({ scale, x: size.width / 2 - x * scale, y: size.height / 2 - y * scale }, false);
    return true;
  }
}
