// The 3-D view of the page: the world at any moment of the run, as it is or by what changed.

import { MathUtils, PerspectiveCamera, Vector3 } from "three";
import { CHANGE, differences, visibleBlocks } from "./blocks.js";
import { Fly, Orbit } from "./controls.js";
import { BlockMesh } from "./mesh.js";
import { draw, gridToWorld, makeRenderer, makeScene } from "./scene.js";

const FATES = [
  { name: "air", albedo: [0, 0, 0] },
  { name: "kept", albedo: [0.56, 0.56, 0.56] },
  { name: "added", albedo: [0.13, 0.56, 0.3] },
  { name: "repainted", albedo: [0.8, 0.62, 0.16] },
  { name: "removed", albedo: [0.78, 0.16, 0.18] },
].map(({ name, albedo }) => ({ name, top: albedo, bottom: albedo, side: albedo }));
const GHOST = 0.4; // opacity of what is no longer there
const FIELD_OF_VIEW = 45; // degrees
const MANY_FACES = 100_000; // from which on it is measured how long a picture takes
const SMOOTH_MS = 100; // that a picture may take
const REST_MS = 250; // without a movement, after which a quick picture is replaced
const FILLING = 2.5; // distance of the camera, in radii of the world, from where the world fills the picture

/** Height of the layers that hold blocks. */
function highest(blocks, Y, Z) {
  let top = 0;
  for (let i = 0; i < blocks.length; i++) if (blocks[i]) top = Math.max(top, (Math.floor(i / Z) % Y) + 1);
  return top;
}

export class Viewer {
  constructor(canvas, world, history, { still = false, antialias = true } = {}) {
    Object.assign(this, { canvas, world, history, moment: 0, difference: false, mode: "orbit" });
    this.shown = { kept: true, added: true, repainted: true, removed: true };
    this.before = history.first;
    this.renderer = makeRenderer(canvas, antialias);
    this.blocks = new BlockMesh(world.materials);
    this.fates = new BlockMesh(FATES);
    this.ghosts = new BlockMesh(FATES, GHOST);
    this.scene = makeScene(world, [this.blocks, this.fates, this.ghosts]);
    this.solid = world.materials.map((_, index) => index !== 0);
    this.addCamera(still);
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    this.placeCamera();
    this.show(history.changes.length - 1, false);
  }

  addCamera(still) {
    const [X, Y, Z] = this.world.shape;
    const top = Math.max(highest(this.before, Y, Z), highest(this.history.seek(this.history.changes.length - 1), Y, Z));
    const radius = (Math.hypot(X, top, Z) / 2) * this.world.scale;
    this.target = new Vector3(X / 2, top * 0.35, Z / 2).applyMatrix4(gridToWorld(this.world));
    this.radius = radius;
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, radius / 500, radius * 20);
    const changed = () => this.invalidate();
    this.orbit = new Orbit(this.camera, this.canvas, { target: this.target, radius, still }, changed);
    this.fly = new Fly(this.camera, this.canvas, radius / 2.5, changed);
    this.canvas.addEventListener("keydown", (event) => this.key(event, true));
    this.canvas.addEventListener("keyup", (event) => this.key(event, false));
    this.canvas.addEventListener("blur", () => this.fly.held.clear());
  }

  /** Back to where one sees all of the world, from the south east. */
  placeCamera() {
    this.orbit?.stop();
    const [around, up] = [MathUtils.degToRad(40), MathUtils.degToRad(30)];
    const towards = new Vector3(Math.sin(around) * Math.cos(up), Math.sin(up), Math.cos(around) * Math.cos(up));
    const fit = Math.max(1, 1 / this.camera.aspect); // a narrow window sees less to the sides
    this.camera.position.copy(this.target).addScaledVector(towards, this.radius * FILLING * fit);
    this.camera.rotation.set(0, 0, 0);
    this.camera.lookAt(this.target);
    this.orbit?.controls.target.copy(this.target);
    if (this.mode === "orbit") this.orbit?.advance();
    this.invalidate();
  }

  key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const used = this.mode === "fly" ? this.fly.key(event.key, down) : down && this.orbit.key(event.key);
    if (used) event.preventDefault();
    if (used) this.invalidate();
  }

  setMode(mode) {
    this.mode = mode;
    this.orbit.enabled = mode === "orbit";
    this.fly.enabled = mode === "fly";
    this.fly.held.clear();
    if (mode === "orbit") this.faceWhatIsAhead();
    this.invalidate();
  }

  /** After a flight, orbits around the point ahead that is nearest to the middle of the world. */
  faceWhatIsAhead() {
    const ahead = this.camera.getWorldDirection(new Vector3());
    const distance = this.target.clone().sub(this.camera.position).dot(ahead);
    const reach = Math.max(distance, this.radius / 4);
    this.orbit.controls.target.copy(this.camera.position).addScaledVector(ahead, reach);
    this.orbit.advance();
  }

  /** The world at `moment`, plain or as `difference` to the first. */
  show(moment, difference = this.difference) {
    Object.assign(this, { moment, difference });
    const blocks = this.history.seek(moment);
    const { shape } = this.world;
    const { fate, counts } = differences(this.before, blocks);
    this.counts = counts;
    this.blocks.visible = !difference;
    this.fates.visible = this.ghosts.visible = difference;
    if (difference) {
      const kinds = [false, this.shown.kept, this.shown.added, this.shown.repainted, false];
      this.fates.update(visibleBlocks(fate, shape, kinds));
      const gone = FATES.map((_, kind) => kind === CHANGE.removed && this.shown.removed);
      this.ghosts.update(visibleBlocks(fate, shape, gone));
    } else this.blocks.update(visibleBlocks(blocks, shape, this.solid));
    this.invalidate();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(2, devicePixelRatio));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.frame();
  }

  invalidate() {
    this.asked ??= requestAnimationFrame((now) => {
      this.asked = undefined;
      this.advance(now);
    });
  }

  advance(now) {
    const seconds = Math.min(0.1, (now - (this.last ?? now)) / 1000);
    const moving = this.mode === "fly" ? this.fly.advance(seconds) : this.orbit.advance();
    this.last = moving ? now : undefined;
    this.frame(this.slow);
    if (moving) this.invalidate();
  }

  /** Draws. Where a picture in full takes too long, those in movement are `quick`, and one in full ends them. */
  async frame(quick = false) {
    clearTimeout(this.resting);
    this.camera.updateMatrixWorld();
    const start = performance.now();
    draw(this.renderer, this.scene, this.camera, quick);
    if (!this.isLarge()) return;
    const end = await this.drawn();
    clearTimeout(this.resting);
    if (quick) this.resting = setTimeout(() => this.frame(), REST_MS);
    else this.slow = end - start > SMOOTH_MS;
  }

  isLarge() {
    const groups = this.scene.children.filter(({ visible }) => visible);
    return groups.reduce((sum, { count }) => sum + count, 0) > MANY_FACES;
  }

  /** When all is drawn that was asked for until now. */
  async drawn() {
    const gl = this.renderer.getContext();
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    while (gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED) await new Promise((go) => setTimeout(go, 5));
    gl.deleteSync(fence);
    return performance.now();
  }
}
