// Two ways to move a camera: around the world (orbit), and through it (fly). Mouse, touch and keyboard.

import { MathUtils, Spherical, Vector3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const TURN = 0.08; // radians a key press
const LOOK = 0.0045; // radians a pixel dragged
const STEEPEST = MathUtils.degToRad(89);

/** Around a target: three's OrbitControls, and arrows, + and - on the focused canvas. */
export class Orbit {
  constructor(camera, canvas, { target, radius, still }, changed) {
    this.controls = new OrbitControls(camera, canvas);
    Object.assign(this.controls, { enableDamping: !still, dampingFactor: 0.12, zoomToCursor: true });
    Object.assign(this.controls, { minDistance: 0.02 * radius, maxDistance: 8 * radius });
    this.controls.target.copy(target);
    this.controls.addEventListener("change", changed);
    this.controls.update();
  }

  set enabled(on) {
    this.controls.enabled = on;
  }

  /** Carries on the swing of a drag; whether it is still swinging. */
  advance() {
    return this.controls.update();
  }

  /** Ends the swing of a drag at once. */
  stop() {
    const { enableDamping } = this.controls;
    this.controls.enableDamping = false;
    this.controls.update();
    this.controls.enableDamping = enableDamping;
  }

  /** Whether the key meant something. */
  key(key) {
    const turn = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, -TURN], ArrowDown: [0, TURN] }[key];
    const zoom = { "+": 1 / 1.1, "=": 1 / 1.1, "-": 1.1 }[key];
    if (!turn && !zoom) return false;
    const { object: camera, target } = this.controls;
    const offset = new Spherical().setFromVector3(camera.position.clone().sub(target));
    if (turn) offset.theta += turn[0];
    if (turn) offset.phi = MathUtils.clamp(offset.phi + turn[1], 0.01, Math.PI - 0.01);
    if (zoom) offset.radius *= zoom;
    camera.position.copy(target).add(new Vector3().setFromSpherical(offset));
    this.controls.update();
    return true;
  }
}

const MOVES = {
  w: "forward", s: "back", a: "left", d: "right", e: "up", q: "down",
  ArrowUp: "forward", ArrowDown: "back", ArrowLeft: "left", ArrowRight: "right", PageUp: "up", PageDown: "down",
}; // prettier-ignore
const DIRECTION = {
  forward: [0, 0, -1], back: [0, 0, 1], left: [-1, 0, 0], right: [1, 0, 0], up: [0, 1, 0], down: [0, -1, 0],
}; // prettier-ignore

/** Through the world, the horizon level: drag to look, keys or `hold` to move. */
export class Fly {
  constructor(camera, canvas, speed, changed) {
    Object.assign(this, { camera, speed, changed, held: new Set(), enabled: false });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.enabled || !event.buttons) return;
      this.look(event.movementX * LOOK, event.movementY * LOOK);
    });
  }

  look(right, down) {
    const { rotation } = this.camera;
    rotation.reorder("YXZ");
    rotation.y -= right;
    rotation.x = MathUtils.clamp(rotation.x - down, -STEEPEST, STEEPEST);
    rotation.z = 0;
    this.changed();
  }

  /** Whether the key meant something. */
  key(key, down) {
    const move = MOVES[key.length === 1 ? key.toLowerCase() : key];
    if (move) this.hold(move, down);
    return Boolean(move);
  }

  hold(move, on) {
    if (on) this.held.add(move);
    else this.held.delete(move);
    this.changed();
  }

  /** Moves on by `seconds`; whether anything is held. */
  advance(seconds) {
    for (const move of this.held) {
      const step = new Vector3(...DIRECTION[move]).multiplyScalar(this.speed * seconds);
      if (move !== "up" && move !== "down") step.applyQuaternion(this.camera.quaternion);
      this.camera.position.add(step);
    }
    return this.held.size > 0;
  }
}
